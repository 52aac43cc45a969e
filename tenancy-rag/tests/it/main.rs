//! What a host relies on, against real Postgres, as the app's login, with two tenants in the
//! database.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::format_collect,
    clippy::too_many_lines,
    reason = "a test tells one story, on small texts"
)]

mod access;
mod bad_input;
mod citations;
mod common;
mod documents;
mod http;
mod http_embedder;
mod index;
mod ingest;
mod jobs;
mod kill;
mod quota;
mod recall;
mod retrieve;
mod statements;
mod suites;
