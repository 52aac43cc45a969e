//! The rules of the house, as tests: what a developer broke, `cargo test` tells him.

#[path = "house/database.rs"]
mod database;
#[path = "house/source.rs"]
mod source;
#[path = "house/star.rs"]
mod star;

use std::path::{Path, PathBuf};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The crates that a host depends on, and the development database beside them.
const CRATES: [&str; 9] = [
    "tenancy",
    "tenancy-audit",
    "tenancy-authz",
    "tenancy-core",
    "tenancy-devdb",
    "tenancy-jobs",
    "tenancy-mcp",
    "tenancy-rag",
    "tenancy-secrets",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files below a folder that end like this, sorted.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Compares with a file that is kept, or rewrites it where `TENANCY_BLESS=1` says so.
fn assert_golden(path: &Path, actual: &str) -> Result {
    if std::env::var_os("TENANCY_BLESS").is_some() {
        std::fs::write(path, actual)?;
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let difference = actual
        .lines()
        .find(|line| !kept.lines().any(|other| other == *line));
    let gone = kept
        .lines()
        .find(|line| !actual.lines().any(|other| other == *line));
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    assert!(
        kept == actual,
        "{name:?} differs; new: {difference:?}, gone: {gone:?}. If that is meant, run with TENANCY_BLESS=1"
    );
    Ok(())
}
