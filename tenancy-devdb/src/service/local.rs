//! A server of ours: found, started, set up, swept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Attempt, Error, ErrorKind};
use crate::host::{Binaries, Cache, Found, Lock, NONE, Server, process_is_alive};
use crate::model::{DbName, Endpoint, Login, Settings};
use crate::postgres::{self, Admin};
use crate::service::Database;
use crate::service::dev_db::Inner;

pub(super) async fn open(settings: Settings) -> Result<Inner, Error> {
    let mut round = 0;
    let (server, programs) = loop {
        match settle(&settings, round).await? {
            Some(done) => break done,
            None if round < LAST_ROUND => round += 1,
            None => return Err(gone()),
        }
    };
    let endpoint = Endpoint::Local(server.address().clone());
    let name = DbName::parse(DEFAULT_DATABASE)?;
    Ok(Inner {
        database: Database::new(&endpoint, Some(&name)),
        endpoint,
        major: programs.major,
        server: Some(server),
        programs: Some(programs),
        tag: String::new(),
        read_only: None,
    })
}

/// `None`: it is worth another try. A server that ended under us is joined or started again; one that
/// does so once more, say after the memory ran full, is made anew.
async fn settle(settings: &Settings, round: u32) -> Result<Option<(Arc<Server>, Binaries)>, Error> {
    let (found, joined) = blocking(settings.clone(), |settings| {
        let cache = Cache::open(settings.cache.as_deref())?;
        let found = Binaries::find(&settings, &cache)?;
        let joined = Server::join_or_start(&found.binaries, &cache, settings.durable);
        Ok((found, joined))
    })
    .await?;
    let (server, lock) = joined.map_err(|e| failed(found.clone(), e))?;
    match prepare(&server, lock).await {
        Ok(()) => Ok(Some((server, found.binaries))),
        Err(_) if round < LAST_ROUND && !server.is_alive() => {
            if round > 0 {
                server.distrust();
            }
            Ok(None)
        }
        Err(e) => Err(failed(found, e)),
    }
}

/// Waits for the server; the first in this process also sets it up and sweeps. One that is known
/// already is asked as well: where it was killed, its supervisor stands for it a moment longer.
async fn prepare(server: &Arc<Server>, lock: Option<Lock>) -> Result<(), Error> {
    let endpoint = Endpoint::Local(server.address().clone());
    let Some(mut admin) = wait_for(server, &endpoint, lock.is_none()).await? else {
        return Ok(());
    };
    if lock.is_none() {
        admin.close().await;
        return Ok(());
    }
    if !server.is_set_up() {
        set_up(&endpoint, &mut admin).await?;
        server.mark_set_up()?;
    }
    sweep(&mut admin, "").await?;
    admin.close().await;
    Arc::clone(server).remember();
    Ok(())
}

/// `None`: it answers, and has no room for us; where `any_answer` will do.
async fn wait_for(
    server: &Server,
    endpoint: &Endpoint,
    any_answer: bool,
) -> Result<Option<Admin>, Error> {
    let url = endpoint.url(Login::Superuser, None).unwrap_or_default();
    let deadline = Instant::now() + START_LIMIT;
    // A connection that comes too early is refused by a process that was made for it, which takes
    // its time from the start.
    while !server.is_ready() && server.is_alive() && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
    }
    loop {
        let error = match postgres::connect(&url).await {
            Ok(admin) => return Ok(Some(admin)),
            Err(error) if any_answer && postgres::is_full(&error) => return Ok(None),
            Err(error) => error,
        };
        if !server.is_alive() || Instant::now() > deadline {
            let text = format!(
                "the server did not start ({error}); its log: {}",
                server.log_tail()
            );
            return Err(Error::new(ErrorKind::Server, text).with_source(error));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn set_up(endpoint: &Endpoint, admin: &mut Admin) -> Result<(), Error> {
    admin.make_logins().await?;
    // Databases made from here have it; those that are to do without come from `template0`.
    let everywhere = DbName::parse("template1")?;
    let url = endpoint
        .url(Login::Superuser, Some(&everywhere))
        .unwrap_or_default();
    let mut inside = postgres::connect(&url)
        .await
        .map_err(|e| Error::sql("connect to `template1`", e))?;
    inside.create_vector().await?;
    inside.close().await;
    let name = DbName::parse(DEFAULT_DATABASE)?;
    admin
        .create(&name, "template1", Login::Operator.role())
        .await?;
    Ok(())
}

/// Drops test databases whose process is gone.
pub(super) async fn sweep(admin: &mut Admin, tag: &str) -> Result<(), Error> {
    for (name, _) in admin.databases().await? {
        let left = DbName::test_owner(&name, tag).is_some_and(|pid| !process_is_alive(pid));
        if left && let Ok(name) = DbName::parse(&name) {
            admin.drop(&name).await?;
        }
    }
    Ok(())
}

/// Runs what waits on files and processes where it holds up no other task.
pub(crate) async fn blocking<A, T>(
    argument: A,
    work: impl FnOnce(A) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error>
where
    A: Send + 'static,
    T: Send + 'static,
{
    let done = tokio::task::spawn_blocking(move || work(argument)).await;
    done.unwrap_or_else(
        |e| Err(Error::new(ErrorKind::Server, "the start broke off").with_source(e)),
    )
}

fn failed(found: Found, error: Error) -> Error {
    let mut attempts = found.passed;
    attempts.push(Attempt::new(found.way, &error));
    Error::new(ErrorKind::NoDatabase, NONE)
        .with_attempts(attempts)
        .with_source(error)
}

fn gone() -> Error {
    Error::new(
        ErrorKind::Server,
        "the server ended three times while it was started",
    )
}

const DEFAULT_DATABASE: &str = "tenancy_dev";
/// After two that failed, the first of them on a cluster that is left as it was.
const LAST_ROUND: u32 = 2;
const POLL: Duration = Duration::from_millis(1);
const START_LIMIT: Duration = Duration::from_secs(30);
