use std::fmt;

use serde::{Deserialize, Serialize};
use tenancy_core::{Grammar, InvalidInput, PermissionKey};

/// Every permission below a prefix, also those that are registered later: `docs.*`.
///
/// It is what a role is granted, never what is asked for: it is expanded into keys when something
/// is written, and a check compares keys.
///
/// ```
/// use tenancy_authz::Wildcard;
/// use tenancy_core::PermissionKey;
///
/// let docs = Wildcard::parse("docs.*")?;
/// assert!(docs.covers(&PermissionKey::from_static("docs.pages.read")));
/// assert!(!docs.covers(&PermissionKey::from_static("docs_old.read")));
/// assert!(docs.includes(&Wildcard::parse("docs.pages.*")?));
/// # Ok::<_, tenancy_core::InvalidInput>(())
/// ```
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Wildcard(String);

impl Wildcard {
    const PREFIX: Grammar = Grammar::dotted("wildcard_invalid", 1, 125);

    /// Parses words of `[a-z][a-z0-9_]*` that end with `.*`.
    ///
    /// # Errors
    /// Says what is allowed.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidInput> {
        let text = text.into();
        match text.strip_suffix(".*") {
            Some(prefix) if Self::PREFIX.accepts(prefix) => Ok(Self(text)),
            _ => {
                let shown = InvalidInput::quote(&text);
                let message = format!(
                    "`{shown}` is no wildcard: use words of `[a-z][a-z0-9_]*` joined by `.`, and `.*` at the end"
                );
                Err(InvalidInput::new("wildcard_invalid", message))
            }
        }
    }

    /// Whether a permission is below its prefix.
    pub fn covers(&self, permission: &PermissionKey) -> bool {
        permission.as_str().starts_with(self.prefix())
    }

    /// Whether everything that the other one grants, now and later, is granted by this one.
    pub fn includes(&self, other: &Self) -> bool {
        other.0.starts_with(self.prefix())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With its full stop: `docs_old.read` is not below `docs.`.
    fn prefix(&self) -> &str {
        self.0.strip_suffix('*').unwrap_or(&self.0)
    }
}

impl fmt::Display for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Wildcard {
    type Error = InvalidInput;

    fn try_from(text: String) -> Result<Self, InvalidInput> {
        Self::parse(text)
    }
}

impl From<Wildcard> for String {
    fn from(wildcard: Wildcard) -> Self {
        wildcard.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_words_and_a_star_at_the_end() {
        for good in ["docs.*", "docs.pages.*", "a_1.b2.*"] {
            assert_eq!(Wildcard::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "*",
            ".*",
            "docs*",
            "docs.",
            "docs.*.read",
            "docs.**",
            "Docs.*",
            "docs.%",
            "döcs.*",
            " docs.*",
        ] {
            assert_eq!(
                Wildcard::parse(bad).unwrap_err().code(),
                "wildcard_invalid",
                "{bad}"
            );
        }
    }
}
