use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{ErrorKind as Io, Read as _, Result as IoResult, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::place;
use crate::{Error, ErrorKind, SealAnchor, SealHead};

/// How long a writer waits for another process to be done with the file, and between two looks.
const PATIENCE: Duration = Duration::from_secs(3);
const REST: Duration = Duration::from_millis(20);

/// Appends heads to a file, one a line, and waits until they are on disk.
///
/// The file should lie where the database's server can't write: on another machine, or on storage that
/// keeps what was written once. A [`Verifier`](crate::Verifier) reads it. Behind a line that was torn, by a full
/// disk or a power cut, a new one begins, so that nothing is lost but what was being written then, which is given
/// again. While another process keeps the file locked for three seconds, `audit_anchor_unavailable` says so.
///
/// ```no_run
/// # use std::{fs::File, io::BufReader, sync::Arc};
/// # use tenancy_audit::{FileAnchor, Sealer, Verifier};
/// # fn run(sealer: Sealer, verifier: Verifier) -> Result<(), Box<dyn std::error::Error>> {
/// let sealer = sealer.with_anchor(Arc::new(FileAnchor::new("/mnt/elsewhere/heads")));
/// // … and whoever verifies:
/// let heads = BufReader::new(File::open("/mnt/elsewhere/heads")?);
/// let verifier = verifier.with_anchor(heads)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FileAnchor {
    path: PathBuf,
    /// Held while something is written, also by a write whose caller is gone.
    writing: Arc<Mutex<()>>,
}

impl FileAnchor {
    /// Appends to this file; it is made at the first head.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            writing: Arc::default(),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SealAnchor for FileAnchor {
    fn place(&self) -> String {
        place("file", &self.path.to_string_lossy())
    }

    async fn publish(&self, heads: &[SealHead]) -> Result<(), Error> {
        let mut lines = Vec::with_capacity(heads.len() * 512);
        for head in heads {
            serde_json::to_writer(&mut lines, head).map_err(|_| unwritable())?;
            lines.push(b'\n');
        }
        let (path, writing) = (self.path.clone(), self.writing.clone().lock_owned().await);
        let write = move || {
            let done = append(&path, &lines);
            drop(writing);
            done
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(unwritable()),
        }
    }
}

/// Writes whole lines, which no other process's lines come between.
fn append(path: &Path, lines: &[u8]) -> IoResult<()> {
    let (mut file, ends) = open(path)?;
    if ends {
        file.write_all(lines)?;
    } else {
        file.write_all(&[b"\n", lines].concat())?;
    }
    file.sync_data()
}

/// The file, locked until it is closed, and whether it is known to end with a whole line.
fn open(path: &Path) -> IoResult<(File, bool)> {
    let mut how = OpenOptions::new();
    how.create(true).append(true);
    let (mut file, readable) = match how.clone().read(true).open(path) {
        // Who may only add to it begins a line in any case: an empty one says nothing.
        Err(error) if error.kind() == Io::PermissionDenied => (how.open(path)?, false),
        file => (file?, true),
    };
    lock(&file)?;
    let ends = readable && ends_with_a_line(&mut file)?;
    Ok((file, ends))
}

/// Waits for whoever holds the file, for a while: a process whose thread waits here can't end.
fn lock(file: &File) -> IoResult<()> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => thread::sleep(REST),
            Err(TryLockError::WouldBlock) => return Err(Io::WouldBlock.into()),
            // On storage without locks one write has to do.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
        }
    }
}

fn ends_with_a_line(file: &mut File) -> IoResult<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn unwritable() -> Error {
    let message = "the heads can't be written to the anchor's file";
    Error::new(ErrorKind::Unavailable, "audit_anchor_unavailable", message)
}
