//! What a user of the queue relies on, on real Postgres, with two tenants and more processes.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helper fails like the test"
)]

mod chaos;
mod child;
mod enqueue;
mod fairness;
mod handlers;
mod history;
mod isolation;
mod leads;
mod once;
mod statements;
mod suite;
mod support;
mod suspended;
mod worker;
