//! What a user of this crate relies on, against a real database.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a test fails by panicking, and a table of cases is long"
)]

mod at_once;
mod attacks;
mod conformance;
mod defaults;
mod denials;
mod documents;
mod epochs;
mod expiry;
mod functions;
mod gates;
mod grpc;
mod held;
mod helper;
mod history;
mod hostile;
mod imports;
mod kept_out;
mod keys;
mod kinds;
mod listening;
mod lost;
mod many;
mod members;
mod parents;
mod paths;
mod permissions;
mod plans;
mod policy;
mod ports;
mod processes;
mod properties;
mod reviews;
mod roles;
mod routes;
mod rules;
mod scale;
mod staleness;
mod stores;
mod strangers;
mod suite_format;
mod support;
mod templates;
mod transfer;
mod unlogged;
mod upgrades;
mod wildcards;
mod wire;
