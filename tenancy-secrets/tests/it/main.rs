//! What a user relies on, against a real Postgres and a real authorization server.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]
#![expect(clippy::too_many_lines, reason = "a story is told in one piece")]

mod begin_and_end;
mod case;
mod children;
mod flow;
mod held;
mod leaks;
mod oidc;
mod refresh;
mod revocations;
mod rotation;
mod routes;
mod statements;
mod stores;
mod subjects;
mod support;
mod suspended;
mod vault;
