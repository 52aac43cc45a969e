use std::fmt;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::{Signer as _, SigningKey};
use tenancy_core::SecretText;
use zeroize::Zeroizing;

use crate::{
    Error, ErrorKind, SealKey, SealSignature, SealSigner,
    model::{invalid_key, named_key},
};

/// The variable that [`Ed25519Signer::from_env`] reads.
const VARIABLE: &str = "TENANCY_AUDIT_SEAL_KEY";

/// Signs with an Ed25519 key in this process, given as `name:base64`.
///
/// To rotate, start the sealer with a key of another name, and keep the public part of the old one:
/// the seals it signed are verified with it.
///
/// ```
/// use tenancy_audit::{Ed25519Signer, SealKeys, SealSigner as _};
///
/// let key = Ed25519Signer::generate("2026-a")?;
/// let signer = Ed25519Signer::parse(key.expose())?;
/// assert_eq!(signer.key_name(), "2026-a");
/// let keys = SealKeys::parse(&signer.public_key().to_text())?;
/// # Ok::<(), tenancy_audit::Error>(())
/// ```
pub struct Ed25519Signer {
    name: String,
    key: SigningKey,
}

impl Ed25519Signer {
    /// Parses `name:base64` of the 32 secret bytes.
    ///
    /// # Errors
    /// `audit_seal_key_invalid`; the message does not repeat the key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, seed) = named_key::<32>(text)?;
        let seed = Zeroizing::new(seed);
        Ok(Self {
            name,
            key: SigningKey::from_bytes(&seed),
        })
    }

    /// Reads the key from the variable `TENANCY_AUDIT_SEAL_KEY`.
    ///
    /// # Errors
    /// `audit_seal_key_invalid`, also if it is not set.
    pub fn from_env() -> Result<Self, Error> {
        let text = std::env::var(VARIABLE).map(Zeroizing::new).map_err(|_| {
            let message = format!("set `{VARIABLE}` to the key that signs seals, as `name:base64`");
            Error::new(ErrorKind::Misconfigured, "audit_seal_key_invalid", message)
        })?;
        Self::parse(&text)
    }

    /// A new key under this name, as [`parse`](Self::parse) reads it. Keep it outside the database.
    ///
    /// # Errors
    /// `audit_seal_key_invalid` for the name; `randomness_unavailable`.
    pub fn generate(name: &str) -> Result<SecretText, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|_| {
            let message = "the operating system gives no random bytes";
            Error::new(ErrorKind::Unavailable, "randomness_unavailable", message)
        })?;
        let encoded = Zeroizing::new(BASE64.encode(seed.as_ref()));
        let key = SecretText::new(format!("{name}:{}", *encoded));
        Self::parse(key.expose()).map_err(|_| invalid_key())?;
        Ok(key)
    }

    /// The public part, for whoever verifies.
    pub fn public_key(&self) -> SealKey {
        SealKey::new(self.name.clone(), self.key.verifying_key())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SealSigner for Ed25519Signer {
    fn key_name(&self) -> String {
        self.name.clone()
    }

    async fn sign(&self, message: &[u8]) -> Result<SealSignature, Error> {
        Ok(SealSignature::from_bytes(self.key.sign(message).to_bytes()))
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519Signer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
