//! Persons whose data can be erased by destroying a key.

use std::fmt;

use crate::InvalidInput;

/// Names a person (or whatever else has data that may have to be erased) within a tenant, by a
/// key the host has: a user's uuid, the number of a lead. 1 to 200 bytes without control characters.
///
/// An implementation keeps a hash of it at most. Don't use what changes, such as an e-mail address.
///
/// ```
/// use tenancy_core::Subject;
///
/// assert!(Subject::parse("lead:4711").is_ok());
/// assert!(Subject::parse("").is_err());
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Subject(String);

impl Subject {
    /// Parses a name.
    ///
    /// # Errors
    /// `subject_invalid`; the message does not repeat the name.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidInput> {
        let text = text.into();
        if (1..=200).contains(&text.len()) && !text.chars().any(char::is_control) {
            return Ok(Self(text));
        }
        let message = "a subject has 1 to 200 bytes without control characters";
        Err(InvalidInput::new("subject_invalid", message))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<crate::UserId> for Subject {
    /// A user of the host.
    fn from(user: crate::UserId) -> Self {
        Self(format!("user:{user}"))
    }
}

impl fmt::Debug for Subject {
    /// The name may be personal, so it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject(***)")
    }
}

/// Personal data as a host stores it, in a column of its own: sealed under its subject's key.
///
/// It holds no plaintext, and opens in its tenant and for its subject only.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(transparent)]
pub struct SealedText(String);

impl SealedText {
    /// Takes over what was stored. Whether it is whole shows when it is opened.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
