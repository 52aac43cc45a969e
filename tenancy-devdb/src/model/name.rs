//! Names of databases and roles that may stand in a statement.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind};

/// A database's or role's name, made only of lower-case letters, digits and `_`.
///
/// DDL takes no parameters, so names are written into its text; this type is what makes that safe.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct DbName(String);

impl DbName {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let head = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let tail = text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if head && tail && text.len() <= MAX_LEN {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "`{text}` is no database name here: at most {MAX_LEN} lower-case letters, \
                 digits and underscores, not starting with a digit"
            ),
        ))
    }

    /// A name no other test of this or another living process has.
    pub(crate) fn next_test(tag: &str) -> Self {
        // From the clock on: a process that got a dead one's id does not meet its names.
        static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            AtomicU64::new(u64::try_from(since.as_millis()).unwrap_or_default())
        });
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!("{TEST_PREFIX}{tag}{}_{n}", std::process::id()))
    }

    /// The template that belongs to `key`.
    pub(crate) fn template(key: &str, vector: bool) -> Self {
        let salt = if vector { "v" } else { "n" };
        Self(format!("tpl_{}", hash_hex(&[salt, key], 10)))
    }

    /// The process that made the test database `name`, if it is one.
    pub(crate) fn test_owner(name: &str, tag: &str) -> Option<u32> {
        let (pid, n) = name
            .strip_prefix(TEST_PREFIX)?
            .strip_prefix(tag)?
            .split_once('_')?;
        n.parse::<u64>().ok()?;
        pid.parse().ok()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DbName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first `bytes` bytes of the SHA-256 over `parts`, as hex.
pub(crate) fn hash_hex(parts: &[&str], bytes: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(bytes * 2);
    text
}

const TEST_PREFIX: &str = "t_";
const MAX_LEN: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_end_a_statement_is_refused() {
        for bad in ["", "1a", "A", "a b", "a;drop", "a\"b", "ä", &"x".repeat(64)] {
            assert_eq!(
                DbName::parse(bad).unwrap_err().kind(),
                ErrorKind::Config,
                "{bad}"
            );
        }
        assert_eq!(DbName::parse("a_1").unwrap().as_str(), "a_1");
    }

    #[test]
    fn the_owner_of_a_test_database_is_read_from_its_name() {
        let mine = DbName::next_test("");
        assert_eq!(
            DbName::test_owner(mine.as_str(), ""),
            Some(std::process::id())
        );
        assert_eq!(DbName::test_owner("t_ab_12_3", "ab_"), Some(12));
        assert_eq!(DbName::test_owner("t_ab_12_3", ""), None);
        assert_eq!(DbName::test_owner("tpl_12_3", ""), None);
    }
}
