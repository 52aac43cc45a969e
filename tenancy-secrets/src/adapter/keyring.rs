//! Key-encryption keys of the host itself.

use std::{collections::HashMap, fmt, path::Path, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq as _;
use tenancy_core::SecretText;
use zeroize::Zeroizing;

use crate::{
    Aead, AesGcm, DataKey, Error, KeyWrap, WrapContext, WrappedKey,
    model::{Canonical, derive, random},
};

/// The environment variable that holds a keyring.
const ENV: &str = "TENANCY_KEYRING";
/// The environment variable that names a file with one.
const ENV_FILE: &str = "TENANCY_KEYRING_FILE";

const FORMAT: u8 = 1;

/// Key-encryption keys in this process's memory, from the environment or a file.
///
/// One entry a line (or separated by commas): a name, a colon, 32 bytes in base64. The first one
/// is the primary: it wraps; the others unwrap what they wrapped before. Keys are wiped when the
/// keyring is dropped.
///
/// To change the key: add the new one *behind* the old one on every process, then put it first,
/// then run [`rewrap_all`](crate::Rotation::rewrap_all), then take the old one away.
///
/// ```
/// use tenancy_secrets::{KeyWrap as _, LocalKeyring};
///
/// let line = LocalKeyring::generate_entry("2026-a").unwrap();
/// let keyring = LocalKeyring::parse(line.expose()).unwrap();
/// assert_eq!(keyring.primary(), "2026-a");
/// ```
pub struct LocalKeyring {
    primary: String,
    keys: HashMap<String, Zeroizing<[u8; 32]>>,
}

impl LocalKeyring {
    /// Reads `TENANCY_KEYRING`, or the file that `TENANCY_KEYRING_FILE` names.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) if neither or both are set, or what they hold
    /// is no keyring.
    pub fn from_env() -> Result<Self, Error> {
        match (std::env::var(ENV), std::env::var_os(ENV_FILE)) {
            (Ok(text), None) => Self::parse(&Zeroizing::new(text)),
            (Err(_), Some(path)) => Self::from_file(path),
            (Ok(_), Some(_)) => Err(invalid(format!("set `{ENV}` or `{ENV_FILE}`, not both"))),
            (Err(_), None) => Err(invalid(format!(
                "there is no keyring: set `{ENV}` or `{ENV_FILE}` (`tenancy secrets keygen` makes one)"
            ))),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) if it can't be read or is no keyring.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| {
            invalid(format!(
                "can't read the keyring `{}`: {error}",
                path.display()
            ))
        })?;
        Self::parse(&Zeroizing::new(text))
    }

    /// Reads entries. Empty lines and those that begin with `#` don't count.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured), naming the entry by its number, never by its
    /// text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let entries = text
            .split(['\n', ','])
            .map(str::trim)
            .filter(|entry| !entry.is_empty() && !entry.starts_with('#'));
        let mut primary = None;
        let mut keys = HashMap::new();
        for (number, entry) in entries.enumerate() {
            let (id, key) = parse_entry(entry).ok_or_else(|| {
                invalid(format!(
                    "entry {} of the keyring is not `name:base64 of 32 bytes`",
                    number + 1
                ))
            })?;
            primary.get_or_insert_with(|| id.clone());
            if keys.insert(id.clone(), key).is_some() {
                return Err(invalid(format!("the keyring names `{id}` twice")));
            }
        }
        let primary = primary.ok_or_else(|| invalid("the keyring is empty"))?;
        Ok(Self { primary, keys })
    }

    /// A new entry, to be kept where secrets are kept.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) for a name that is not 1 to 100 characters of
    /// `[A-Za-z0-9._-]`.
    pub fn generate_entry(id: &str) -> Result<SecretText, Error> {
        if !is_id(id) {
            return Err(invalid(
                "a key's name is 1 to 100 characters of `[A-Za-z0-9._-]`",
            ));
        }
        let key = Zeroizing::new(random::<32>()?);
        let encoded = Zeroizing::new(STANDARD.encode(key.as_ref()));
        Ok(SecretText::new(format!("{id}:{}", *encoded)))
    }

    /// A keyring of one new key, gone with this value: for tests and demonstrations.
    pub fn ephemeral() -> Result<Self, Error> {
        Self::parse(Self::generate_entry("ephemeral")?.expose())
    }

    /// The names of the keys, sorted.
    pub fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<_> = self.keys.keys().map(String::as_str).collect();
        ids.sort_unstable();
        ids
    }

    fn key(&self, id: &str) -> Result<&[u8; 32], Error> {
        self.keys.get(id).map(|key| &**key).ok_or_else(|| {
            let message = format!("the keyring has no key `{id}`, which wrapped a data key");
            Error::misconfigured("kek_missing", message)
        })
    }
}

