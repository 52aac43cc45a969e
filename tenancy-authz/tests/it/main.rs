//! What a user of this crate relies on, against a real database.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a test fails by panicking, and a table of cases is long"
)]

mod attacks;
mod gates;
mod helper;
mod members;
mod permissions;
mod policy;
mod ports;
mod properties;
mod roles;
mod staleness;
mod stores;
mod support;
