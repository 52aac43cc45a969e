//! Queries of the audit log as people type them: read, written, and read again.
#![no_main]

use tenancy_audit::{AuditQuery, Cursor, IpRange};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match text.parse::<AuditQuery>() {
        Ok(query) => assert_eq!(query.to_string().parse::<AuditQuery>(), Ok(query)),
        Err(error) => assert!(error.position() <= text.chars().count()),
    }
    drop(text.parse::<Cursor>());
    drop(text.parse::<IpRange>());
});
