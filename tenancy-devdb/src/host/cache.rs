//! The directory that keeps what was fetched, and file locks in it.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

/// Where packages and, without a memory file system, databases are kept.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens the cache at `chosen`, or where this user's cache belongs.
    pub(crate) fn open(chosen: Option<&Path>) -> Result<Self, Error> {
        let root = match chosen {
            Some(path) => std::path::absolute(path).map_err(|e| Error::io("find", path, e))?,
            None => default_root()?,
        };
        prepare(&root)?;
        Ok(Self { root })
    }

    #[cfg(unix)]
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Waits until no other process holds the lock called `name`. Held until dropped.
    pub(crate) fn lock(&self, name: &str) -> Result<Lock, Error> {
        let path = self.join(format!("{name}.lock"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        file.lock().map_err(|e| Error::io("lock", &path, e))?;
        Ok(Lock { _file: file })
    }
}

/// A lock among processes; the operating system releases it when the holder dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

#[cfg(unix)]
fn default_root() -> Result<PathBuf, Error> {
    use super::user;
    // Root's home is closed to the user the server runs as.
    if user::server_user().is_some() {
        return Ok(PathBuf::from(format!(
            "/var/tmp/tenancy-devdb-{}",
            user::uid()
        )));
    }
    let base = env_dir("XDG_CACHE_HOME").or_else(|| env_dir("HOME").map(|h| h.join(".cache")));
    base.map(|dir| dir.join("tenancy-devdb"))
        .ok_or_else(no_home)
}

#[cfg(not(unix))]
fn default_root() -> Result<PathBuf, Error> {
    env_dir("LOCALAPPDATA")
        .map(|dir| dir.join("tenancy-devdb"))
        .ok_or_else(no_home)
}

#[cfg(unix)]
fn prepare(root: &Path) -> Result<(), Error> {
    use super::user;
    if let Some(parent) = root.parent() {
        std::fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
    }
    let mode = if user::server_user().is_some() {
        0o755
    } else {
        0o700
    };
    user::own_dir(root, mode, user::uid())?;
    user::check_traversable(root)
}

#[cfg(not(unix))]
fn prepare(root: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(root).map_err(|e| Error::io("create", root, e))
}

fn env_dir(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
}

fn no_home() -> Error {
    Error::new(
        ErrorKind::Config,
        "no cache directory: set TENANCY_DEVDB_CACHE, XDG_CACHE_HOME or HOME to an absolute path",
    )
}
