//! AES-256-GCM by AWS-LC.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::{Aead, Error, RecordKey};

/// AES-256-GCM by AWS-LC: faster from about a kilobyte upwards. Opens what
/// [`AesGcm`](crate::AesGcm) sealed, and the other way round.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AwsLc;

impl AwsLc {
    /// Has no settings.
    pub fn new() -> Self {
        Self
    }
}

fn cipher(key: &RecordKey) -> Result<LessSafeKey, Error> {
    UnboundKey::new(&AES_256_GCM, key.expose())
        .map(LessSafeKey::new)
        .map_err(|_| Error::internal("seal_failed", "a record could not be sealed"))
}

impl Aead for AwsLc {
    fn seal(&self, key: &RecordKey, aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Error> {
        // Growing later would leave a copy of the plaintext behind.
        buffer.reserve_exact(16);
        cipher(key)?
            .seal_in_place_append_tag(Nonce::from(key.nonce()), Aad::from(aad), buffer)
            .map_err(|_| Error::internal("seal_failed", "a record could not be sealed"))
    }

    fn open(&self, key: &RecordKey, aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Error> {
        let opened = cipher(key)?
            .open_in_place(Nonce::from(key.nonce()), Aad::from(aad), buffer)
            .map(|plaintext| plaintext.len());
        let length =
            opened.map_err(|_| Error::unreadable("tag_mismatch", "the record does not open"))?;
        buffer.truncate(length);
        Ok(())
    }
}
