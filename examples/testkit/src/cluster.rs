//! A Postgres of a test's own: with passwords, with a replica.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _};
use tempfile::TempDir;
use tenancy_devdb::{BoxError, DevDb};

use crate::user;

/// A server of its own on a port of this machine, ended with this value. Whoever logs in needs
/// his password (SCRAM); the superuser is `postgres`. It takes transactions in two phases.
#[derive(Debug)]
pub struct Cluster {
    process: Child,
    bin: PathBuf,
    dir: TempDir,
    port: u16,
}

const PASSWORD: &str = "of the superuser";

impl Cluster {
    /// A new, empty cluster with the programs of the development database.
    ///
    /// # Errors
    /// Where the development database is a server that was there: it has no programs.
    pub async fn start() -> Result<Self, BoxError> {
        let dev = DevDb::start().await?;
        let initdb = dev.program("initdb").ok_or("no programs of a Postgres")?;
        let bin = initdb.parent().ok_or("no folder of programs")?.to_owned();
        let dir = folder()?;
        let password = dir.path().join("password");
        fs::write(&password, PASSWORD)?;
        user::give(&password)?;
        let data = dir.path().join("data");
        run(Command::new(&initdb)
            .args(["--no-sync", "-A", "scram-sha-256", "-U", "postgres", "-D"])
            .arg(&data)
            .arg("--pwfile")
            .arg(&password))?;
        fs::write(data.join("pg_hba.conf"), HBA)?;
        Self::launch(bin, dir).await
    }

    /// A streaming replica of this server.
    pub async fn replica(&self) -> Result<Self, BoxError> {
        let dir = folder()?;
        run(Command::new(self.bin.join("pg_basebackup"))
            .args(["--no-sync", "-c", "fast", "-X", "stream", "-R", "-D"])
            .arg(dir.path().join("data"))
            .arg("-d")
            .arg(self.superuser_url("postgres")))?;
        Self::launch(self.bin.clone(), dir).await
    }

    /// The URL of a login of this server.
    pub fn url(&self, login: &str, password: &str, database: &str) -> String {
        let password = password.replace(' ', "%20");
        format!(
            "postgres://{login}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The URL of the superuser.
    pub fn superuser_url(&self, database: &str) -> String {
        self.url("postgres", PASSWORD, database)
    }

    /// Makes a database of this server from a dump of one of another server, with that one's roles, as one does
    /// after a loss. All logins have this password here.
    ///
    /// # Errors
    /// What the programs of Postgres say.
    pub async fn restore(
        &self,
        superuser_url: &str,
        name: &str,
        password: &str,
    ) -> Result<(), BoxError> {
        let dir = folder()?;
        let (roles, dump) = (dir.path().join("roles"), dir.path().join("dump"));
        let program = |name: &str| Command::new(self.bin.join(name));
        run(program("pg_dumpall")
            .args(["--roles-only", "--no-sync", "-d", superuser_url, "-f"])
            .arg(&roles))?;
        run(program("pg_dump")
            .args(["--no-sync", "-Fc", "-d", superuser_url, "-f"])
            .arg(&dump))?;
        // Some roles are there already.
        run(program("psql")
            .args(["-X", "-q", "-d", &self.superuser_url("postgres"), "-f"])
            .arg(&roles))?;
        let superuser = sqlx::PgPool::connect(&self.superuser_url("postgres")).await?;
        sqlx::query(AssertSqlSafe(format!(r#"CREATE DATABASE "{name}""#)))
            .execute(&superuser)
            .await?;
        run(program("pg_restore")
            .args(["--exit-on-error", "-d", &self.superuser_url(name)])
            .arg(&dump))?;
        let logins = "SELECT format('ALTER ROLE %I PASSWORD %L', rolname, $1::text) FROM pg_roles
            WHERE rolcanlogin AND NOT rolsuper";
        let logins: Vec<String> = sqlx::query_scalar(logins)
            .bind(password)
            .fetch_all(&superuser)
            .await?;
        for login in logins {
            sqlx::query(AssertSqlSafe(login))
                .execute(&superuser)
                .await?;
        }
        Ok(())
    }

    /// Starts the server again where it was, after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub async fn start_again(&mut self) -> Result<(), BoxError> {
        let deadline = Instant::now() + Duration::from_secs(20);
        self.process = spawn(&self.bin, &self.dir, self.port)?;
        loop {
            // As long as a process of the one before is at its end, a new server refuses to start.
            if self.process.try_wait()?.is_some() && Instant::now() < deadline {
                self.process = spawn(&self.bin, &self.dir, self.port)?;
            }
            // Not a pool, which would go on trying.
            let answer = sqlx::PgConnection::connect(&self.superuser_url("postgres")).await;
            if answer.is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return self.answering().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Kills the server with all of its processes, as a machine does that goes down: nothing is put in order.
    pub fn kill(&mut self) -> Result<(), BoxError> {
        let processes = children(self.process.id())?;
        self.process.kill()?;
        for process in processes {
            kill(process)?;
        }
        self.process.wait()?;
        Ok(())
    }

    /// Kills one process of the server, a connection's for one; its others end by themselves then, and the
    /// server starts anew. Whether it was there.
    pub fn kill_backend(&self, process: u32) -> Result<bool, BoxError> {
        let is_ours = children(self.process.id())?.contains(&process);
        Ok(is_ours && kill(process)?)
    }

    /// Ends the server at once, as a crash does.
    pub fn stop(&mut self) -> Result<(), BoxError> {
        let quit = ["-QUIT".to_owned(), self.process.id().to_string()];
        Command::new("kill").args(quit).status()?;
        self.process.wait()?;
        Ok(())
    }

    async fn launch(bin: PathBuf, dir: TempDir) -> Result<Self, BoxError> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let process = spawn(&bin, &dir, port)?;
        let cluster = Self {
            process,
            bin,
            dir,
            port,
        };
        cluster.answering().await?;
        Ok(cluster)
    }

    async fn answering(&self) -> Result<(), BoxError> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let url = self.superuser_url("postgres");
        while let Err(error) = sqlx::PgPool::connect(&url).await {
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.dir.path().join("log"))?;
                return Err(format!("the server does not answer: {error}: {log}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn kill(process: u32) -> Result<bool, BoxError> {
    let mut kill = Command::new("kill");
    kill.args(["-KILL", &process.to_string()]);
    Ok(kill.stderr(Stdio::null()).status()?.success())
}

/// The processes that this one started.
fn children(of: u32) -> Result<Vec<u32>, BoxError> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has just ended has none.
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let parent = behind_name.split_whitespace().nth(1);
        if parent.and_then(|parent| parent.parse().ok()) == Some(of) {
            found.push(process);
        }
    }
    Ok(found)
}

fn spawn(bin: &Path, dir: &TempDir, port: u16) -> Result<Child, BoxError> {
    let mut command = Command::new(bin.join("postgres"));
    command
        .arg("-D")
        .arg(dir.path().join("data"))
        .args(["-p", &port.to_string(), "-c", "fsync=off"])
        .args(["-c", "max_prepared_transactions=8"])
        .args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.path().join("log"))?);
    user::run_as_server(&mut command)?;
    Ok(command.spawn()?)
}

const HBA: &str =
    "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n";

fn folder() -> Result<TempDir, BoxError> {
    let dir = tempfile::tempdir()?;
    user::give(dir.path())?;
    Ok(dir)
}

fn run(command: &mut Command) -> Result<(), BoxError> {
    user::run_as_server(command)?;
    let output = command.current_dir("/").stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}
