//! Servers of a test's own, and processes that use them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tenancy_devdb::{DevDb, DevDbBuilder};

pub(crate) async fn connect(url: &str) -> PgConnection {
    PgConnectOptions::from_str(url)
        .unwrap()
        .connect()
        .await
        .unwrap()
}

pub(crate) async fn run(url: &str, statement: &'static str) -> Result<(), sqlx::Error> {
    let mut conn = PgConnectOptions::from_str(url)?.connect().await?;
    sqlx::raw_sql(statement)
        .execute(&mut conn)
        .await
        .map(|_| ())
}

pub(crate) async fn text(url: &str, query: &'static str) -> String {
    sqlx::query_scalar(query)
        .fetch_one(&mut connect(url).await)
        .await
        .unwrap()
}

pub(crate) async fn names(url: &str) -> Vec<String> {
    let query = "SELECT datname::text FROM pg_database ORDER BY datname";
    sqlx::query_scalar(query)
        .fetch_all(&mut connect(url).await)
        .await
        .unwrap()
}

/// The SQL state a statement failed with.
pub(crate) fn state(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .unwrap()
        .code()
        .unwrap()
        .into_owned()
}

/// A cache of its own, and so a server of its own. Removed with what runs from it.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("devdb-test-{}-{n}-{name}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.join("cache")
    }

    /// A builder for a server here, with the programs of the shared one.
    pub(crate) async fn builder(&self) -> DevDbBuilder {
        let bin = programs().await;
        DevDb::builder()
            .cache_dir(self.cache())
            .vars(move |name| match name {
                "TENANCY_PG_BIN" => Some(bin.to_string_lossy().into_owned()),
                _ => None,
            })
    }

    /// A process that keeps the server here alive, and the operator's URL it prints.
    pub(crate) async fn serve(&self) -> (Client, String) {
        let mut client = self.spawn().await;
        let url = client.url();
        (client, url)
    }

    pub(crate) async fn spawn(&self) -> Client {
        let mut command = binary();
        command
            .arg("serve")
            .env("TENANCY_DEVDB_CACHE", self.cache());
        command.env("TENANCY_PG_BIN", programs().await);
        Client::spawn(command.stdout(Stdio::piped()))
    }

    pub(crate) fn tools_dir(&self) -> PathBuf {
        self.dir.join("tools")
    }

    /// A directory with the few tools the server's supervisor needs, and nothing else.
    pub(crate) fn tools(&self) -> PathBuf {
        let dir = self.tools_dir();
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        for tool in ["sh", "mkfifo", "sleep", "cp"] {
            let found = ["/bin", "/usr/bin"].iter().map(|d| Path::new(d).join(tool));
            symlink(
                found.into_iter().find(|p| p.exists()).unwrap(),
                dir.join(tool),
            )
            .unwrap();
        }
        dir
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Processes of this test are dead by now, but their server takes a moment to follow.
        let started = fs::read_dir(self.cache()).is_ok_and(|d| {
            d.flatten()
                .any(|e| e.file_name().to_string_lossy().starts_with("server-"))
        });
        for _ in 0..if started { 40 } else { 0 } {
            let cleaned = binary()
                .arg("clean")
                .env("TENANCY_DEVDB_CACHE", self.cache())
                .output();
            if cleaned.is_ok_and(|o| !o.stdout.is_empty()) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The program of this crate, in an environment that chooses nothing.
pub(crate) fn binary() -> Command {
    // A copy, where the build is out of reach of the user who runs the tests.
    let program = std::env::var_os("TENANCY_DEVDB_PROGRAM");
    let built = || env!("CARGO_BIN_EXE_tenancy-devdb").into();
    let mut command = Command::new(program.unwrap_or_else(built));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TENANCY_") && name != "TENANCY_PG_MAJOR" {
            command.env_remove(name);
        }
    }
    command
}

/// A process of this crate's program, killed with this value.
pub(crate) struct Client(Child);

impl Client {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// The operator's URL, which it prints once the server is there.
    pub(crate) fn url(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SIGKILL on Unix.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The directory of the fetched Postgres of the version under test.
pub(crate) async fn programs() -> PathBuf {
    let dev = packaged().start().await.unwrap();
    dev.program("postgres")
        .unwrap()
        .parent()
        .unwrap()
        .to_owned()
}

/// A builder for the shared server that takes what is fetched, never what is installed.
pub(crate) fn packaged() -> DevDbBuilder {
    DevDb::builder().vars(|name| match name {
        "TENANCY_DEVDB_SYSTEM" => Some("0".to_owned()),
        "TENANCY_PG_MAJOR" | "TENANCY_DEVDB_CACHE" => std::env::var(name).ok(),
        _ => None,
    })
}

/// The directory of the socket in a URL without characters that need decoding but the slash.
pub(crate) fn socket_of(url: &str) -> PathBuf {
    let options = PgConnectOptions::from_str(url).unwrap();
    options.get_socket().unwrap().join(".s.PGSQL.5432")
}

/// The server's process id.
pub(crate) fn postmaster(url: &str) -> u32 {
    let run = socket_of(url).ancestors().nth(2).unwrap().to_owned();
    let file = fs::read_to_string(run.join("data/postmaster.pid")).unwrap();
    file.lines().next().unwrap().trim().parse().unwrap()
}

/// Whether it runs. One that ended and was not waited for, as where nobody adopts orphans, does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let mut kill = Command::new("kill");
    kill.args(["-0", &pid.to_string()]).stderr(Stdio::null());
    kill.status().unwrap().success() && !stat.contains(") Z ")
}

pub(crate) fn signal(pid: u32, name: &str) {
    assert!(
        Command::new("kill")
            .args([name, &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

pub(crate) fn write_script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
