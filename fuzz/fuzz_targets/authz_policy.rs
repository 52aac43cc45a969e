//! Policies as files, and files of the suite of conformance.
#![no_main]

use tenancy_authz::testing::fuzz;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::policy(text);
    fuzz::suite(text);
});
