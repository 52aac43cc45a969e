//! What is no JWT and opens something all the same: API keys, tokens of invitations, signed webhooks.
#![no_main]

use tenancy_core::testing::fuzz;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::api_key(text);
    fuzz::invitation(text);
    fuzz::webhook(text);
});
