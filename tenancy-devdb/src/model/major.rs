//! Which Postgres.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// A major version of Postgres that the suite runs on.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum PgMajor {
    /// Postgres 16; in the fetched package.
    V16,
    /// Postgres 17; only from an installation on this machine.
    V17,
    /// Postgres 18; in the fetched package, and what is taken when nobody chooses.
    #[default]
    V18,
}

impl PgMajor {
    /// The number, as in `SHOW server_version`.
    pub const fn number(self) -> u32 {
        match self {
            Self::V16 => 16,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }

    /// The directory of this version inside the fetched package.
    pub(crate) const fn wheel_dir(self) -> Option<&'static str> {
        match self {
            Self::V16 => Some("pginstall"),
            Self::V17 => None,
            Self::V18 => Some("pginstall18"),
        }
    }

    /// The version with this number, when it is one that is served.
    pub(crate) const fn from_number(n: u32) -> Option<Self> {
        match n {
            16 => Some(Self::V16),
            17 => Some(Self::V17),
            18 => Some(Self::V18),
            _ => None,
        }
    }
}

impl fmt::Display for PgMajor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

impl FromStr for PgMajor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.trim()
            .parse()
            .ok()
            .and_then(Self::from_number)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Config,
                    format!("`{text}` is no Postgres version served here; choose 16, 17 or 18"),
                )
            })
    }
}
