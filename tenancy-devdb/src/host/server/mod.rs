//! One Postgres, shared by every process of this user that leases it.

mod cluster;
mod layout;
mod lease;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, test_kill_process};

use crate::error::Error;
use crate::host::{Binaries, Cache, Lock};
use crate::model::{Address, hash_hex};

use layout::Layout;
use lease::Lease;

/// A running server and this process's share in its life: it lives at least as long as this value.
#[derive(Debug)]
pub(crate) struct Server {
    key: String,
    layout: Layout,
    _lease: Lease,
}

impl Server {
    /// Joins the server for these programs, or starts it.
    ///
    /// The lock comes back when the server is not known to be set up; hold it until it is.
    pub(crate) fn join_or_start(
        bin: &Binaries,
        cache: &Cache,
        durable: bool,
    ) -> Result<(Arc<Self>, Option<Lock>), Error> {
        let key = key_of(bin, cache, durable);
        if let Some(known) = remembered(&key) {
            return Ok((known, None));
        }
        let lock = cache.lock(&layout::lock_name(&key))?;
        if let Some(known) = remembered(&key) {
            return Ok((known, None));
        }
        let layout = Layout::choose(cache, &key, durable)?;
        let lease = match Lease::join(&layout)? {
            Some(lease) => lease,
            None => start(bin, &layout, durable)?,
        };
        Ok((
            Arc::new(Self {
                key,
                layout,
                _lease: lease,
            }),
            Some(lock),
        ))
    }

    pub(crate) fn address(&self) -> &Address {
        &self.layout.address
    }

    /// Whether its supervisor still listens to us.
    pub(crate) fn is_alive(&self) -> bool {
        lease::is_read(&self.layout.run).unwrap_or(false)
    }

    /// Whether it says that it takes connections.
    pub(crate) fn is_ready(&self) -> bool {
        cluster::is_ready(&self.layout)
    }

    /// Whether its data lies in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.layout.is_in_memory()
    }

    /// Whether logins and extensions were made in this cluster.
    pub(crate) fn is_set_up(&self) -> bool {
        self.layout.set_up_mark().exists()
    }

    pub(crate) fn mark_set_up(&self) -> Result<(), Error> {
        let mark = self.layout.set_up_mark();
        std::fs::write(&mark, "").map_err(|e| Error::io("write", &mark, e))
    }

    /// The cluster is not to be trusted: the next start makes a new one.
    pub(crate) fn distrust(&self) {
        let _ = std::fs::remove_file(self.layout.set_up_mark());
    }

    /// The last lines of its log, on one line.
    pub(crate) fn log_tail(&self) -> String {
        self.layout.log_tail()
    }

    /// Keeps the lease until this process ends: the next test does not have to start it again.
    pub(crate) fn remember(self: Arc<Self>) {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert_default().insert(self.key.clone(), self);
    }
}

/// Whether the process exists, whoever owns it. One that ended and was not waited for, as where
/// nobody adopts orphans, does not, as far as the operating system says so in `/proc`.
pub(crate) fn process_is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    if stat
        .rsplit_once(')')
        .is_some_and(|(_, state)| state.starts_with(" Z"))
    {
        return false;
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Removes the clusters of this cache, and of caches that are gone, whose server does not run.
/// Returns their directories.
pub(crate) fn clean(cache: &Cache) -> Result<Vec<PathBuf>, Error> {
    let mut gone = clean_abandoned()?;
    for (key, run) in layout::of(cache) {
        let _lock = cache.lock(&layout::lock_name(&key))?;
        gone.extend(remove_unused(run)?);
    }
    Ok(gone)
}

fn clean_abandoned() -> Result<Vec<PathBuf>, Error> {
    let mut gone = Vec::new();
    for run in layout::abandoned() {
        gone.extend(remove_unused(run)?);
    }
    Ok(gone)
}

fn remove_unused(run: PathBuf) -> Result<Option<PathBuf>, Error> {
    if lease::is_read(&run)? {
        return Ok(None);
    }
    match std::fs::remove_dir_all(&run) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &run, e)),
        _ => Ok(Some(run)),
    }
}

fn start(bin: &Binaries, layout: &Layout, durable: bool) -> Result<Lease, Error> {
    // Memory that nobody will give back; whoever is at it as well may win.
    let _ = clean_abandoned();
    cluster::stop_orphan(layout);
    layout.clear_acks();
    if !cluster::is_whole(layout, bin) {
        cluster::create(layout, bin)?;
    }
    Lease::start(layout, &cluster::command(layout, bin, durable))
}

fn remembered(key: &str) -> Option<Arc<Server>> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    let server = known.get(key)?;
    if server.is_alive() {
        return Some(Arc::clone(server));
    }
    known.remove(key);
    None
}

/// Two processes that would start the same server have the same key.
fn key_of(bin: &Binaries, cache: &Cache, durable: bool) -> String {
    let parts = [
        CLUSTER_FORMAT,
        &bin.dir.to_string_lossy(),
        &cache.root().to_string_lossy(),
        if durable { "durable" } else { "fast" },
    ];
    format!("{}-{}", bin.major, hash_hex(&parts, 5))
}

/// Changes whenever a cluster made by an older build of this crate would not do.
const CLUSTER_FORMAT: &str = "1";

static KNOWN: Mutex<Option<HashMap<String, Arc<Server>>>> = Mutex::new(None);
