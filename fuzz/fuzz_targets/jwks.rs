//! What an identity provider, or whoever stands in its place, may answer.
#![no_main]

use tenancy_core::testing::fuzz;

libfuzzer_sys::fuzz_target!(|document: &[u8]| {
    fuzz::jwks(document);
});
