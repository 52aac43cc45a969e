//! AES-256-GCM in Rust.

use aes_gcm::{Aes256Gcm, Nonce, aead::AeadInOut as _, aead::KeyInit as _};

use crate::{Aead, Error, RecordKey};

/// AES-256-GCM by the `aes-gcm` crate, which finds hardware support by itself: the default.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AesGcm;

impl AesGcm {
    /// Has no settings.
    pub fn new() -> Self {
        Self
    }
}

impl Aead for AesGcm {
    fn seal(&self, key: &RecordKey, aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Error> {
        // Growing later would leave a copy of the plaintext behind.
        buffer.reserve_exact(16);
        Aes256Gcm::new(key.expose().into())
            .encrypt_in_place(&Nonce::from(*key.nonce()), aad, buffer)
            .map_err(|_| Error::internal("seal_failed", "a record could not be sealed"))
    }

    fn open(&self, key: &RecordKey, aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Error> {
        Aes256Gcm::new(key.expose().into())
            .decrypt_in_place(&Nonce::from(*key.nonce()), aad, buffer)
            .map_err(|_| Error::unreadable("tag_mismatch", "the record does not open"))
    }
}
