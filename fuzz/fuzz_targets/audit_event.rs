//! Events of an audit log whose details come from outside.
#![no_main]

use tenancy_audit::testing::fuzz;

libfuzzer_sys::fuzz_target!(|json: &[u8]| {
    fuzz::event(json);
});
