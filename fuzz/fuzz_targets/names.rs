//! Slugs, names, e-mail addresses and keys.
#![no_main]

use tenancy_core::testing::fuzz;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::slug(text);
    fuzz::name(text);
    fuzz::email(text);
    fuzz::key(text);
});
