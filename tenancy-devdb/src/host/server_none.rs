//! Where there are no FIFOs, no server is started.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::host::{Binaries, Cache, Lock};
use crate::model::Address;

/// A server of ours; there is none on this operating system.
#[derive(Debug)]
pub(crate) enum Server {}

impl Server {
    pub(crate) fn join_or_start(
        _bin: &Binaries,
        _cache: &Cache,
        _durable: bool,
    ) -> Result<(Arc<Self>, Option<Lock>), Error> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "a server is started on Linux and macOS only: set TENANCY_DATABASE_URL",
        ))
    }

    pub(crate) fn address(&self) -> &Address {
        match *self {}
    }

    pub(crate) fn is_alive(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_ready(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_set_up(&self) -> bool {
        match *self {}
    }

    pub(crate) fn mark_set_up(&self) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn distrust(&self) {
        match *self {}
    }

    pub(crate) fn log_tail(&self) -> String {
        match *self {}
    }

    pub(crate) fn remember(self: Arc<Self>) {
        match *self {}
    }
}

/// There are none.
pub(crate) fn clean(_cache: &Cache) -> Result<Vec<PathBuf>, Error> {
    Ok(Vec::new())
}

/// Unknown without asking the operating system: better to leave a database than to drop a used one.
pub(crate) fn process_is_alive(_pid: u32) -> bool {
    true
}
