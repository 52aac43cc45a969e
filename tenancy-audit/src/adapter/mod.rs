//! Keys, anchors and targets that ship with the crate.

mod ed25519;
mod file_anchor;
#[cfg(feature = "http-client")]
mod http_anchor;
#[cfg(feature = "webhooks")]
mod webhook_target;

pub use ed25519::Ed25519Signer;
pub use file_anchor::FileAnchor;
#[cfg(feature = "http-client")]
pub use http_anchor::HttpAnchor;
#[cfg(feature = "webhooks")]
pub use webhook_target::WebhookTarget;

/// A name for where something is, which may be long, and may be a URL with a secret in it.
fn place(kind: &str, address: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    use sha2::{Digest as _, Sha256};
    format!("{kind}:{}", BASE64.encode(Sha256::digest(address)))
}
