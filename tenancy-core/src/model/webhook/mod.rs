//! What is sent outside, and how it is signed.

mod endpoint;
mod key;
mod message;

pub use endpoint::WebhookEndpoint;
pub use key::{WebhookKeys, WebhookSecret};
pub(crate) use message::body_of;
pub use message::{SignedWebhook, WebhookMessage};
