//! Makes a cluster and knows how its server is started.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::host::server::layout::Layout;
use crate::host::{Binaries, user};
use crate::model::{Login, PgMajor};

/// Whether a cluster of this version is there and was made to the end.
pub(crate) fn is_whole(layout: &Layout, bin: &Binaries) -> bool {
    let version = fs::read_to_string(layout.data.join("PG_VERSION")).unwrap_or_default();
    layout.set_up_mark().exists() && version.trim() == bin.major.to_string()
}

/// Makes a new cluster in the place of whatever is there.
pub(crate) fn create(layout: &Layout, bin: &Binaries) -> Result<(), Error> {
    let _ = fs::remove_file(layout.set_up_mark());
    if layout.data.exists() {
        fs::remove_dir_all(&layout.data).map_err(|e| Error::io("remove", &layout.data, e))?;
    }
    let server = user::server_user().unwrap_or_else(user::uid);
    user::own_dir(&layout.data, 0o700, server)?;
    let mut initdb = Command::new(bin.program("initdb"));
    initdb.arg("-D").arg(&layout.data).args([
        "-U",
        Login::Superuser.role(),
        "-A",
        "trust",
        "-E",
        "UTF8",
    ]);
    initdb.args(["--no-sync", "--no-instructions", "--locale=C"]);
    if bin.major >= PgMajor::V17 {
        // The same order and case mapping on every machine, without ICU.
        initdb.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
    }
    initdb.current_dir(&layout.run).stdin(Stdio::null());
    user::run_as_server(&mut initdb);
    let fail = |why: String| {
        Error::new(
            ErrorKind::Server,
            format!("`{}`: {why}", bin.program("initdb").display()),
        )
    };
    let output = initdb.output().map_err(|e| fail(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr)
        .trim()
        .replace('\n', " | ");
    Err(fail(words))
}

/// The command that runs the server in the foreground.
pub(crate) fn command(layout: &Layout, bin: &Binaries, durable: bool) -> Command {
    let mut postgres = Command::new(bin.program("postgres"));
    postgres.arg("-D").arg(&layout.data);
    // The value is a list: quotes keep a comma in the path from dividing it.
    let dir = layout
        .address
        .socket_dir
        .to_string_lossy()
        .replace('"', "\"\"");
    postgres
        .arg("-c")
        .arg(format!("unix_socket_directories=\"{dir}\""));
    let quick: &[&str] = if durable { &[] } else { &FAST };
    let newest: &[&str] = if !durable && bin.major >= PgMajor::V18 {
        &FAST_18
    } else {
        &[]
    };
    for setting in COMMON.iter().chain(quick).chain(newest) {
        postgres.arg("-c").arg(setting);
    }
    if layout.is_in_memory() {
        // Beside the data, so that a killed server leaves nothing in the memory file system.
        postgres.arg("-c").arg("dynamic_shared_memory_type=mmap");
    }
    postgres
}

/// Whether the server says that it takes connections. It writes that into the file of its process id.
pub(crate) fn is_ready(layout: &Layout) -> bool {
    let text = fs::read_to_string(layout.pid_file()).unwrap_or_default();
    text.lines()
        .nth(STATUS_LINE)
        .is_some_and(|status| status.trim() == "ready")
}

/// Stops a server whose supervisor was killed, and clears the trace of one that is gone.
pub(crate) fn stop_orphan(layout: &Layout) {
    let pid: Option<u32> = fs::read_to_string(layout.pid_file())
        .ok()
        .and_then(|text| text.lines().next()?.trim().parse().ok());
    let deadline = Instant::now() + ORPHAN_LIMIT;
    while UnixStream::connect(layout.address.socket()).is_ok() && Instant::now() < deadline {
        if let Some(pid) = pid {
            quit(pid);
        }
        sleep(Duration::from_millis(10));
    }
    // Nobody listens. Postgres would trust this file, whose process id may be another's by now.
    let _ = fs::remove_file(layout.pid_file());
}

/// As the server's own user, who can hit nobody else's process if the file lies.
fn quit(pid: u32) {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -QUIT \"$1\"", "kill", &pid.to_string()]);
    kill.stdin(Stdio::null()).stderr(Stdio::null());
    user::run_as_server(&mut kill);
    let _ = kill.status();
}

const COMMON: [&str; 7] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "port=5432",
    "max_connections=200",
    "log_checkpoints=off",
    "timezone=UTC",
    "log_timezone=UTC",
];

/// The data is worth nothing after a power cut, and the disk is not waited for.
const FAST: [&str; 8] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=256MB",
    "min_wal_size=32MB",
    // One process less to start.
    "max_logical_replication_workers=0",
];

/// Reading from memory needs no workers, and they need not be started.
const FAST_18: [&str; 1] = ["io_method=sync"];

/// Counted from zero; `pg_ctl` reads the same.
const STATUS_LINE: usize = 7;
const ORPHAN_LIMIT: Duration = Duration::from_secs(5);
