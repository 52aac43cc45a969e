//! Keys and anchors that ship with the crate.

mod ed25519;
mod file_anchor;
#[cfg(feature = "http-client")]
mod http_anchor;

pub use ed25519::Ed25519Signer;
pub use file_anchor::FileAnchor;
#[cfg(feature = "http-client")]
pub use http_anchor::HttpAnchor;
