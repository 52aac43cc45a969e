use std::path::Path;

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;

use crate::{Error, ErrorKind};

/// Gives the bytes of an upload, part by part.
///
/// # Contract
/// `None` ends the upload; parts may have any size, empty ones are skipped.
///
/// # Concurrency
/// Asked by one reader.
///
/// # Errors and retry
/// An error ends the upload, and nothing of it is kept.
///
/// # Cancellation
/// A dropped call may have lost a part: the upload is given up then.
///
/// # For implementors
/// Wrap whatever stream the host has; `MemoryBytes` and `FileBytes` ship.
#[async_trait]
pub trait ByteSource: Send {
    /// The next part.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error>;
}

/// Bytes that are in memory already.
#[derive(Debug)]
pub struct MemoryBytes(Option<Vec<u8>>);

impl MemoryBytes {
    /// Gives these bytes as one part.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Some(bytes.into()))
    }
}

#[async_trait]
impl ByteSource for MemoryBytes {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.take())
    }
}

/// The bytes of a file.
#[derive(Debug)]
pub struct FileBytes(tokio::fs::File);

const FILE_PART: u64 = 256 * 1024;

impl FileBytes {
    /// Opens the file.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) with the code `file_unreadable`.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        tokio::fs::File::open(path)
            .await
            .map(Self)
            .map_err(unreadable)
    }
}

#[async_trait]
impl ByteSource for FileBytes {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut part = Vec::new();
        (&mut self.0)
            .take(FILE_PART)
            .read_to_end(&mut part)
            .await
            .map_err(unreadable)?;
        Ok((!part.is_empty()).then_some(part))
    }
}

fn unreadable(error: std::io::Error) -> Error {
    let message = format!("the file can't be read: {}", error.kind());
    Error::new(ErrorKind::InvalidInput, "file_unreadable", message).with_source(error)
}
