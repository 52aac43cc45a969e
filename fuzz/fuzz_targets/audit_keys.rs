//! Keys of an audit log as people write them.
#![no_main]

use tenancy_audit::testing::fuzz;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::keys(text);
});
