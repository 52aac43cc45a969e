//! API keys, and ids that pages continue from.
#![no_main]

use tenancy_core::testing::fuzz;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::api_key(text);
    fuzz::cursor(text);
});
