//! API keys: their text, and what a tenant sees of them.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::secret::random;
use crate::{ApiKeyId, Error, InvalidInput, PermissionKey, SecretText, TenantName, UserId};

/// What every key begins with.
const START: &str = "tk_";
/// The random characters that are shown.
const SHOWN: usize = 8;
/// 32 bytes in base 62.
const SECRET: usize = 43;
/// A CRC-32 in base 62.
const CHECKSUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Where a host's keys are good, such as `live` or `test`: 1 to 16 of `a-z` and `0-9`. It is part of
/// each key, so that one that is used in the wrong place says so.
///
/// ```
/// use tenancy_core::KeyEnvironment;
///
/// assert_eq!(KeyEnvironment::default().as_str(), "live");
/// assert!(KeyEnvironment::parse("Live").is_err());
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyEnvironment(String);

impl KeyEnvironment {
    /// Parses a name.
    pub fn parse(name: &str) -> Result<Self, InvalidInput> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if (1..=16).contains(&name.len()) && name.bytes().all(allowed) {
            return Ok(Self(name.to_owned()));
        }
        let shown = InvalidInput::quote(name);
        let message = format!("`{shown}` is no environment: use 1 to 16 of `a-z` and `0-9`");
        Err(InvalidInput::new("key_environment_invalid", message))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for KeyEnvironment {
    fn default() -> Self {
        Self("live".to_owned())
    }
}

/// The text of a key: `tk_<environment>_<8 characters that are shown>_<secret><checksum>`.
///
/// The secret is 32 random bytes in base 62. The checksum tells a scanner for leaked secrets, and
/// us, a key from a text that only looks like one, without asking the database.
pub(crate) struct KeyText(Zeroizing<String>);

impl KeyText {
    pub(crate) fn generate(environment: &KeyEnvironment) -> Result<Self, Error> {
        let random = random::<{ 32 + SHOWN }>()?;
        let (secret, shown) = random.split_at(32);
        let mut text = Zeroizing::new(String::with_capacity(96));
        text.push_str(START);
        text.push_str(environment.as_str());
        text.push('_');
        // Not a secret, so the slight preference for some digits does no harm.
        text.extend(shown.iter().map(|byte| digit(u32::from(*byte))));
        text.push('_');
        text.push_str(&base62(secret, SECRET));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Ok(Self(text))
    }

    /// Reads what a client sent; `None` for what is no key.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(START)?;
        let mut parts = rest.split('_');
        let (environment, shown, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let base62 = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric());
        let shaped = parts.next().is_none()
            && KeyEnvironment::parse(environment).is_ok()
            && shown.len() == SHOWN
            && secret.len() == SECRET + CHECKSUM
            && base62(shown)
            && base62(secret);
        let (body, sum) = text.split_at_checked(text.len().checked_sub(CHECKSUM)?)?;
        (shaped && checksum(body) == sum).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// What is shown of the key in lists.
    pub(crate) fn prefix(&self) -> &str {
        self.0.rsplit_once('_').map_or("", |(prefix, _)| prefix)
    }

    pub(crate) fn environment(&self) -> &str {
        self.0.split('_').nth(1).unwrap_or_default()
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    pub(crate) fn into_secret(self) -> SecretText {
        SecretText::new(self.0.as_str())
    }
}

fn digit(value: u32) -> char {
    char::from(DIGITS.get(value as usize % 62).copied().unwrap_or(b'0'))
}

/// A number of any length in base 62, filled up to `width` digits.
fn base62(bytes: &[u8], width: usize) -> Zeroizing<String> {
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut digits = Zeroizing::new(Vec::with_capacity(width));
    for _ in 0..width {
        let mut rest = 0_u32;
        for byte in number.iter_mut() {
            let value = (rest << 8) | u32::from(*byte);
            // The rest is below 62, so the quotient fits.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        digits.push(digit(rest));
    }
    Zeroizing::new(digits.iter().rev().collect())
}

/// CRC-32 (ISO-HDLC), as in a gzip file, in base 62.
fn checksum(text: &str) -> String {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    base62(&(!crc).to_be_bytes(), CHECKSUM).to_string()
}

/// A key as its tenant sees it; the key itself is nowhere.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ApiKey {
    /// The identifier.
    pub id: ApiKeyId,
    /// Its name for people.
    pub name: String,
    /// What is shown of it: `tk_live_4fzq8w1k`.
    pub prefix: String,
    /// What it may do.
    pub permissions: Vec<PermissionKey>,
    /// Who made it. When he is no longer an active member, it stops working.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it works.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The key that replaced it.
    pub rotated_to: Option<ApiKeyId>,
}

/// A key to be made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewApiKey {
    /// Its name for people.
    pub name: TenantName,
    /// What it may do: 1 to 50 permissions, all of which its maker holds.
    pub permissions: Vec<PermissionKey>,
    /// For how long it works; 90 days by default, 2 years at most.
    pub valid_for: Duration,
}

impl NewApiKey {
    /// A key that works for 90 days.
    pub fn new(name: TenantName, permissions: Vec<PermissionKey>) -> Self {
        Self {
            name,
            permissions,
            valid_for: Duration::from_hours(90 * 24),
        }
    }

    /// Sets for how long it works.
    pub fn with_valid_for(mut self, duration: Duration) -> Self {
        self.valid_for = duration;
        self
    }
}

/// A key that was just made, with its text, which is shown this once: only its hash is stored.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedApiKey {
    /// The key as it is listed.
    pub key: ApiKey,
    /// The text that a client sends.
    pub secret: SecretText,
}

impl IssuedApiKey {
    pub(crate) fn new(key: ApiKey, text: KeyText) -> Self {
        Self {
            key,
            secret: text.into_secret(),
        }
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyText({}_***)", self.prefix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_and_the_base_are_the_known_ones() {
        // CRC-32 of `123456789` is 0xcbf43926 = 3,421,780,262.
        assert_eq!(
            checksum("123456789"),
            *base62(&3_421_780_262_u32.to_be_bytes(), 6)
        );
        assert_eq!(*base62(&[0], 3), "000");
        assert_eq!(*base62(&[61], 2), "0z");
        assert_eq!(*base62(&[1, 0], 3), "048");
        assert_eq!(base62(&[0xff; 32], SECRET).len(), SECRET);
        assert_ne!(base62(&[0xff; 32], SECRET).chars().next(), Some('0'));
    }

    #[test]
    fn a_key_is_read_back_and_anything_near_it_is_not() {
        let key = KeyText::generate(&KeyEnvironment::default()).unwrap();
        let text = key.0.as_str().to_owned();
        assert_eq!(text.len(), 66);
        let read = KeyText::parse(&text).unwrap();
        assert_eq!((read.hash(), read.environment()), (key.hash(), "live"));
        assert!(text.starts_with(key.prefix()) && key.prefix().len() == 16);
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(KeyText::parse(&changed).is_none(), "{at}");
            assert!(KeyText::parse(&text[..at]).is_none());
        }
        for bad in [
            "",
            "tk_",
            "tk_live_",
            &format!("{text}x"),
            &format!(" {text}"),
            &text.replace('_', "ä"),
        ] {
            assert!(KeyText::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn two_keys_differ_and_none_is_shown() {
        let make = || KeyText::generate(&KeyEnvironment::default()).unwrap();
        let (one, two) = (make(), make());
        assert_ne!(*one.0, *two.0);
        assert!(!format!("{one:?}").contains(one.0.as_str()));
    }
}
