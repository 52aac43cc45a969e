//! A server that was there, given by `TENANCY_DATABASE_URL`.

use crate::error::{Error, ErrorKind};
use crate::host::{Cache, process_is_alive};
use crate::model::{Endpoint, Login, PgMajor, Settings, derived_password, hash_hex};
use crate::postgres::{self, Admin};
use crate::service::dev_db::Inner;
use crate::service::{Database, local};

/// Connects once to learn what the server is. Writes only with leave.
pub(super) async fn open(settings: &Settings, url: &str) -> Result<Inner, Error> {
    let endpoint = Endpoint::external(settings, url)?;
    let fail = |e| Error::sql("connect to the server in TENANCY_DATABASE_URL", e);
    let mut admin = postgres::connect(url).await.map_err(fail)?;
    let identity = admin.identity().await?;
    let major = check_major(identity.version, settings.major)?;
    let endpoint = endpoint.of(identity.role, identity.superuser);
    let mut read_only = Some(NO_LEAVE);
    let mut tag = String::new();
    if settings.allow_create {
        read_only = None;
        tag = machine_tag(settings)?;
        make_logins(settings, url, &mut admin).await?;
        local::sweep(&mut admin, &tag).await?;
    } else if settings.app_url.is_none() || settings.worker_url.is_none() {
        return Err(Error::new(ErrorKind::NotAllowed, NO_LOGINS));
    }
    admin.close().await;
    let database = Database::new(&endpoint, None);
    Ok(Inner {
        endpoint,
        database,
        major,
        server: None,
        programs: None,
        tag,
        read_only,
    })
}

fn check_major(version: i32, want: Option<PgMajor>) -> Result<PgMajor, Error> {
    postgres::check_version(version)?;
    let number = u32::try_from(version / 10_000).unwrap_or_default();
    // A newer server than this crate knows is used as the newest it knows.
    let major = PgMajor::from_number(number).unwrap_or_default();
    match want {
        Some(want) if want.number() != number => Err(Error::new(
            ErrorKind::Config,
            format!("the server in TENANCY_DATABASE_URL is Postgres {number}, {want} is wanted"),
        )),
        _ => Ok(major),
    }
}

async fn make_logins(settings: &Settings, url: &str, admin: &mut Admin) -> Result<(), Error> {
    for (given, login) in [
        (&settings.app_url, Login::App),
        (&settings.worker_url, Login::Worker),
    ] {
        if given.is_none() {
            admin
                .make_login(login.role(), &derived_password(url, login))
                .await?;
        }
    }
    Ok(())
}

/// Process ids mean something on one machine only: a tag keeps the test databases of several
/// machines on one server apart.
fn machine_tag(settings: &Settings) -> Result<String, Error> {
    let cache = Cache::open(settings.cache.as_deref())?;
    let _lock = cache.lock("machine")?;
    let path = cache.join("machine");
    if let Ok(tag) = std::fs::read_to_string(&path) {
        return Ok(tag);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = format!("{:?} {} {}", now, std::process::id(), process_is_alive(1));
    let tag = format!("{}_", hash_hex(&[&seed], 4));
    std::fs::write(&path, &tag).map_err(|e| Error::io("write", &path, e))?;
    Ok(tag)
}

const NO_LEAVE: &str = "no database is created on the server in TENANCY_DATABASE_URL: \
     set TENANCY_ALLOW_CREATE_DATABASE=1 if it is no production server";
const NO_LOGINS: &str = "TENANCY_DATABASE_URL is the operator's login: also set \
     TENANCY_APP_DATABASE_URL and TENANCY_WORKER_DATABASE_URL, or let the logins be made with \
     TENANCY_ALLOW_CREATE_DATABASE=1 if it is no production server";
