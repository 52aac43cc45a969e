//! Text that must not be seen.

use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use crate::{Error, ErrorKind};

/// So many random bytes, straight from the system.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(|_| {
        let message = "the system gives no random bytes";
        Error::new(ErrorKind::Unavailable, "randomness", message)
    })?;
    Ok(bytes)
}

/// A secret text: wiped when dropped, and neither shown, compared, cloned nor serialised.
///
/// ```
/// let token = tenancy_core::SecretText::new("s3cr3t");
/// assert_eq!(format!("{token:?}"), "SecretText(***)");
/// assert_eq!(token.expose(), "s3cr3t");
/// ```
pub struct SecretText(String);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What is recorded of a secret: that there is one.
///
/// ```
/// use tenancy_core::{Event, SecretText};
///
/// let event = Event::new("mailbox.connected").meta("login", SecretText::new("hunter2"));
/// assert_eq!(event.meta["login"], "[redacted]");
/// ```
impl From<SecretText> for Value {
    fn from(_: SecretText) -> Self {
        Self::from("[redacted]")
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(***)")
    }
}

/// Something that opens a door outside, as a [`CredentialSource`](crate::CredentialSource) gives it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Credential {
    /// The token or key.
    pub secret: SecretText,
    /// Counts the times it was replaced, so that a caller can say which one was refused.
    pub generation: i64,
    /// When it ends, where that is known.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Credential {
    /// A credential of the generation given.
    pub fn new(secret: SecretText, generation: i64) -> Self {
        Self {
            secret,
            generation,
            expires_at: None,
        }
    }

    /// Says when it ends.
    pub fn with_expires_at(mut self, at: Option<DateTime<Utc>>) -> Self {
        self.expires_at = at;
        self
    }
}
