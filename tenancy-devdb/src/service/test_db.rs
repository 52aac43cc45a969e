//! A database for one test.

use std::fmt;
use std::ops::Deref;
use std::thread;

use crate::error::{BoxError, Error, ErrorKind};
use crate::model::DbName;
use crate::service::{Database, DevDb, template};

/// A database of its own for one test, dropped with this value.
///
/// Dereferences to its [`Database`]. What a killed process leaves behind is dropped by the next
/// one that uses the server.
pub struct TestDb {
    dev: DevDb,
    name: DbName,
    database: Database,
    dropped: bool,
}

impl TestDb {
    /// A fresh copy of the template that belongs to `key`, on the shared server.
    ///
    /// The first call with a `key` runs `migrate` on an empty database that has `vector`, connected
    /// through whatever URL of it the callback uses; then the app's and worker's logins join their
    /// groups. Every later call, of any process, only copies: tens of milliseconds. Let `key` be a
    /// hash of everything `migrate` does. Two templates are never made at the same time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Migrate`] with the callback's error as source; then nothing is left behind.
    pub async fn from_template<M, F>(key: &str, migrate: M) -> Result<Self, Error>
    where
        M: FnOnce(Database) -> F,
        F: Future<Output = Result<(), BoxError>>,
    {
        DevDb::start().await?.test_db(key, migrate).await
    }

    /// A fresh database on the shared server with nothing in it but `vector`.
    pub async fn empty() -> Result<Self, Error> {
        DevDb::start().await?.empty_test_db().await
    }

    /// The server it lies on.
    pub fn server(&self) -> &DevDb {
        &self.dev
    }

    /// Drops the database now, and says whether that worked. Ends sessions that are still open.
    pub async fn close(mut self) -> Result<(), Error> {
        self.dropped = true;
        drop_now(&self.dev, &self.name).await
    }

    pub(crate) async fn clone_of<M, F>(
        dev: &DevDb,
        key: &str,
        vector: bool,
        migrate: M,
    ) -> Result<Self, Error>
    where
        M: FnOnce(Database) -> F,
        F: Future<Output = Result<(), BoxError>>,
    {
        let test = Self::reserve(dev);
        template::clone_into(dev, &test.name, key, vector, migrate).await?;
        Ok(test)
    }

    pub(crate) async fn plain(dev: &DevDb, vector: bool) -> Result<Self, Error> {
        let test = Self::reserve(dev);
        template::create_plain(dev, &test.name, vector).await?;
        Ok(test)
    }

    /// The guard comes before the database: a failure in between is cleaned up as well.
    fn reserve(dev: &DevDb) -> Self {
        let name = DbName::next_test(&dev.inner().tag);
        let database = Database::new(&dev.inner().endpoint, Some(&name));
        Self {
            dev: dev.clone(),
            name,
            database,
            dropped: false,
        }
    }
}

impl Deref for TestDb {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Drop for TestDb {
    /// Waits for the drop, some ten milliseconds: a test process ends right after its test.
    fn drop(&mut self) {
        if self.dropped {
            return;
        }
        let (dev, name) = (self.dev.clone(), self.name.clone());
        // The test's own runtime may be the one that is ending.
        let work = thread::Builder::new()
            .name("drop-test-db".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let fail = |e| Error::new(ErrorKind::Server, "no runtime").with_source(e);
                runtime.map_err(fail)?.block_on(drop_now(&dev, &name))
            });
        // A database that stays is dropped by the next process.
        let _ = work.map(thread::JoinHandle::join);
    }
}

impl fmt::Debug for TestDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDb")
            .field("name", &self.name.as_str())
            .finish_non_exhaustive()
    }
}

async fn drop_now(dev: &DevDb, name: &DbName) -> Result<(), Error> {
    let mut admin = dev.admin().await?;
    admin.drop(name).await?;
    admin.close().await;
    Ok(())
}
