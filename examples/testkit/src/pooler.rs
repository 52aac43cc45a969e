//! A real pgbouncer that gives out server connections by the transaction, and can speak TLS for a
//! server that does not.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    str::FromStr as _,
    time::{Duration, Instant},
};

use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tenancy_devdb::BoxError;
use tokio::net::TcpStream;
use url::Url;

use crate::user;

/// A pgbouncer of its own in front of a database, ended with this value.
#[derive(Debug)]
pub struct Pgbouncer {
    process: Child,
    url: String,
    dir: TempDir,
}

impl Pgbouncer {
    /// Starts one with so many server connections.
    ///
    /// `None` only where `TENANCY_SKIP_PEERS=1` says that there is none. As root, a missing
    /// package is installed; anybody else is told how.
    pub async fn start(url: &str, pool_size: u32) -> Result<Option<Self>, BoxError> {
        Self::start_with(url, pool_size, None).await
    }

    /// Starts one that lets in only those who speak TLS; it shows this certificate and has its key,
    /// both as PEM. Otherwise as [`start`](Self::start).
    pub async fn start_tls(
        url: &str,
        certificate: &str,
        key: &str,
    ) -> Result<Option<Self>, BoxError> {
        Self::start_with(url, 10, Some((certificate, key))).await
    }

    async fn start_with(
        url: &str,
        pool_size: u32,
        tls: Option<(&str, &str)>,
    ) -> Result<Option<Self>, BoxError> {
        if std::env::var("TENANCY_SKIP_PEERS").as_deref() == Ok("1") {
            eprintln!("skipped: TENANCY_SKIP_PEERS=1");
            return Ok(None);
        }
        let program = program()?;
        let dir = tempfile::tempdir()?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let settings = dir.path().join("pgbouncer.ini");
        let users = dir.path().join("users.txt");
        let mut front = Url::parse(url)?;
        let password = front.password().unwrap_or_default();
        let server = PgConnectOptions::from_str(url)?;
        fs::write(
            &users,
            format!("\"{}\" \"{password}\"\n", server.get_username()),
        )?;
        let mut ini = ini(&server, port, pool_size, &users);
        if let Some((certificate, key)) = tls {
            ini.push_str(&encrypted(dir.path(), certificate, key)?);
        }
        fs::write(&settings, ini)?;
        let mut command = Command::new(program);
        command
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("log"))?);
        // It refuses root, and the server's socket is its user's alone.
        for path in [dir.path(), &settings, &users] {
            user::give(path)?;
        }
        user::run_as_server(&mut command)?;
        front.set_query(tls.is_none().then_some("sslmode=disable"));
        front.set_host(Some("127.0.0.1"))?;
        front
            .set_port(Some(port))
            .map_err(|()| "the URL takes no port")?;
        let pooler = Self {
            process: command.spawn()?,
            url: front.into(),
            dir,
        };
        pooler.listening(port).await?;
        Ok(Some(pooler))
    }

    /// The URL to connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Shows another certificate to those who connect from here on.
    pub fn change_certificate(&self, certificate: &str, key: &str) -> Result<(), BoxError> {
        encrypted(self.dir.path(), certificate, key)?;
        let reload = ["-HUP".to_owned(), self.process.id().to_string()];
        Command::new("kill").args(reload).status()?;
        Ok(())
    }

    async fn listening(&self, port: u16) -> Result<(), BoxError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.dir.path().join("log"))?;
                return Err(format!("pgbouncer does not listen: {log}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Puts the certificate and its key into the folder, and says where they are.
fn encrypted(dir: &Path, certificate: &str, key: &str) -> Result<String, BoxError> {
    let files = [dir.join("server.crt"), dir.join("server.key")];
    for (file, content) in files.iter().zip([certificate, key]) {
        fs::write(file, content)?;
        user::give(file)?;
    }
    let [certificate, key] = files.map(|file| file.display().to_string());
    Ok(format!(
        "client_tls_sslmode = require\nclient_tls_cert_file = {certificate}\nclient_tls_key_file = {key}\n"
    ))
}

fn ini(server: &PgConnectOptions, port: u16, pool_size: u32, users: &Path) -> String {
    let host = match server.get_socket() {
        Some(dir) => dir.display().to_string(),
        None => server.get_host().to_owned(),
    };
    format!(
        "[databases]\n* = host={host} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
         pool_mode = transaction\ndefault_pool_size = {pool_size}\nmax_client_conn = 100\n",
        server.get_port(),
        users.display()
    )
}

fn program() -> Result<PathBuf, BoxError> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if user::is_root()? {
        let installed = Command::new("apt-get")
            .args(["install", "-y", "--no-install-recommends", "pgbouncer"])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .status();
        let installed = installed.is_ok_and(|status| status.success());
        if let Some(found) = find().filter(|_| installed) {
            return Ok(found);
        }
    }
    Err(
        "there is no pgbouncer: install the package of that name, or set TENANCY_SKIP_PEERS=1"
            .into(),
    )
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|dir| dir.join("pgbouncer"))
        .find(|program| program.is_file())
}
