//! What the environment and the builder ask for.

use std::path::PathBuf;

use crate::error::Error;
use crate::model::PgMajor;

/// Everything that decides which server is used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// `TENANCY_DATABASE_URL`: the operator's login on a server that is already there.
    pub(crate) database_url: Option<String>,
    /// `TENANCY_APP_DATABASE_URL`: the app's login on that server.
    pub(crate) app_url: Option<String>,
    /// `TENANCY_WORKER_DATABASE_URL`: the worker's login on that server.
    pub(crate) worker_url: Option<String>,
    /// `TENANCY_ALLOW_CREATE_DATABASE=1`: that server may be written to.
    pub(crate) allow_create: bool,
    /// `TENANCY_PG_BIN`: a directory with `postgres` and `initdb`.
    pub(crate) pg_bin: Option<PathBuf>,
    /// `TENANCY_DEVDB_SYSTEM=0`: what is installed on this machine is not looked at.
    pub(crate) skip_installed: bool,
    /// `TENANCY_PG_MAJOR`, or the builder's choice; nobody chose when `None`.
    pub(crate) major: Option<PgMajor>,
    /// `TENANCY_DEVDB_CACHE`, or the builder's choice.
    pub(crate) cache: Option<PathBuf>,
    /// Writes are forced to disk.
    pub(crate) durable: bool,
}

impl Settings {
    /// Reads the variables through `var`. An empty one counts as absent, as compose files leave them.
    pub(crate) fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let get = |name: &str| var(name).filter(|v| !v.trim().is_empty());
        Ok(Self {
            database_url: get("TENANCY_DATABASE_URL"),
            app_url: get("TENANCY_APP_DATABASE_URL"),
            worker_url: get("TENANCY_WORKER_DATABASE_URL"),
            allow_create: get("TENANCY_ALLOW_CREATE_DATABASE").is_some_and(|v| v.trim() == "1"),
            pg_bin: get("TENANCY_PG_BIN").map(PathBuf::from),
            skip_installed: get("TENANCY_DEVDB_SYSTEM").is_some_and(|v| v.trim() == "0"),
            major: get("TENANCY_PG_MAJOR").map(|v| v.parse()).transpose()?,
            cache: get("TENANCY_DEVDB_CACHE").map(PathBuf::from),
            durable: false,
        })
    }

    /// The version to fetch when no installation decides.
    pub(crate) fn major_or_default(&self) -> PgMajor {
        self.major.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_figure_one_gives_leave_to_create_databases() {
        for (value, want) in [("1", true), ("0", false), ("true", false), ("", false)] {
            let read = Settings::read(|n| {
                (n == "TENANCY_ALLOW_CREATE_DATABASE").then(|| value.to_owned())
            });
            assert_eq!(read.unwrap().allow_create, want, "{value}");
        }
    }

    #[test]
    fn an_unknown_major_is_an_error_and_an_empty_one_is_absent() {
        let with = |v: &'static str| {
            Settings::read(move |n| (n == "TENANCY_PG_MAJOR").then(|| v.to_owned()))
        };
        assert!(with("15").is_err());
        assert_eq!(with("").unwrap().major, None);
        assert_eq!(with("16").unwrap().major, Some(PgMajor::V16));
    }
}
