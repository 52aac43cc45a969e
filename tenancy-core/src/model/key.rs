//! Text keys: lower-case ASCII names that code, database and messages share.

/// Defines a parsed text newtype over one of the [key grammars](crate::Grammar).
///
/// `parse` checks at run time, `from_static` at compile time when it is used in a `const`.
#[macro_export]
macro_rules! text_key {
    ($(#[$meta:meta])* pub struct $name:ident($grammar:expr);) => {
        $(#[$meta])*
        #[derive(
            Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd,
            $crate::__private::serde::Deserialize,
            $crate::__private::serde::Serialize,
        )]
        #[serde(crate = "tenancy_core::__private::serde", try_from = "String", into = "String")]
        pub struct $name(::std::borrow::Cow<'static, str>);

        impl $name {
            const GRAMMAR: $crate::Grammar = $grammar;

            /// Parses a key; the error names the rule that the text breaks.
            pub fn parse(text: impl Into<String>) -> ::std::result::Result<Self, $crate::InvalidInput> {
                let text = text.into();
                Self::GRAMMAR.check(&text)?;
                Ok(Self(::std::borrow::Cow::Owned(text)))
            }

            /// Makes a key from a literal.
            ///
            /// # Panics
            /// When the literal breaks the grammar: at compile time in a `const`.
            pub const fn from_static(text: &'static str) -> Self {
                assert!(Self::GRAMMAR.accepts(text), "this literal breaks the grammar of its key");
                Self(::std::borrow::Cow::Borrowed(text))
            }

            /// The key's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::convert::AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl ::std::convert::TryFrom<String> for $name {
            type Error = $crate::InvalidInput;

            fn try_from(text: String) -> ::std::result::Result<Self, Self::Error> {
                Self::parse(text)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::InvalidInput;

            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl ::std::convert::From<$name> for String {
            fn from(key: $name) -> Self {
                key.0.into_owned()
            }
        }
    };
}

/// What a text key may look like: words of `[a-z][a-z0-9_]*`, joined by full stops.
///
/// ```
/// use tenancy_core::PermissionKey;
///
/// const READ: PermissionKey = PermissionKey::from_static("templates.read");
/// assert!(PermissionKey::parse("Templates.Read").is_err());
/// # assert_eq!(READ.as_str(), "templates.read");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Grammar {
    code: &'static str,
    min_words: usize,
    max_words: usize,
    max_len: usize,
}

impl Grammar {
    /// One word, such as `support`. `code` is the stable code of the error.
    pub const fn word(code: &'static str, max_len: usize) -> Self {
        Self {
            code,
            min_words: 1,
            max_words: 1,
            max_len,
        }
    }

    /// At least `min_words` words, such as `templates.read`.
    pub const fn dotted(code: &'static str, min_words: usize, max_len: usize) -> Self {
        Self {
            code,
            min_words,
            max_words: usize::MAX,
            max_len,
        }
    }

    /// Whether the text follows the grammar.
    #[expect(
        clippy::indexing_slicing,
        reason = "iterators are not const; the index is bounded"
    )]
    pub const fn accepts(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > self.max_len {
            return false;
        }
        let (mut at, mut words, mut word_start) = (0, 1, true);
        while at < bytes.len() {
            match bytes[at] {
                b'a'..=b'z' => word_start = false,
                b'0'..=b'9' | b'_' if !word_start => {}
                b'.' if !word_start => {
                    words += 1;
                    word_start = true;
                }
                _ => return false,
            }
            at += 1;
        }
        !word_start && words >= self.min_words && words <= self.max_words
    }

    /// Like [`accepts`](Self::accepts), with an error that says what is allowed.
    pub fn check(&self, text: &str) -> Result<(), crate::InvalidInput> {
        if self.accepts(text) {
            return Ok(());
        }
        let shape = match (self.min_words, self.max_words) {
            (_, 1) => "one word of `[a-z][a-z0-9_]*`".to_owned(),
            (min, _) => format!("at least {min} word(s) of `[a-z][a-z0-9_]*` joined by `.`"),
        };
        let shown = crate::InvalidInput::quote(text);
        let message = format!(
            "`{shown}` is not allowed: use {shape}, at most {} characters",
            self.max_len
        );
        Err(crate::InvalidInput::new(self.code, message))
    }
}

text_key! {
    /// Names a role within a tenant, such as `support`. Never changed and never used again.
    pub struct RoleKey(Grammar::word("role_key_invalid", 63));
}
text_key! {
    /// Names a permission, such as `templates.read`.
    pub struct PermissionKey(Grammar::dotted("permission_key_invalid", 2, 127));
}
text_key! {
    /// Names a part of the host that acts for tenants by itself, such as `importer`.
    pub struct ServiceKey(Grammar::word("service_key_invalid", 63));
}
text_key! {
    /// Names what happened, such as `template.updated`.
    pub struct ActionKey(Grammar::dotted("action_invalid", 2, 127));
}
text_key! {
    /// Names a setting or a limit of a tenant, such as `members.pending_invitations`.
    pub struct SettingKey(Grammar::dotted("setting_key_invalid", 2, 127));
}
text_key! {
    /// Names a kind of job, such as `kb.ingest`: it finds the handler.
    pub struct JobKind(Grammar::dotted("job_kind_invalid", 1, 127));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_lower_case_ascii_words() {
        for good in ["a.b", "templates.read", "kb.docs.write_all", "a1.b2"] {
            assert!(PermissionKey::parse(good).is_ok(), "{good}");
        }
        let long = format!("a.{}", "b".repeat(126));
        for bad in [
            "",
            "a",
            ".",
            "a.",
            ".b",
            "a..b",
            "A.b",
            "a.b c",
            "a.1",
            "ä.b",
            "a.b'; --",
            "a.\0",
            "a.\u{202e}b",
            &long,
        ] {
            assert!(PermissionKey::parse(bad).is_err(), "{bad}");
        }
        assert!(RoleKey::parse("a.b").is_err());
    }

    #[test]
    fn a_key_that_arrives_as_json_is_checked() {
        assert!(serde_json::from_str::<RoleKey>("\"support\"").is_ok());
        assert!(serde_json::from_str::<RoleKey>("\"sup port\"").is_err());
    }
}
