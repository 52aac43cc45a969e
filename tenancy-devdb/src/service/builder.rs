//! Choices before the start.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::model::{PgMajor, Settings};
use crate::service::DevDb;

/// Chooses which development server is used. Made by [`DevDb::builder`].
///
/// What is chosen here goes before `TENANCY_PG_MAJOR` and `TENANCY_DEVDB_CACHE`. The other
/// variables always hold: the person at the machine knows better than the program.
#[derive(Clone, Default)]
#[must_use]
pub struct DevDbBuilder {
    major: Option<PgMajor>,
    cache: Option<PathBuf>,
    durable: bool,
    vars: Option<Vars>,
}

impl DevDbBuilder {
    /// The Postgres version. By default what is installed, else 18.
    pub fn major(mut self, major: PgMajor) -> Self {
        self.major = Some(major);
        self
    }

    /// The directory for packages and clusters. By default `/var/tmp/tenancy-devdb-0` as root,
    /// else `tenancy-devdb` under `$XDG_CACHE_HOME` or `~/.cache`. As root everybody has to be
    /// able to enter it.
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache = Some(dir.into());
        self
    }

    /// A server of its own whose commits wait for the disk, for measurements. By default `fsync`
    /// and `synchronous_commit` are off and the data lies in memory where that is possible.
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Reads the `TENANCY_*` variables through `vars` instead of the environment of this process.
    pub fn vars(mut self, vars: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.vars = Some(Arc::new(vars));
        self
    }

    /// Joins the server, or starts it. See [`DevDb::start`].
    pub async fn start(self) -> Result<DevDb, Error> {
        let mut settings = match &self.vars {
            Some(vars) => Settings::read(|name| vars(name))?,
            None => Settings::read(|name| std::env::var(name).ok())?,
        };
        settings.major = self.major.or(settings.major);
        settings.cache = self.cache.or(settings.cache);
        settings.durable = self.durable;
        DevDb::open(settings).await
    }
}

impl fmt::Debug for DevDbBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevDbBuilder")
            .field("major", &self.major)
            .field("cache", &self.cache)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

type Vars = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;
