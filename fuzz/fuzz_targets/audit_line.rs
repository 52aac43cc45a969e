//! Lines of a file that proves an audit log.
#![no_main]

use tenancy_audit::testing::fuzz;

libfuzzer_sys::fuzz_target!(|line: &[u8]| {
    fuzz::line(line);
});
