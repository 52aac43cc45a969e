//! One key for each record.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{Error, RecordKey};

/// A record's key, and the commitment that proves which key it is.
///
/// AES-GCM alone lets one ciphertext open under two keys; comparing the commitment first closes
/// that. Deriving also means that no pair of key and nonce is ever used twice, without a counter.
pub(crate) struct Derived {
    pub(crate) key: RecordKey,
    pub(crate) commitment: [u8; 32],
}

pub(crate) fn derive(secret: &[u8; 32], salt: &[u8; 32], info: &[u8]) -> Result<Derived, Error> {
    let mut output = Zeroizing::new([0; 76]);
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info, output.as_mut())
        .map_err(|_| broken())?;
    let (key, rest) = output.split_first_chunk::<32>().ok_or_else(broken)?;
    let (nonce, rest) = rest.split_first_chunk::<12>().ok_or_else(broken)?;
    let (commitment, _) = rest.split_first_chunk::<32>().ok_or_else(broken)?;
    Ok(Derived {
        key: RecordKey::new(Zeroizing::new(*key), *nonce),
        commitment: *commitment,
    })
}

fn broken() -> Error {
    Error::internal("key_derivation", "a key could not be derived")
}
