//! Permissions, wildcards, names of roles, and what pages continue from.
#![no_main]

use tenancy_authz::testing::fuzz;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::grant(text);
    fuzz::role_name(text);
    fuzz::cursor(text);
});
