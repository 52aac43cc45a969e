//! Encrypted connections: to whom, and to whom not.
//!
//! The development database is built without TLS, so a pgbouncer speaks it in front.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;
use tenancy_core::{
    DbOptions, Error, ErrorKind, OperatorDb, PoolerMode, Retry, TenantDb, WorkerDb, migrate::CORE,
    testing,
};
use tenancy_testkit::{Db, Pgbouncer};
use url::Url;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PASSWORD: &str = "correct-horse";

/// Somebody who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self(issuer))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this host name, and its key.
    fn sign(&self, host: &str) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![host.to_owned()])?;
        let certificate = params.signed_by(&key, &*self.0)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

/// A database behind a server that shows `localhost` signed by `ours`.
struct World {
    kit: Db,
    server: Pgbouncer,
    ours: Authority,
    theirs: Authority,
    dir: TempDir,
}

impl World {
    async fn new() -> Result<Option<Self>> {
        let kit = Db::new(&[&CORE]).await?;
        let [ours, theirs] = [Authority::new("ours")?, Authority::new("theirs")?];
        let (certificate, key) = ours.sign("localhost")?;
        let server = Pgbouncer::start_tls(kit.server.app_url(), &certificate, &key).await?;
        let dir = tempfile::tempdir()?;
        Ok(server.map(|server| Self {
            kit,
            server,
            ours,
            theirs,
            dir,
        }))
    }

    /// The URL with a host, a mode and a file of authorities.
    fn url(&self, host: &str, mode: &str, trusted: &[&Authority]) -> Result<String> {
        let roots: Vec<_> = trusted.iter().map(|authority| authority.pem()).collect();
        let file = self.dir.path().join("roots.pem");
        std::fs::write(&file, roots.concat())?;
        with(self.server.url(), host, mode, &file.display().to_string())
    }
}

fn with(url: &str, host: &str, mode: &str, roots: &str) -> Result<String> {
    let mut url = Url::parse(url)?;
    url.set_host(Some(host))?;
    url.set_password(Some(PASSWORD))
        .map_err(|()| "no password")?;
    url.query_pairs_mut()
        .clear()
        .append_pair("sslmode", mode)
        .append_pair("sslrootcert", roots);
    Ok(url.into())
}

fn options() -> DbOptions {
    DbOptions::default().with_pooler(PoolerMode::Transaction)
}

async fn connect(url: &str) -> std::result::Result<TenantDb, Error> {
    TenantDb::connect_with(url, options()).await
}

/// Refused for good, with advice, and without the password.
#[track_caller]
fn assert_refused(refused: std::result::Result<TenantDb, Error>, code: &str, advice: &str) {
    let error = refused.err();
    let found = error.as_ref().map(|e| (e.kind(), e.code(), e.retry()));
    assert_eq!(found, Some((ErrorKind::Misconfigured, code, Retry::Never)));
    let text = error.as_ref().map(Error::to_string);
    let told = format!("{text:?} {error:?}");
    assert!(told.contains(advice), "{told}");
    assert!(!told.contains(PASSWORD), "{told}");
}

#[tokio::test]
async fn a_server_that_proves_its_name_is_used_and_the_connection_is_encrypted() -> Result {
    let Some(world) = World::new().await? else {
        return Ok(());
    };
    let db = connect(&world.url("localhost", "verify-full", &[&world.ours])?).await?;
    let ctx = testing::tenant(&db).await?;
    let mut tx = db.read(&ctx).await?;
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.tenants")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(seen, 1);
    // It lets nobody in who does not speak TLS.
    let plain = world.url("localhost", "disable", &[])?;
    assert!(connect(&plain).await.is_err());
    assert!(!format!("{db:?}").contains(PASSWORD));
    drop(world.kit);
    Ok(())
}

