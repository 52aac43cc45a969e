//! What a client may write into headers: traces, logins, hosts, all of them at once.
#![no_main]

use tenancy_core::testing::fuzz;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::traceparent(text);
    fuzz::bearer(text);
    fuzz::host(text);
    fuzz::request(text);
});
