//! Files that prove an audit log, and damage done to one.
#![no_main]

use tenancy_audit::testing::fuzz;

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    fuzz::proof(file);
    fuzz::damaged_proof(file);
});
