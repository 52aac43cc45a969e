//! Slugs, names, e-mail addresses, reasons, subjects and keys.
#![no_main]

use tenancy_core::testing::fuzz;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::slug(text);
    fuzz::name(text);
    fuzz::email(text);
    fuzz::reason(text);
    fuzz::subject(text);
    fuzz::key(text);
});
