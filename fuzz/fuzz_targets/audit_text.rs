//! Texts that are looked through for secrets.
#![no_main]

use tenancy_audit::testing::fuzz;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::text(text);
});
