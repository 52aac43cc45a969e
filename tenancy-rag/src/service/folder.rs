//! A folder of documents.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, stream};
use tenancy_core::{RoleKey, TenantCtx};

use super::Ingestor;
use crate::{
    DocUri, Error, FileBytes, Ingested, MediaType, NewDocument, Progress, SourceId, Title,
};

/// How a folder is taken in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FolderOptions {
    /// The source of its documents.
    pub source: SourceId,
    /// Who may read them.
    pub allowed_roles: Vec<RoleKey>,
    /// How many documents are worked on at once; 2 by default.
    pub concurrency: usize,
    /// More files than this are refused before anything is taken in; 10,000 by default.
    pub max_files: usize,
}

impl FolderOptions {
    /// Documents of this source that members with one of these roles may read.
    pub fn new(source: SourceId, allowed_roles: impl IntoIterator<Item = RoleKey>) -> Self {
        let allowed_roles = allowed_roles.into_iter().collect();
        Self {
            source,
            allowed_roles,
            concurrency: 2,
            max_files: 10_000,
        }
    }

    /// Sets how many documents are worked on at once.
    pub fn with_concurrency(mut self, documents: usize) -> Self {
        self.concurrency = documents.max(1);
        self
    }
}

/// What became of a folder's files, each by its path in the folder.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct FolderReport {
    /// Those that can be found now.
    pub ingested: Vec<(String, Ingested)>,
    /// Those that failed. The others are not held up by them.
    pub failed: Vec<(String, Error)>,
    /// Those whose name says nothing that can be read.
    pub skipped: Vec<String>,
}

struct File {
    path: PathBuf,
    name: String,
    media_type: MediaType,
}

impl Ingestor {
    /// Takes in every file below a folder whose extension is known, under its path in the folder.
    ///
    /// Symbolic links and names that begin with a full stop are left alone. `watch` is told the
    /// path and every step. Needs what [`ingest`](Self::ingest) needs.
    ///
    /// # Errors
    /// `folder_unreadable` and `folder_too_large`, before anything is taken in. What fails in one
    /// document is in the report.
    pub async fn ingest_folder(
        &self,
        ctx: &TenantCtx,
        folder: &Path,
        options: &FolderOptions,
        watch: &(dyn Fn(&str, Progress) + Send + Sync),
    ) -> Result<FolderReport, Error> {
        let mut report = FolderReport::default();
        let files = list(folder, options.max_files, &mut report.skipped).await?;
        let mut results = stream::iter(files)
            .map(|file| async move {
                let result = self.ingest_file(ctx, &file, options, watch).await;
                (file.name, result)
            })
            .buffer_unordered(options.concurrency.max(1));
        while let Some((name, result)) = results.next().await {
            match result {
                Ok(done) => report.ingested.push((name, done)),
                Err(error) => report.failed.push((name, error)),
            }
        }
        drop(results);
        report.ingested.sort_by(|a, b| a.0.cmp(&b.0));
        report.failed.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(report)
    }

    async fn ingest_file(
        &self,
        ctx: &TenantCtx,
        file: &File,
        options: &FolderOptions,
        watch: &(dyn Fn(&str, Progress) + Send + Sync),
    ) -> Result<Ingested, Error> {
        let uri = DocUri::parse(&file.name)?;
        let roles = options.allowed_roles.clone();
        let mut document = NewDocument::new(options.source, uri, file.media_type.clone(), roles)?;
        let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
        if let Ok(title) = Title::parse(&stem) {
            document = document.with_title(title);
        }
        let mut bytes = FileBytes::open(&file.path).await?;
        self.ingest(ctx, document, &mut bytes, &|progress| {
            watch(&file.name, progress);
        })
        .await
    }
}

/// The files below a folder in the order of their paths.
async fn list(
    folder: &Path,
    max_files: usize,
    skipped: &mut Vec<String>,
) -> Result<Vec<File>, Error> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let mut entries = tokio::fs::read_dir(&next).await.map_err(unreadable)?;
        while let Some(entry) = entries.next_entry().await.map_err(unreadable)? {
            let kind = entry.file_type().await.map_err(unreadable)?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let name = name_in(folder, &path);
                match MediaType::of_path(&path) {
                    Some(media_type) => files.push(File {
                        path,
                        name,
                        media_type,
                    }),
                    None => skipped.push(name),
                }
            }
            if files.len() + skipped.len() + open.len() > max_files {
                let message = format!("the folder holds more than {max_files} files");
                return Err(Error::invalid("folder_too_large", message));
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    skipped.sort();
    Ok(files)
}

/// A path in the folder, with `/` on every system.
fn name_in(folder: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    let parts: Vec<_> = inside
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

fn unreadable(error: std::io::Error) -> Error {
    let message = format!("the folder can't be read: {}", error.kind());
    Error::invalid("folder_unreadable", message).with_source(error)
}
