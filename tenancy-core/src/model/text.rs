//! Names that people choose: slugs, tenant names, e-mail addresses.

use unicode_normalization::UnicodeNormalization as _;

use crate::InvalidInput;

/// A tenant's name in addresses: `^[a-z0-9]+(-[a-z0-9]+)*$`, 3 to 63 characters (a DNS label), and
/// no uuid.
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
        // A slug that reads as an id could be taken for another tenant's.
        let reads_as_id = text.parse::<uuid::Uuid>().is_ok();
        if (3..=63).contains(&text.len()) && text.split('-').all(label) && !reads_as_id {
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

/// A tenant's name for people: 1 to 200 characters, trimmed, in Unicode's normal form C.
///
/// What makes a name look like another without being seen is refused, not stripped: control
/// characters, zero-width ones, right-to-left marks, variation selectors, fillers, and any space but
/// the plain one. Letters of other scripts that resemble each other are not: a name is no key, and
/// whoever must tell tenants apart looks at the slug, which is ASCII.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct TenantName(String);

/// More bytes than the longest name can have, however it is composed.
const MAX_NAME_BYTES: usize = 8 * 1024;

impl TenantName {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let name: String = if text.len() > MAX_NAME_BYTES {
            text.to_owned()
        } else {
            text.nfc().collect()
        };
        let name = name.trim();
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
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}'
            | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// An e-mail address as typed, and as it is compared: trimmed and lower-cased.
///
/// Only what can be told without sending mail is checked, by RFC 5321 and 5322: one `@`, before it
/// at most 64 characters of a dot-atom (no quotes, so nothing that a mail header would read as two
/// addresses), behind it labels of letters, digits and inner hyphens, at most 254 in all.
///
/// ASCII only, so that no address looks like another: full-width letters, letters of other scripts
/// and marks of direction are refused. A domain with other letters is written in its ASCII form
/// (`xn--…`), as the mail itself is. What the provider of a mailbox may ignore is kept: `a+b` and `a`
/// are two addresses, and so are `a.b` and `ab`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Email {
    typed: String,
    normalised: String,
}

impl Email {
    /// Parses an address.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let typed = text.trim();
        if !typed.is_ascii() {
            let message = format!(
                "`{}` has letters that are not ASCII: write the domain as `xn--…`",
                InvalidInput::quote(typed)
            );
            return Err(InvalidInput::new("email_not_ascii", message));
        }
        let plausible = typed
            .rsplit_once('@')
            .is_some_and(|(local, domain)| is_local(local) && domain.split('.').all(is_label));
        if plausible && typed.len() <= 254 {
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

fn is_local(text: &str) -> bool {
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    text.len() <= 64
        && text
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(atom))
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let edge = text.starts_with('-') || text.ends_with('-');
    (1..=63).contains(&text.len()) && !edge && text.bytes().all(inner)
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
