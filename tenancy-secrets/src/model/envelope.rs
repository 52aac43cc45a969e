//! Format v1 of a sealed secret.
//!
//! ```text
//! offset  length  what
//!      0       1  version: 1
//!      1       1  suite: 1 = HKDF-SHA256, AES-256-GCM
//!      2      16  id of the data key
//!     18      32  salt
//!     50      32  commitment to the record key
//!     82     n+16  ciphertext, tag
//! ```

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tenancy_core::TenantId;
use uuid::Uuid;

use super::{canonical::Canonical, key::KeyId, name::FieldKey, name::ProviderKey};
use crate::Error;

/// The longest plaintext that is sealed, in bytes.
pub const MAX_SECRET_LEN: usize = 64 * 1024;

pub(crate) const VERSION: u8 = 1;
const TAG: usize = 16;
const HEADER: usize = 82;

/// Which algorithms sealed a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Suite {
    /// A record key by HKDF-SHA256, and AES-256-GCM.
    HkdfSha256Aes256Gcm,
}

impl Suite {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::HkdfSha256Aes256Gcm => 1,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, Error> {
        match byte {
            1 => Ok(Self::HkdfSha256Aes256Gcm),
            _ => Err(Error::unreadable(
                "envelope_suite_unknown",
                "the envelope was sealed with algorithms this version does not know",
            )),
        }
    }
}

/// A sealed secret, taken apart. Holding one opens nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    pub(crate) suite: Suite,
    pub(crate) key: KeyId,
    pub(crate) salt: [u8; 32],
    pub(crate) commitment: [u8; 32],
    pub(crate) sealed: Vec<u8>,
}

impl Envelope {
    /// Takes bytes apart; says nothing yet about whether they open.
    ///
    /// # Errors
    /// [`Unreadable`](crate::ErrorKind::Unreadable) with the code `envelope_version_unknown`,
    /// `envelope_suite_unknown` or `envelope_malformed`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let (&version, rest) = bytes.split_first().ok_or_else(malformed)?;
        if version != VERSION {
            return Err(Error::unreadable(
                "envelope_version_unknown",
                "the envelope has a format this version does not know",
            ));
        }
        let (&suite, rest) = rest.split_first().ok_or_else(malformed)?;
        let suite = Suite::from_byte(suite)?;
        let (key, rest) = rest.split_first_chunk::<16>().ok_or_else(malformed)?;
        let (salt, rest) = rest.split_first_chunk::<32>().ok_or_else(malformed)?;
        let (commitment, sealed) = rest.split_first_chunk::<32>().ok_or_else(malformed)?;
        if !(TAG..=MAX_SECRET_LEN + TAG).contains(&sealed.len()) {
            return Err(malformed());
        }
        Ok(Self {
            suite,
            key: KeyId::from_uuid(Uuid::from_bytes(*key)),
            salt: *salt,
            commitment: *commitment,
            sealed: sealed.to_vec(),
        })
    }

    /// The bytes of the format.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.sealed.len());
        bytes.extend_from_slice(&[VERSION, self.suite.byte()]);
        bytes.extend_from_slice(self.key.as_uuid().as_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.commitment);
        bytes.extend_from_slice(&self.sealed);
        bytes
    }

    /// As the column `encrypted` holds it: `{"v": 1, "envelope": "<base64>"}`.
    pub fn to_json(&self) -> Value {
        json!({ "v": VERSION, "envelope": STANDARD.encode(self.to_bytes()) })
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_json(json: &Value) -> Result<Self, Error> {
        let text = json.get("envelope").and_then(Value::as_str);
        let bytes = STANDARD
            .decode(text.ok_or_else(malformed)?)
            .map_err(|_| malformed())?;
        Self::parse(&bytes)
    }

    /// The data key that sealed it.
    pub fn key(&self) -> KeyId {
        self.key
    }
}

fn malformed() -> Error {
    Error::unreadable("envelope_malformed", "the envelope is not whole")
}

/// Where a sealed value belongs. It opens there and nowhere else.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Binding {
    /// Whose it is.
    pub tenant: TenantId,
    /// For which provider.
    pub provider: ProviderKey,
    /// In which row.
    pub row: Uuid,
    /// Which part of the credential it is.
    pub field: FieldKey,
    /// Which value of the secret it is, counted from 1.
    pub version: i64,
}

impl Binding {
    /// Names a place.
    pub fn new(
        tenant: TenantId,
        provider: ProviderKey,
        row: Uuid,
        field: FieldKey,
        version: i64,
    ) -> Self {
        Self {
            tenant,
            provider,
            row,
            field,
            version,
        }
    }
}

/// Somewhere a record belongs: the bytes that are authenticated with it are never stored, but
/// rebuilt from where it is found.
pub(crate) trait Place: Sync {
    fn to_bytes(&self, suite: Suite, key: KeyId) -> Vec<u8>;
}

impl Place for Binding {
    fn to_bytes(&self, suite: Suite, key: KeyId) -> Vec<u8> {
        Canonical::new(b"tenancy-secrets/record")
            .part(&[VERSION])
            .part(&[suite.byte()])
            .part(self.tenant.as_uuid().as_bytes())
            .part(self.provider.as_str().as_bytes())
            .part(self.row.as_bytes())
            .part(self.field.as_str().as_bytes())
            .part(&self.version.to_be_bytes())
            .part(key.as_uuid().as_bytes())
            .finish()
    }
}
