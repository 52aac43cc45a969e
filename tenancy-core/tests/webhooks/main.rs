//! Webhooks: signatures, where they may go, and the way from a change to the queue.

mod events;
mod handling;
mod host;
mod kept;
mod peer;
mod sending;
mod signing;
mod turns;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Failure> = std::result::Result<T, E>;
