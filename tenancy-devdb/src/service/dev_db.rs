//! The development server.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{BoxError, Error};
use crate::host::{Binaries, Cache, Server, clean};
use crate::model::{DbName, Endpoint, Login, PgMajor, Settings};
use crate::postgres::{self, Admin, Copying};
use crate::service::{Database, DevDbBuilder, TestDb, external, local, template};

/// A running Postgres with pgvector, shared with every other process that asked for the same.
///
/// Dereferences to its default [`Database`], which lasts from run to run. The server lives at
/// least as long as this process. Cheap to clone.
#[derive(Clone)]
pub struct DevDb {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) endpoint: Endpoint,
    pub(crate) database: Database,
    pub(crate) major: PgMajor,
    /// Keeps a server of ours alive.
    pub(crate) server: Option<Arc<Server>>,
    /// The programs of a server of ours.
    pub(crate) programs: Option<Binaries>,
    /// Stands in the names of test databases on a server that other machines may use as well.
    pub(crate) tag: String,
    /// Why no database may be created, if so.
    pub(crate) read_only: Option<&'static str>,
}

impl DevDb {
    /// Joins the server that the environment asks for, or starts it: fetched on the first use,
    /// shared afterwards. Takes well under a second unless something has to be fetched.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoDatabase`](crate::ErrorKind::NoDatabase) names every way to provide a
    /// database and why each failed. A variable that is set and wrong is an error of its own and
    /// never passed over.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// Chooses the version, the cache, durability.
    pub fn builder() -> DevDbBuilder {
        DevDbBuilder::default()
    }

    /// The server's version.
    pub fn major(&self) -> PgMajor {
        self.inner.major
    }

    /// The path of a program of this Postgres, such as `pg_dump` or `psql`; `None` where it has
    /// none of that name, or the server is not one of ours.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        self.inner
            .programs
            .as_ref()
            .map(|p| p.program(name))
            .filter(|path| path.is_file())
    }

    /// The database `name`, made if it does not exist: owned by the operator, with `vector`, and
    /// kept from run to run.
    ///
    /// At most 63 lower-case letters, digits and underscores.
    pub async fn database(&self, name: &str) -> Result<Database, Error> {
        let name = DbName::parse(name)?;
        template::ensure_plain(self, &name).await?;
        Ok(Database::new(&self.inner.endpoint, Some(&name)))
    }

    /// Drops the database `name` with everything in it and all its sessions, if it exists.
    pub async fn drop_database(&self, name: &str) -> Result<(), Error> {
        let name = DbName::parse(name)?;
        let mut admin = self.admin().await?;
        admin.drop(&name).await?;
        admin.close().await;
        Ok(())
    }

    /// A fresh copy of the template that `migrate` makes; see [`TestDb::from_template`].
    pub async fn test_db<M, F>(&self, key: &str, migrate: M) -> Result<TestDb, Error>
    where
        M: FnOnce(Database) -> F,
        F: Future<Output = Result<(), BoxError>>,
    {
        TestDb::clone_of(self, key, true, migrate).await
    }

    /// As [`test_db`](Self::test_db), with a template that has no `vector`: for tests of what is
    /// said when it is missing.
    pub async fn test_db_without_vector<M, F>(&self, key: &str, migrate: M) -> Result<TestDb, Error>
    where
        M: FnOnce(Database) -> F,
        F: Future<Output = Result<(), BoxError>>,
    {
        TestDb::clone_of(self, key, false, migrate).await
    }

    /// A fresh database with nothing in it but `vector`.
    pub async fn empty_test_db(&self) -> Result<TestDb, Error> {
        TestDb::plain(self, true).await
    }

    /// A fresh database with nothing in it at all.
    pub async fn empty_test_db_without_vector(&self) -> Result<TestDb, Error> {
        TestDb::plain(self, false).await
    }

    /// Removes the clusters whose server does not run, with everything in them, and returns their
    /// directories. What was fetched stays.
    pub async fn clean() -> Result<Vec<PathBuf>, Error> {
        let settings = Settings::read(|name| std::env::var(name).ok())?;
        local::blocking(settings, |settings| {
            clean(&Cache::open(settings.cache.as_deref())?)
        })
        .await
    }

    /// Makes the app's login a member of `tenancy_app` and the worker's of `tenancy_worker`, as
    /// far as these roles exist. Idempotent, and safe among processes. Templates have it done;
    /// call it after migrating any other database.
    pub async fn grant_logins(&self) -> Result<(), Error> {
        let mut admin = self.admin().await?;
        self.grant_logins_in(&mut admin).await?;
        admin.close().await;
        Ok(())
    }

    pub(crate) async fn open(settings: Settings) -> Result<Self, Error> {
        let inner = match settings.database_url.clone() {
            Some(url) => external::open(&settings, &url).await?,
            None => local::open(settings).await?,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) async fn grant_logins_in(&self, admin: &mut Admin) -> Result<(), Error> {
        for login in [Login::App, Login::Worker] {
            if let Some(group) = login.group() {
                admin
                    .join_group(&self.inner.endpoint.role(login), group)
                    .await?;
            }
        }
        Ok(())
    }

    /// A connection of the login that makes databases: ours is the superuser, theirs the operator.
    pub(crate) async fn admin(&self) -> Result<Admin, Error> {
        if let Some(why) = self.inner.read_only {
            return Err(Error::new(crate::ErrorKind::NotAllowed, why));
        }
        let login = match self.inner.endpoint {
            Endpoint::Local(_) => Login::Superuser,
            Endpoint::External(_) => Login::Operator,
        };
        let url = self.inner.endpoint.url(login, None).unwrap_or_default();
        let copy = match &self.inner.server {
            Some(server) if server.is_in_memory() => Copying::Files,
            _ => Copying::Log,
        };
        let admin = postgres::connect(&url).await;
        Ok(admin
            .map_err(|e| Error::sql("connect to the server", e))?
            .copying(copy))
    }
}

impl Deref for DevDb {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.inner.database
    }
}

impl fmt::Debug for DevDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevDb")
            .field("major", &self.inner.major)
            .field("database", &self.inner.database)
            .field("started_here", &self.inner.server.is_some())
            .finish_non_exhaustive()
    }
}
