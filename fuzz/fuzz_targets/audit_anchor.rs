//! What an anchor kept of an audit log.
#![no_main]

use tenancy_audit::testing::fuzz;

libfuzzer_sys::fuzz_target!(|heads: &[u8]| {
    fuzz::anchor(heads);
});
