//! What a user of the queue relies on, on real Postgres, with two tenants and more processes.

mod child;
mod enqueue;
mod fairness;
mod history;
mod isolation;
mod leads;
mod once;
mod statements;
mod suite;
mod support;
mod worker;
