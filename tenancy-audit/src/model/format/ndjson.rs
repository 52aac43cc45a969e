//! An entry as one line of an export.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Serialize;
use tenancy_core::{RequestId, Target, TenantId, UserId};

use super::{Sorted, put, time};
use crate::{
    Error,
    model::entry::{AuditEntryId, Entry},
};

/// Fields in the order of the line. What a verifier needs is all in it.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    schema_version: i16,
    id: AuditEntryId,
    tenant_id: TenantId,
    occurred_at: String,
    created_at: String,
    actor: Actor<'a>,
    action: &'a str,
    outcome: &'static str,
    resource: Option<&'a str>,
    targets: &'a [Target],
    request_id: Option<RequestId>,
    context: Sorted<'a>,
    personal: Sorted<'a>,
    commitments: Sorted<'a>,
    meta: Sorted<'a>,
    redacted: bool,
    truncated: bool,
    content_hash: String,
    /// Parts that could not be read, and stand here as if they were empty.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    damaged: &'a [String],
    /// Whether parts were left out, and stand here as if they were empty.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    omitted: bool,
}

#[derive(Serialize)]
struct Actor<'a> {
    kind: &'a str,
    id: &'a str,
    user_id: Option<UserId>,
    on_behalf_of: Option<UserId>,
}

/// Appends the entry and a line feed. The same entry gives the same bytes, always.
pub(crate) fn line(entry: &Entry, omitted: bool, out: &mut String) -> Result<(), Error> {
    put(&Line::of(entry, omitted), out)?;
    out.push('\n');
    Ok(())
}

impl<'a> Line<'a> {
    pub(super) fn of(entry: &'a Entry, omitted: bool) -> Self {
        Self {
            schema_version: entry.schema_version,
            id: entry.id,
            tenant_id: entry.tenant,
            occurred_at: time(entry.occurred_at()),
            created_at: time(entry.created_at),
            actor: Actor {
                kind: &entry.actor.kind,
                id: &entry.actor.id,
                user_id: entry.actor.user,
                on_behalf_of: entry.actor.on_behalf_of,
            },
            action: &entry.action,
            outcome: entry.outcome.as_str(),
            resource: entry.resource.as_deref(),
            targets: &entry.targets,
            request_id: entry.request,
            context: Sorted(&entry.context),
            personal: Sorted(&entry.personal),
            commitments: Sorted(&entry.commitments),
            meta: Sorted(&entry.meta),
            redacted: entry.redacted,
            truncated: entry.truncated,
            content_hash: BASE64.encode(entry.content_hash),
            damaged: &entry.damaged,
            omitted,
        }
    }
}
