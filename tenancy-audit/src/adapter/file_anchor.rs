use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use async_trait::async_trait;

use super::place;
use crate::{Error, ErrorKind, SealAnchor, SealHead};

/// Appends heads to a file, one a line, and waits until they are on disk.
///
/// The file should lie where the database's server can't write: on another machine, or on storage that
/// keeps what was written once.
#[derive(Clone, Debug)]
pub struct FileAnchor(PathBuf);

impl FileAnchor {
    /// Appends to this file; it is made at the first head.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SealAnchor for FileAnchor {
    fn place(&self) -> String {
        place("file", &self.0.to_string_lossy())
    }

    async fn publish(&self, heads: &[SealHead]) -> Result<(), Error> {
        let mut lines = Vec::with_capacity(heads.len() * 512);
        for head in heads {
            serde_json::to_writer(&mut lines, head).map_err(|_| unwritable())?;
            lines.push(b'\n');
        }
        let path = self.0.clone();
        let written = tokio::task::spawn_blocking(move || append(&path, &lines)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            _ => Err(unwritable()),
        }
    }
}

/// One write, so that two sealers don't mix their lines.
fn append(path: &Path, lines: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(lines)?;
    file.sync_data()
}

fn unwritable() -> Error {
    let message = "the heads can't be written to the anchor's file";
    Error::new(ErrorKind::Unavailable, "audit_anchor_unavailable", message)
}
