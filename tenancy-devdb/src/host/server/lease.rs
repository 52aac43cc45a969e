//! The FIFO that keeps a server alive while one of its clients lives.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::{Error, ErrorKind};
use crate::host::server::layout::{FIFO, Layout};
use crate::host::user;

/// The open write end. The standard library opens files close-on-exec, so no child holds it on.
#[derive(Debug)]
pub(crate) struct Lease {
    _writer: File,
}

impl Lease {
    /// Joins a server that runs; `None` when there is none.
    pub(crate) fn join(layout: &Layout) -> Result<Option<Self>, Error> {
        let fifo = layout.fifo();
        let Some(mut writer) = open_writer(&fifo)? else {
            return Ok(None);
        };
        let token = next_token();
        let ack = layout.acks.join(&token);
        // A broken pipe means that the reader went in between: the loop below finds it gone.
        let _ = writeln!(writer, "{token}");
        let deadline = Instant::now() + JOIN_LIMIT;
        loop {
            if ack.exists() {
                let _ = std::fs::remove_file(&ack);
                return Ok(Some(Self { _writer: writer }));
            }
            if open_writer(&fifo)?.is_none() {
                return Ok(None);
            }
            if Instant::now() > deadline {
                return Err(stuck(layout));
            }
            sleep(POLL);
        }
    }

    /// Starts `postgres` under a supervisor that reads the FIFO.
    pub(crate) fn start(layout: &Layout, postgres: &Command) -> Result<Self, Error> {
        let fifo = layout.fifo();
        make_fifo(&fifo)?;
        let fail = |e| Error::io("open", &fifo, e);
        // Opened for both, it waits for nobody; with it open, neither do the two ends.
        let both = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&fifo)
            .map_err(fail)?;
        let reader = File::open(&fifo).map_err(fail)?;
        let writer = OpenOptions::new().write(true).open(&fifo).map_err(fail)?;
        drop(both);
        let log = layout.log();
        let log = File::create(&log).map_err(|e| Error::io("create", &log, e))?;
        supervise(layout, postgres, reader, log)?;
        Ok(Self { _writer: writer })
    }
}

/// Whether a server's supervisor reads the FIFO in `run`.
pub(crate) fn is_read(run: &Path) -> Result<bool, Error> {
    Ok(open_writer(&run.join(FIFO))?.is_some())
}

fn supervise(layout: &Layout, postgres: &Command, fifo: File, log: File) -> Result<(), Error> {
    let errors = log
        .try_clone()
        .map_err(|e| Error::io("share", &layout.log(), e))?;
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(SCRIPT)
        .arg("tenancy-devdb")
        .arg(&layout.acks);
    shell.arg(postgres.get_program()).args(postgres.get_args());
    shell
        .current_dir(&layout.run)
        .stdin(fifo)
        .stdout(log)
        .stderr(errors);
    // Away from the terminal's group: an interrupt meant for one test run would stop it for all.
    shell.process_group(0);
    user::run_as_server(&mut shell);
    let fail = |e: io::Error| {
        Error::new(ErrorKind::Server, format!("cannot run `sh`: {e}")).with_source(e)
    };
    // The shell leaves its work to a child and ends, so that no dead process of ours stays behind.
    shell.status().map_err(fail).map(|_| ())
}

fn make_fifo(path: &Path) -> Result<(), Error> {
    match path.symlink_metadata() {
        Ok(meta) if meta.file_type().is_fifo() => return Ok(()),
        Ok(_) => std::fs::remove_file(path).map_err(|e| Error::io("remove", path, e))?,
        Err(_) => {}
    }
    let made = Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(path)
        .stdin(Stdio::null())
        .output();
    match made {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Error::new(
                ErrorKind::Server,
                format!("cannot make `{}`: {why}", path.display()),
            ))
        }
        Err(e) => Err(Error::io("make", path, e)),
    }
}

/// The write end, or `None` when nobody reads.
fn open_writer(fifo: &Path) -> Result<Option<File>, Error> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    match OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(fifo)
    {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => Ok(None),
        Err(e) => Err(Error::io("open", fifo, e)),
    }
}

fn next_token() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

fn stuck(layout: &Layout) -> Error {
    Error::new(
        ErrorKind::Server,
        format!(
            "the server in `{}` neither answers nor ends",
            layout.run.display()
        ),
    )
}

const SCRIPT: &str = include_str!("supervise.sh");
const POLL: Duration = Duration::from_millis(1);
const JOIN_LIMIT: Duration = Duration::from_secs(20);
