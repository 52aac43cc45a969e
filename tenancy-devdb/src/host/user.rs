//! Who we are, and who the server runs as.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::error::{Error, ErrorKind};

/// The user of this process.
pub(crate) fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user the server has to run as, when it may not be ours: Postgres refuses root.
pub(crate) fn server_user() -> Option<u32> {
    (uid() == 0).then_some(NOBODY)
}

/// Makes `command` run as the server's user.
pub(crate) fn run_as_server(command: &mut Command) {
    if let Some(id) = server_user() {
        command.uid(id).gid(id);
    }
}

/// Makes sure that `path` is a directory of `owner` with exactly `mode`, and no link to one.
///
/// These directories lie where everybody may write, so one that somebody else put there first
/// is refused.
pub(crate) fn own_dir(path: &Path, mode: u32, owner: u32) -> Result<(), Error> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) if owner != uid() => std::os::unix::fs::chown(path, Some(owner), Some(owner))
            .map_err(|e| Error::io("give away", path, e))?,
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(Error::io("create", path, e)),
    }
    let meta = path
        .symlink_metadata()
        .map_err(|e| Error::io("look at", path, e))?;
    if !meta.is_dir() || meta.uid() != owner {
        return Err(foreign(path, &meta, owner));
    }
    if meta.mode() & 0o7777 != mode {
        std::fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|e| Error::io("set the mode of", path, e))?;
    }
    Ok(())
}

/// Whether `path` is a directory of this user, and no link to one.
pub(crate) fn owns(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|m| m.is_dir() && m.uid() == uid())
}

/// As root: says so when the server's user cannot pass through `path`.
pub(crate) fn check_traversable(path: &Path) -> Result<(), Error> {
    if server_user().is_none() {
        return Ok(());
    }
    let closed = path.ancestors().find(|dir| {
        dir.metadata()
            .is_ok_and(|m| m.is_dir() && m.mode() & 0o001 == 0)
    });
    match closed {
        None => Ok(()),
        Some(dir) => Err(Error::new(
            ErrorKind::Config,
            format!(
                "as root the server runs as `nobody`, who cannot enter `{}`; \
                 set TENANCY_DEVDB_CACHE to a directory everybody can enter, or leave it out",
                dir.display()
            ),
        )),
    }
}

fn foreign(path: &Path, meta: &Metadata, owner: u32) -> Error {
    Error::new(
        ErrorKind::Io,
        format!(
            "`{}` belongs to user {} instead of {owner}, or is no directory: \
             remove it or set TENANCY_DEVDB_CACHE",
            path.display(),
            meta.uid()
        ),
    )
}

/// `nobody`: exists on every Unix, owns nothing.
const NOBODY: u32 = 65_534;
