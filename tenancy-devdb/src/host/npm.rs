//! Installs the locked packages of a folder into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind};
use crate::host::Cache;

/// Installs what `package-lock.json` in `dir` locks, once for each lock, and copies the folder's
/// own files beside it. Returns the copy: a program in it finds its packages one directory up.
pub(crate) fn install(cache: &Cache, npm: Command, dir: &Path) -> Result<PathBuf, Error> {
    let lock_file = dir.join("package-lock.json");
    let locked = fs::read(&lock_file).map_err(|e| Error::io("read", &lock_file, e))?;
    let home = cache.join(format!("npm-{}", short_hash([locked.as_slice()])));
    let _lock = cache.lock("npm")?;
    if !home.is_dir() {
        ci(npm, dir, &home)?;
    }
    place(dir, &home)
}

fn ci(mut npm: Command, dir: &Path, home: &Path) -> Result<(), Error> {
    let tmp = home.with_extension("tmp");
    let _ = fs::remove_dir_all(&tmp);
    fs::create_dir_all(&tmp).map_err(|e| Error::io("create", &tmp, e))?;
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        let from = dir.join(name);
        if from.is_file() {
            fs::copy(&from, tmp.join(name)).map_err(|e| Error::io("copy", &from, e))?;
        }
    }
    // Install scripts of packages are other people's programs: nothing here needs them.
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&tmp);
    let fail = |why: &str| {
        Error::new(
            ErrorKind::Node,
            format!("cannot install the packages of `{}`: {why}", dir.display()),
        )
    };
    let output = npm.output().map_err(|e| fail(&e.to_string()))?;
    if !output.status.success() {
        return Err(fail(
            String::from_utf8_lossy(&output.stderr)
                .trim()
                .replace('\n', " | ")
                .as_str(),
        ));
    }
    fs::rename(&tmp, home).map_err(|e| Error::io("rename", &tmp, e))
}

/// Copies the folder's own files under a name made from them: an edited program is a new copy, and
/// one that runs keeps its files.
fn place(dir: &Path, home: &Path) -> Result<PathBuf, Error> {
    let mut files = Vec::new();
    list(dir, Path::new(""), &mut files)?;
    files.sort();
    let mut contents = Vec::new();
    for file in &files {
        let from = dir.join(file);
        contents.push(file.to_string_lossy().into_owned().into_bytes());
        contents.push(fs::read(&from).map_err(|e| Error::io("read", &from, e))?);
    }
    let place = home.join(format!(
        "src-{}",
        short_hash(contents.iter().map(Vec::as_slice))
    ));
    if place.is_dir() {
        return Ok(place);
    }
    let tmp = place.with_extension("tmp");
    let _ = fs::remove_dir_all(&tmp);
    fs::create_dir_all(&tmp).map_err(|e| Error::io("create", &tmp, e))?;
    for file in &files {
        let (from, to) = (dir.join(file), tmp.join(file));
        let parent = to.parent().unwrap_or(&tmp);
        fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        fs::copy(&from, &to).map_err(|e| Error::io("copy", &from, e))?;
    }
    fs::rename(&tmp, &place).map_err(|e| Error::io("rename", &tmp, e))?;
    Ok(place)
}

fn list(root: &Path, inside: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let here = root.join(inside);
    let entries = fs::read_dir(&here).map_err(|e| Error::io("list", &here, e))?;
    for entry in entries.flatten() {
        let path = inside.join(entry.file_name());
        let kind = entry
            .file_type()
            .map_err(|e| Error::io("look at", &entry.path(), e))?;
        if kind.is_dir() && entry.file_name() != "node_modules" {
            list(root, &path, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn short_hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize()).chars().take(16).collect()
}
