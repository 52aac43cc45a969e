//! Where a page ended, as a text that a client hands back.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};
use tenancy_core::TenantId;
use uuid::Uuid;

use super::query::AuditQuery;
use crate::{Error, ErrorKind};

const VERSION: u8 = 1;
const PRINT_LEN: usize = 8;
const LEN: usize = 1 + 16 + PRINT_LEN;

/// Where a page ended. Opaque: what is in it may change from version to version.
///
/// It belongs to one search in one tenant. It is not a credential: a forged one shows nothing but
/// another page of the same tenant's log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor([u8; LEN]);

/// What a cursor says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Position {
    /// The last entry of the page before.
    pub(crate) last: Uuid,
}

impl Cursor {
    pub(crate) fn at(position: &Position, query: &AuditQuery, tenant: TenantId) -> Self {
        let mut bytes = [VERSION; LEN];
        let print = query.fingerprint(tenant);
        let rest = position.last.as_bytes().iter().chain(&print);
        bytes
            .iter_mut()
            .skip(1)
            .zip(rest)
            .for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    pub(crate) fn position(&self, query: &AuditQuery, tenant: TenantId) -> Result<Position, Error> {
        let mut last = [0; 16];
        let mut rest = self.0.iter().skip(1);
        last.iter_mut()
            .zip(rest.by_ref())
            .for_each(|(to, from)| *to = *from);
        if !rest.eq(query.fingerprint(tenant).iter().take(PRINT_LEN)) {
            return Err(Error::new(
                ErrorKind::Cursor,
                "audit_cursor_mismatch",
                "the cursor belongs to another search: start at its first page",
            ));
        }
        Ok(Position {
            last: Uuid::from_bytes(last),
        })
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || {
            Error::new(
                ErrorKind::Cursor,
                "audit_cursor_invalid",
                "the cursor can't be read",
            )
        };
        // Checked first, so that a long text is not decoded at all.
        if text.len() > 4 * LEN {
            return Err(invalid());
        }
        let bytes = BASE64.decode(text).map_err(|_| invalid())?;
        if bytes.first().is_some_and(|version| *version != VERSION) {
            return Err(Error::new(
                ErrorKind::Cursor,
                "audit_cursor_version",
                "the cursor is of another version: start at the first page",
            ));
        }
        bytes.try_into().map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl TryFrom<String> for Cursor {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tenancy_core::Outcome;

    use super::*;

    #[test]
    fn a_cursor_serves_its_own_search_only() {
        let (query, tenant) = (AuditQuery::new().with_limit(5), TenantId::new());
        let last = Uuid::now_v7();
        let cursor: Cursor = Cursor::at(&Position { last }, &query, tenant)
            .to_string()
            .parse()
            .unwrap();
        assert_eq!(
            cursor
                .position(&query.clone().with_limit(9), tenant)
                .unwrap()
                .last,
            last
        );

        let other = query.clone().with_outcome(Outcome::Denied);
        let code = |result: Result<Position, Error>| result.unwrap_err().code();
        assert_eq!(
            code(cursor.position(&other, tenant)),
            "audit_cursor_mismatch"
        );
        assert_eq!(
            code(cursor.position(&query, TenantId::new())),
            "audit_cursor_mismatch"
        );
    }

    #[test]
    fn old_and_damaged_cursors_have_names() {
        let parse = |text: &str| text.parse::<Cursor>().unwrap_err().code();
        let newer = BASE64.encode([2; 40]);
        assert_eq!(parse(&newer), "audit_cursor_version");
        for bad in [
            "",
            "a",
            "é",
            "AQ",
            &"A".repeat(1 << 20),
            &BASE64.encode([1; 24]),
        ] {
            assert!(parse(bad).starts_with("audit_cursor_"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}", bytes in any::<Vec<u8>>()) {
            let _ = text.parse::<Cursor>();
            let _ = BASE64.encode(bytes).parse::<Cursor>();
        }
    }
}
