//! What pages continue from: ids, and the audit log's cursors.
#![no_main]

use tenancy_audit::Cursor;
use tenancy_core::testing::fuzz;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::cursor(text);
    match text.parse::<Cursor>() {
        Ok(cursor) => assert_eq!(cursor.to_string().parse::<Cursor>().ok(), Some(cursor)),
        Err(error) => assert!(error.to_string().len() < 200),
    }
});
