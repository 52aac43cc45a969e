//! Signed tokens, whole, and what stands in them.
#![no_main]

use tenancy_core::testing::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(token) = std::str::from_utf8(bytes) {
        fuzz::jwt(token);
    }
    fuzz::jwt_part(bytes);
});
