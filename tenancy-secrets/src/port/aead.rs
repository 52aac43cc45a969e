use std::fmt;

use zeroize::Zeroizing;

use crate::Error;

/// The key and the nonce of one record. They are derived, used once, and wiped.
pub struct RecordKey {
    key: Zeroizing<[u8; 32]>,
    nonce: [u8; 12],
}

impl RecordKey {
    /// Puts a key and a nonce together. A pair must never seal twice.
    pub fn new(key: Zeroizing<[u8; 32]>, nonce: [u8; 12]) -> Self {
        Self { key, nonce }
    }

    /// The key.
    pub fn expose(&self) -> &[u8; 32] {
        &self.key
    }

    /// The nonce.
    pub fn nonce(&self) -> &[u8; 12] {
        &self.nonce
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKey(***)")
    }
}

/// AES-256-GCM with a nonce of 96 bits and a tag of 128.
///
/// # Contract
/// [`seal`](Self::seal) replaces the buffer by the ciphertext with the tag behind it;
/// [`open`](Self::open) takes that back, or leaves no plaintext in the buffer. What one
/// implementation sealed every other opens.
///
/// # Concurrency
/// Any number of calls at once; no state.
///
/// # Errors and retry
/// A tag that does not fit is [`Unreadable`](crate::ErrorKind::Unreadable).
///
/// # Cancellation
/// Not asynchronous.
///
/// # For implementors
/// `tenancy_secrets::testing::conformance::aead` is the suite.
#[cfg_attr(feature = "testing", mockall::automock)]
pub trait Aead: Send + Sync + 'static {
    /// Seals the buffer in place and appends the tag.
    fn seal(&self, key: &RecordKey, aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Error>;

    /// Checks the tag, takes it off, and opens the buffer in place.
    fn open(&self, key: &RecordKey, aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Error>;
}
