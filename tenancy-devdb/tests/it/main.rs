//! What a developer relies on, against real servers and real processes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod durable;
mod errors;
mod external;
mod fetch;
mod lifetime;
mod many;
mod node;
mod support;
mod templates;
