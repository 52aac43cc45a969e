//! Where a server keeps its files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::host::{Cache, user};
use crate::model::Address;

/// The places of one server. `run` is ours; what the server writes lies in directories of its user.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) run: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) acks: PathBuf,
    pub(crate) address: Address,
}

impl Layout {
    /// Chooses the place and makes its directories. Call it under the server's lock: the choice
    /// depends on free memory, and processes have to agree.
    pub(crate) fn choose(cache: &Cache, key: &str, durable: bool) -> Result<Self, Error> {
        let run = run_dir(cache, key, durable);
        let server = user::server_user().unwrap_or_else(user::uid);
        if let Some(parent) = run.parent().filter(|p| p.starts_with(cache.root())) {
            user::own_dir(parent, dir_mode(), user::uid())?;
        }
        user::own_dir(&run, dir_mode(), user::uid())?;
        let socket_dir = socket_dir(&run, key);
        let layout = Self {
            data: run.join("data"),
            acks: run.join("acks"),
            address: Address { socket_dir },
            run,
        };
        let mark = layout.run.join(CACHE);
        fs::write(&mark, cache.root().to_string_lossy().as_bytes())
            .map_err(|e| Error::io("write", &mark, e))?;
        user::own_dir(&layout.acks, 0o700, server)?;
        user::own_dir(&layout.address.socket_dir, 0o700, server)?;
        Ok(layout)
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        self.run.starts_with(MEMORY)
    }

    pub(crate) fn fifo(&self) -> PathBuf {
        self.run.join(FIFO)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.run.join("log")
    }

    pub(crate) fn set_up_mark(&self) -> PathBuf {
        self.run.join("set-up")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }

    /// Removes the answers to clients that are gone.
    pub(crate) fn clear_acks(&self) {
        for entry in fs::read_dir(&self.acks).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
    }

    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        let skip = lines.len().saturating_sub(LOG_LINES);
        lines.into_iter().skip(skip).collect::<Vec<_>>().join(" | ")
    }
}

/// Memory where there is a file system for it with enough room, else the cache.
fn run_dir(cache: &Cache, key: &str, durable: bool) -> PathBuf {
    let on_disk = cache.join("run").join(key);
    if durable {
        return on_disk;
    }
    let in_memory = Path::new(MEMORY).join(format!("{}{key}", memory_prefix()));
    // One that is in use stays in use when the room gets short.
    if in_memory.join("data").is_dir() || (!on_disk.join("data").is_dir() && memory_has_room()) {
        return in_memory;
    }
    on_disk
}

/// The directories of the servers that belong to this cache, with their keys.
pub(super) fn of(cache: &Cache) -> Vec<(String, PathBuf)> {
    let mut found = list(&cache.join("run"), "");
    let in_memory = list(Path::new(MEMORY), &memory_prefix());
    let root = cache.root().to_string_lossy();
    found.extend(
        in_memory
            .into_iter()
            .filter(|(_, run)| cache_of(run) == Some(root.clone().into())),
    );
    found
}

/// The directories in memory whose cache was removed: nobody else can start or clean them.
pub(super) fn abandoned() -> Vec<PathBuf> {
    let in_memory = list(Path::new(MEMORY), &memory_prefix())
        .into_iter()
        .map(|(_, run)| run);
    in_memory
        .filter(|run| cache_of(run).is_some_and(|cache| !Path::new(&cache).exists()))
        .collect()
}

fn list(place: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Some((name.strip_prefix(prefix)?.to_owned(), entry.path()))
    });
    named.filter(|(_, run)| user::owns(run)).collect()
}

fn cache_of(run: &Path) -> Option<String> {
    fs::read_to_string(run.join(CACHE)).ok()
}

/// The lock under which this server is started, joined or removed.
pub(super) fn lock_name(key: &str) -> String {
    format!("server-{key}")
}

fn memory_prefix() -> String {
    format!("tenancy-devdb-{}-", user::uid())
}

fn memory_has_room() -> bool {
    let writable = rustix::fs::access(MEMORY, rustix::fs::Access::WRITE_OK).is_ok();
    let room = rustix::fs::statvfs(MEMORY).map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    writable && room.is_ok_and(|bytes| bytes >= MEMORY_MIN)
}

/// A socket's whole path has to fit into about a hundred bytes.
fn socket_dir(run: &Path, key: &str) -> PathBuf {
    let beside = run.join("s");
    if beside.as_os_str().len() <= SOCKET_DIR_MAX {
        return beside;
    }
    PathBuf::from(format!("/tmp/tenancy-devdb-{}-{key}", user::uid()))
}

fn dir_mode() -> u32 {
    if user::server_user().is_some() {
        0o755
    } else {
        0o700
    }
}

pub(super) const FIFO: &str = "lease";
/// Names the cache that the server belongs to.
const CACHE: &str = "cache";
const MEMORY: &str = "/dev/shm";
/// A cluster, its write-ahead log and some dozens of cloned databases.
const MEMORY_MIN: u64 = 1 << 30;
/// 104 bytes on macOS, less the socket's own name and a final zero.
const SOCKET_DIR_MAX: usize = 85;
const LOG_LINES: usize = 5;
