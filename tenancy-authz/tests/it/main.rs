//! What a user of this crate relies on, against a real database.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a test fails by panicking, and a table of cases is long"
)]

mod attacks;
mod conformance;
mod gates;
mod grpc;
mod helper;
mod listening;
mod many;
mod members;
mod permissions;
mod policy;
mod ports;
mod processes;
mod properties;
mod roles;
mod routes;
mod staleness;
mod stores;
mod support;
