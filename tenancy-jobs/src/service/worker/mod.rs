//! The worker: claims jobs, runs their handlers in the tenants' contexts, settles them.

mod attempt;
mod batch;
mod bounded;
mod builder;
mod close;
mod engine;
mod handlers;
mod keep;
mod lease;
mod progress;
mod report;
mod session;

pub use builder::{Worker, WorkerBuilder};
pub use report::WorkerReport;
