//! Details about a person that are there in clear.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use tenancy_core::TenantId;

use super::{
    scan::Scan,
    value::{follows, value},
};
use crate::{
    AuditEntryId,
    merkle::Hash,
    model::{canonical::Encoder, personal, sealed_personal::SEALED},
};

/// How many characters a hash has.
const HASH_LEN: usize = 43;

/// How deep the value of a detail lies.
const DEPTH: usize = 2;

/// From the first brace of `personal` to the last one of `commitments`, which enter the entry's bytes.
///
/// Takes details that are all there, in clear, each the one that was committed to. What is sealed, gone or
/// changed is the parser's: it finds out what that comes to.
pub(super) fn details(
    scan: &mut Scan<'_>,
    entry: &mut Encoder,
    detail: &mut Encoder,
    of: (TenantId, AuditEntryId),
) -> Option<()> {
    let found = personal(scan, detail, of)?;
    scan.literal(r#","commitments":{"#)?;
    let place = entry.object_begins();
    for (at, (name, hash)) in found.iter().enumerate() {
        if at > 0 {
            scan.literal(",")?;
        }
        if scan.string()? != *name {
            return None;
        }
        scan.literal(":\"")?;
        let (given, mut text) = (scan.exactly(HASH_LEN)?, [0; HASH_LEN]);
        BASE64.encode_slice(hash, &mut text).ok()?;
        if given.as_bytes() != text {
            return None;
        }
        scan.literal("\"")?;
        entry.text(name);
        entry.string(given);
    }
    entry.counted(place, found.len());
    scan.literal("}")
}

/// Each detail with the commitment that it needs.
fn personal<'a>(
    scan: &mut Scan<'a>,
    detail: &mut Encoder,
    of: (TenantId, AuditEntryId),
) -> Option<Vec<(Cow<'a, str>, Hash)>> {
    let mut found: Vec<(Cow<'a, str>, Hash)> = Vec::new();
    scan.literal("{")?;
    while !scan.takes("}") {
        if !found.is_empty() {
            scan.literal(",")?;
        }
        let name = scan.string()?;
        let before = found.last().map(|(name, _)| name);
        if name.starts_with(SEALED) || !follows(before, &name) {
            return None;
        }
        scan.literal(":[")?;
        let salt = salt(&scan.string()?)?;
        scan.literal(",")?;
        personal::begin_commitment(detail, of, &name, &salt);
        value(scan, detail, DEPTH)?;
        scan.literal("]")?;
        found.push((name, detail.sha256()));
    }
    Some(found)
}

fn salt(text: &str) -> Option<[u8; personal::SALT_LEN]> {
    // Room for what the decoder takes such a text for, at first sight.
    let mut bytes = [0; personal::SALT_LEN + 8];
    let len = BASE64.decode_slice(text, &mut bytes).ok()?;
    bytes.get(..len)?.try_into().ok()
}
