//! As whom a server runs: Postgres and pgbouncer refuse root.

use std::{
    io,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

pub(crate) fn is_root() -> io::Result<bool> {
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}

/// Makes `command` run as the server's user.
pub(crate) fn run_as_server(command: &mut Command) -> io::Result<()> {
    if is_root()? {
        command.uid(NOBODY).gid(NOBODY);
    }
    Ok(())
}

/// Gives `path` to the server's user.
pub(crate) fn give(path: &Path) -> io::Result<()> {
    if is_root()? {
        chown(path, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(())
}

/// `nobody`, as whom the development database's server runs when its starter is root.
const NOBODY: u32 = 65_534;
