//! Signed tokens.
#![no_main]

use tenancy_core::testing::fuzz;

libfuzzer_sys::fuzz_target!(|token: &str| {
    fuzz::jwt(token);
});
