//! The public keys that seals are verified with.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::{Signature, VerifyingKey};

use super::bytes::{SealSignature, decode};
use crate::Error;

/// The longest name of a key.
const MAX_NAME: usize = 64;

/// A public key with its name. Its text is `name:base64`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SealKey {
    name: String,
    key: VerifyingKey,
}

/// The keys that seals may be signed with: the one in use and those before it.
///
/// ```
/// use tenancy_audit::SealKeys;
///
/// let keys = SealKeys::parse("# 2026\n2026-a:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n")?;
/// assert_eq!(keys.names().collect::<Vec<_>>(), ["2026-a"]);
/// assert_eq!(SealKeys::parse("2026-a:short").unwrap_err().code(), "audit_seal_key_invalid");
/// # Ok::<(), tenancy_audit::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SealKeys(BTreeMap<String, VerifyingKey>);

impl SealKey {
    pub(crate) fn new(name: String, key: VerifyingKey) -> Self {
        Self { name, key }
    }

    /// Parses `name:base64`.
    ///
    /// # Errors
    /// `audit_seal_key_invalid`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, bytes) = named::<32>(text)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| invalid())?;
        Ok(Self { name, key })
    }

    /// The name by which seals refer to it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `name:base64`, as [`parse`](Self::parse) reads it.
    pub fn to_text(&self) -> String {
        format!("{}:{}", self.name, BASE64.encode(self.key.as_bytes()))
    }
}

impl SealKeys {
    /// These keys; of two with one name the later one counts.
    pub fn new(keys: impl IntoIterator<Item = SealKey>) -> Self {
        Self(keys.into_iter().map(|key| (key.name, key.key)).collect())
    }

    /// These and more; of two with one name the later one counts.
    pub fn with(mut self, keys: impl IntoIterator<Item = SealKey>) -> Self {
        self.0.extend(Self::new(keys).0);
        self
    }

    /// Parses one key a line; empty lines and lines that begin with `#` are left out.
    ///
    /// # Errors
    /// `audit_seal_key_invalid`, also if there is no key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = Self::new(keys.map(SealKey::parse).collect::<Result<Vec<_>, _>>()?);
        if keys.0.is_empty() {
            Err(invalid())
        } else {
            Ok(keys)
        }
    }

    /// The names of the keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether the key of this name signed this; `None` if there is no such key.
    pub(crate) fn verify(
        &self,
        name: &str,
        message: &[u8],
        signature: &SealSignature,
    ) -> Option<bool> {
        let key = self.0.get(name)?;
        let signature = Signature::from_bytes(signature.as_bytes());
        Some(key.verify_strict(message, &signature).is_ok())
    }
}

/// A name and so many bytes.
pub(crate) fn named<const N: usize>(text: &str) -> Result<(String, [u8; N]), Error> {
    let (name, bytes) = text.trim().split_once(':').ok_or_else(invalid)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(fits) {
        return Err(invalid());
    }
    Ok((name.to_owned(), decode(bytes).ok_or_else(invalid)?))
}

/// Does not repeat what was given: it may be a private key.
pub(crate) fn invalid() -> Error {
    Error::invalid(
        "audit_seal_key_invalid",
        "a key is written `name:base64`, with 32 bytes and a name of letters, digits and `-_.`",
    )
}