fn parse_entry(entry: &str) -> Option<(String, Zeroizing<[u8; 32]>)> {
    let (id, encoded) = entry.split_once(':')?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let key: &[u8; 32] = bytes.as_slice().try_into().ok()?;
    is_id(id).then(|| (id.to_owned(), Zeroizing::new(*key)))
}

fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=100).contains(&id.len()) && id.bytes().all(allowed)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::misconfigured("keyring_invalid", message)
}

fn info(kek_id: &str, context: &WrapContext) -> Vec<u8> {
    Canonical::new(b"tenancy-secrets/local-keyring")
        .part(&[FORMAT])
        .part(kek_id.as_bytes())
        .part(&context.to_bytes())
        .finish()
}

fn unreadable() -> Error {
    Error::unreadable(
        "data_key_unreadable",
        "a wrapped data key is damaged, or belongs to another tenant or id",
    )
}

#[async_trait]
impl KeyWrap for LocalKeyring {
    fn primary(&self) -> String {
        self.primary.clone()
    }

    async fn wrap(&self, context: &WrapContext, key: &DataKey) -> Result<WrappedKey, Error> {
        let salt = random::<32>()?;
        let info = info(&self.primary, context);
        let derived = derive(self.key(&self.primary)?, &salt, &info)?;
        let mut sealed = Vec::with_capacity(48);
        sealed.extend_from_slice(key.expose());
        AesGcm::new().seal(&derived.key, &info, &mut sealed)?;
        let bytes = [&[FORMAT][..], &salt, &derived.commitment, &sealed].concat();
        Ok(WrappedKey::new(&self.primary, bytes))
    }

    async fn unwrap(&self, context: &WrapContext, wrapped: &WrappedKey) -> Result<DataKey, Error> {
        let kek = self.key(&wrapped.kek_id)?;
        let (&format, rest) = wrapped.bytes.split_first().ok_or_else(unreadable)?;
        let (salt, rest) = rest.split_first_chunk::<32>().ok_or_else(unreadable)?;
        let (commitment, sealed) = rest.split_first_chunk::<32>().ok_or_else(unreadable)?;
        let info = info(&wrapped.kek_id, context);
        let derived = derive(kek, salt, &info)?;
        if format != FORMAT || !bool::from(derived.commitment.ct_eq(commitment)) {
            return Err(unreadable());
        }
        let mut key = Zeroizing::new(sealed.to_vec());
        AesGcm::new()
            .open(&derived.key, &info, &mut key)
            .map_err(|_| unreadable())?;
        DataKey::from_slice(&key)
    }
}

impl fmt::Debug for LocalKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKeyring")
            .field("primary", &self.primary)
            .field("ids", &self.ids())
            .finish_non_exhaustive()
    }
}

impl From<LocalKeyring> for Arc<dyn KeyWrap> {
    fn from(keyring: LocalKeyring) -> Self {
        Arc::new(keyring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_first_entry_wraps_and_errors_never_repeat_a_key() {
        let made = ["a", "b"].map(|id| LocalKeyring::generate_entry(id).unwrap());
        let [a, b] = [0, 1].map(|at| made[at].expose());
        let both = LocalKeyring::parse(&format!("# keys\n{a}\n\n{b}\n")).unwrap();
        assert_eq!(both.primary(), "a");
        assert_eq!(both.ids(), ["a", "b"]);

        let canary = STANDARD.encode([7; 31]);
        for bad in [
            String::new(),
            "a:".into(),
            format!("a:{canary}"),
            canary.clone(),
            format!("{a},{a}"),
        ] {
            let error = LocalKeyring::parse(&bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured);
            assert!(!format!("{error} {error:?}").contains(&canary), "{error}");
        }
        assert!(!format!("{both:?}").contains(a.split_once(':').unwrap().1));
    }
}
