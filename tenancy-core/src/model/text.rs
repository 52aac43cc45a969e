//! Names that people choose: slugs, tenant names, e-mail addresses.

use crate::InvalidInput;

/// A tenant's name in addresses: `^[a-z0-9]+(-[a-z0-9]+)*$`, 3 to 63 characters (a DNS label).
///
/// ```
/// use tenancy_core::Slug;
///
/// assert!(Slug::parse("acme-corp").is_ok());
/// assert!(Slug::parse("Acme Corp").is_err());
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Serialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// Parses a slug. Nothing is lower-cased or trimmed: what a user sees is what he typed.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let label = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if (3..=63).contains(&text.len()) && text.split('-').all(label) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidInput::new(
            "slug_invalid",
            format!(
                "`{}` is no slug: use 3 to 63 of `a-z`, `0-9` and single `-` between them",
                InvalidInput::quote(text)
            ),
        ))
    }

    /// The slug's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A tenant's name for people: 1 to 200 characters, trimmed.
///
/// Control characters and the invisible ones that make a name look like another (zero width,
/// right-to-left overrides) are refused, not stripped.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct TenantName(String);

impl TenantName {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let name = text.trim();
        let length = name.chars().count();
        if !(1..=200).contains(&length) {
            let message = format!("a name has 1 to 200 characters, this one has {length}");
            return Err(InvalidInput::new("name_length", message));
        }
        if let Some(bad) = name.chars().find(|c| is_invisible(*c)) {
            let message = format!("a name can't contain `{}`", bad.escape_unicode());
            return Err(InvalidInput::new("name_invisible_character", message));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text for people of 1 to `most` characters, trimmed; `what` it is, for the message.
pub(super) fn visible(
    text: &str,
    most: usize,
    code: &'static str,
    what: &str,
) -> Result<String, InvalidInput> {
    let text = text.trim();
    let length = text.chars().count();
    if !(1..=most).contains(&length) || text.chars().any(is_invisible) {
        let message = format!("{what} has 1 to {most} characters, none of them invisible");
        return Err(InvalidInput::new(code, message));
    }
    Ok(text.to_owned())
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// An e-mail address as typed, and as it is compared: trimmed and lower-cased.
///
/// Only what can be told without sending mail is checked: one `@`, a domain with no empty label,
/// ASCII without spaces or control characters, at most 254 characters (RFC 5321).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Email {
    typed: String,
    normalised: String,
}

impl Email {
    /// Parses an address.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let typed = text.trim();
        let plausible = typed.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && local.len() <= 64
                && domain.split('.').all(|label| {
                    !label.is_empty()
                        && label
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                })
        });
        if plausible && typed.len() <= 254 && typed.bytes().all(|b| b.is_ascii_graphic()) {
            let normalised = typed.to_ascii_lowercase();
            return Ok(Self {
                typed: typed.to_owned(),
                normalised,
            });
        }
        let message = format!("`{}` is no e-mail address", InvalidInput::quote(text));
        Err(InvalidInput::new("email_invalid", message))
    }

    /// The address as it was typed, for display and for sending.
    pub fn as_typed(&self) -> &str {
        &self.typed
    }

    /// The address as it is compared.
    pub fn normalised(&self) -> &str {
        &self.normalised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_with_upper_case_spaces_or_sql_are_refused() {
        let long = "a".repeat(64);
        for bad in [
            "",
            "ab",
            "Acme",
            "a b c",
            "acme'; drop table x;--",
            "-acme",
            "acme-",
            "a--b",
            "äcme",
            "acme\0",
            &long,
        ] {
            assert_eq!(
                Slug::parse(bad).unwrap_err().code(),
                "slug_invalid",
                "{bad}"
            );
        }
        assert!(Slug::parse(&"a".repeat(63)).is_ok());
    }

    #[test]
    fn names_that_hide_something_are_refused() {
        for bad in [
            "",
            "   ",
            "a\0b",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\nb",
            &"n".repeat(201),
        ] {
            assert!(TenantName::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            TenantName::parse("  Ácme & Söhne ").unwrap().as_str(),
            "Ácme & Söhne"
        );
    }

    #[test]
    fn addresses_are_compared_without_case() {
        let email = Email::parse(" Ada@Example.COM ").unwrap();
        assert_eq!(
            (email.as_typed(), email.normalised()),
            ("Ada@Example.COM", "ada@example.com")
        );
        for bad in [
            "", "ada", "@x.de", "ada@", "a@b@c", "a b@c.de", "a@.de", "a@b..c", "a@b\n.c",
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
    }
}