#[tokio::test]
async fn another_authority_and_another_name_are_refused() -> Result {
    let Some(world) = World::new().await? else {
        return Ok(());
    };
    let url = world.url("localhost", "verify-full", &[&world.theirs])?;
    assert_refused(connect(&url).await, "tls_not_trusted", "sslrootcert");
    let url = world.url("localhost", "verify-full", &[])?;
    assert_refused(connect(&url).await, "tls_not_trusted", "sslrootcert");
    // The same server by its address, which its certificate does not name.
    let url = world.url("127.0.0.1", "verify-full", &[&world.ours])?;
    assert_refused(connect(&url).await, "tls_not_trusted", "host name");
    Ok(())
}

#[tokio::test]
async fn a_mode_that_verifies_less_is_used_unless_tls_is_required() -> Result {
    let Some(world) = World::new().await? else {
        return Ok(());
    };
    for mode in ["prefer", "require", "verify-ca"] {
        let url = world.url("127.0.0.1", mode, &[&world.ours])?;
        connect(&url).await?;
        let required = TenantDb::connect_with(&url, options().with_required_tls()).await;
        assert_refused(required, "tls_not_trusted", "host name");
    }
    let url = world.url("localhost", "disable", &[&world.ours])?;
    TenantDb::connect_with(&url, options().with_required_tls()).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_demanded() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let Some(plain) = Pgbouncer::start(kit.server.app_url(), 2).await? else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("roots.pem");
    std::fs::write(&file, Authority::new("ours")?.pem())?;
    let roots = file.display().to_string();
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = with(plain.url(), "localhost", mode, &roots)?;
        assert_refused(connect(&url).await, "tls_not_offered", "ssl = on");
    }
    let url = with(plain.url(), "localhost", "prefer", &roots)?;
    let required = TenantDb::connect_with(&url, options().with_required_tls()).await;
    assert_refused(required, "tls_not_offered", "ssl = on");
    let mut worker = DbOptions::default().with_required_tls();
    worker.max_connections = 1;
    let refused = WorkerDb::connect_with(&url, &worker).await.map(drop);
    assert_eq!(refused.unwrap_err().code(), "tls_not_offered");
    let operator = OperatorDb::options().with_required_tls();
    let refused = OperatorDb::connect_with(&url, &operator).await.map(drop);
    assert_eq!(refused.unwrap_err().code(), "tls_not_offered");
    connect(&url).await?;
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_not_there_is_no_database_that_is_down() -> Result {
    let Some(world) = World::new().await? else {
        return Ok(());
    };
    let missing = world.dir.path().join("nowhere.pem").display().to_string();
    let url = with(world.server.url(), "localhost", "verify-full", &missing)?;
    assert_refused(connect(&url).await, "tls_file", "sslrootcert");
    Ok(())
}

#[tokio::test]
async fn an_authority_is_replaced_while_the_service_runs() -> Result {
    let Some(world) = World::new().await? else {
        return Ok(());
    };
    let url = world.url("localhost", "verify-full", &[&world.ours])?;
    let db = connect(&url).await?;
    let ctx = testing::tenant(&db).await?;

    // Both authorities in the file, then the server's certificate, then the old one out.
    world.url("localhost", "verify-full", &[&world.ours, &world.theirs])?;
    let (certificate, key) = world.theirs.sign("localhost")?;
    world.server.change_certificate(&certificate, &key)?;
    let only_theirs = world.url("localhost", "verify-full", &[&world.theirs])?;
    let begun = std::time::Instant::now();
    while let Err(error) = connect(&only_theirs).await {
        assert_eq!(error.code(), "tls_not_trusted");
        assert!(
            begun.elapsed().as_secs() < 20,
            "the server keeps its certificate"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    // The handle that was there reads the file for each connection that it makes.
    let there = db.without_tenant().size();
    let mut held = Vec::new();
    while db.without_tenant().size() == there {
        held.push(db.read(&ctx).await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_socket_does_not_leave_the_machine() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let url = Url::parse(kit.server.app_url())?;
    if url.host_str().is_some_and(|host| host.starts_with("%2F")) {
        let options = DbOptions::default().with_required_tls();
        TenantDb::connect_with(kit.server.app_url(), options).await?;
    }
    Ok(())
}
