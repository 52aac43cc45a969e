//! A database that is away, and a pool that is used up: two things, and two answers.

use std::{future::Future, time::Duration};

use tenancy_core::{
    DbOptions, Error, ErrorKind, OperatorDb, Retry, TenantCtx, TenantDb, WorkerDb,
    migrate::{self, CORE},
    testing,
};
use tenancy_testkit::{Cluster, Db, open_until_refused};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PASSWORD: &str = "correct-horse";

/// The pool itself would wait this long.
fn endless() -> DbOptions {
    DbOptions::default().with_acquire_timeout(Duration::from_hours(1))
}

/// The error of it, long before the pool's own time.
async fn soon<T>(work: impl Future<Output = std::result::Result<T, Error>>) -> Option<Error> {
    let done = tokio::time::timeout(Duration::from_mins(1), work).await;
    done.ok()?.err()
}

#[track_caller]
fn assert_away(error: Option<&Error>) {
    let found = error.map(|e| (e.kind(), e.code(), e.retry()));
    let away = (
        ErrorKind::Unavailable,
        "database_unavailable",
        Retry::Backoff,
    );
    assert_eq!(found, Some(away), "{error:?}");
    let told = format!("{:?} {error:?}", error.map(Error::to_string));
    assert!(!told.contains(PASSWORD), "{told}");
}

fn url_of(port: u16) -> String {
    format!("postgres://my_app:{PASSWORD}@127.0.0.1:{port}/postgres?sslmode=disable")
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_reported_at_once() -> Result {
    let url = url_of(
        TcpListener::bind(("127.0.0.1", 0))
            .await?
            .local_addr()?
            .port(),
    );
    assert_away(soon(TenantDb::connect_with(&url, endless())).await.as_ref());
    assert_away(
        soon(WorkerDb::connect_with(&url, &endless()))
            .await
            .as_ref(),
    );
    assert_away(
        soon(OperatorDb::connect_with(&url, &endless()))
            .await
            .as_ref(),
    );
    let socket = format!("postgres://my_app:{PASSWORD}@%2Fnowhere/postgres");
    assert_away(
        soon(TenantDb::connect_with(&socket, endless()))
            .await
            .as_ref(),
    );
    Ok(())
}

/// Answers everybody in the same way, or never.
async fn server_that_says(answer: Option<&'static [u8]>) -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = url_of(listener.local_addr()?.port());
    tokio::spawn(async move {
        let mut callers = Vec::new();
        while let Ok((mut caller, _)) = listener.accept().await {
            if let Some(answer) = answer {
                let _ = caller.read(&mut [0; 1024]).await;
                let _ = caller.write_all(answer).await;
            } else {
                callers.push(caller);
            }
        }
    });
    Ok(url)
}

#[tokio::test]
async fn a_server_that_is_starting_and_one_that_says_nothing_are_not_there() -> Result {
    let starting = b"E\0\0\0\x24SFATAL\0VFATAL\0C57P03\0Mstarting\0\0";
    let url = server_that_says(Some(starting)).await?;
    assert_away(soon(TenantDb::connect_with(&url, endless())).await.as_ref());

    // The pool would wait for it as long as it may.
    let url = server_that_says(None).await?;
    assert_away(soon(TenantDb::connect_with(&url, endless())).await.as_ref());
    let options = DbOptions::default().with_acquire_timeout(Duration::from_millis(300));
    assert_away(soon(TenantDb::connect_with(&url, options)).await.as_ref());
    Ok(())
}

#[tokio::test]
async fn connections_that_are_all_in_use_are_not_called_a_database_that_is_away() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let options = DbOptions::default()
        .with_max_connections(1)
        .with_acquire_timeout(Duration::from_secs(1));
    let db = TenantDb::connect_with(kit.server.app_url(), options).await?;
    let ctx = testing::tenant(&db).await?;
    let held = db.write(&ctx).await?;
    for error in [
        db.read(&ctx).await.unwrap_err(),
        db.write(&ctx).await.unwrap_err(),
        db.unbound().await.unwrap_err(),
    ] {
        let found = (error.kind(), error.code(), error.retry());
        let exhausted = (ErrorKind::Unavailable, "pool_exhausted", Retry::Backoff);
        assert_eq!(found, exhausted, "{error:?}");
    }
    // Whether somebody may enter does not depend on them.
    db.enter(ctx.tenant(), ctx.user().unwrap()).await?;
    drop(held);
    drop(db.read(&ctx).await?);
    Ok(())
}

/// A server of its own with a login, and a handle that has idle connections of both kinds.
async fn lived_in(options: DbOptions) -> Result<(Cluster, TenantDb, TenantCtx)> {
    let server = Cluster::start().await?;
    let operator = OperatorDb::connect(&server.superuser_url("postgres")).await?;
    migrate::migrate(&operator, &[&CORE]).await?;
    sqlx::raw_sql("CREATE ROLE my_app LOGIN PASSWORD 'correct-horse'; GRANT tenancy_app TO my_app")
        .execute(operator.pool())
        .await?;
    operator.pool().close().await;
    let url = server.url("my_app", PASSWORD, "postgres");
    let db = TenantDb::connect_with(&url, options).await?;
    let ctx = testing::tenant(&db).await?;
    let held = [
        db.read(&ctx).await?,
        db.read(&ctx).await?,
        db.read(&ctx).await?,
    ];
    let aside = [db.aside(&ctx).await?, db.aside(&ctx).await?];
    drop((aside, held));
    // Back in their pools, so that what comes next meets them there.
    while db.without_tenant().num_idle() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok((server, db, ctx))
}

#[tokio::test]
async fn a_server_that_stops_is_reported_and_found_again() -> Result {
    let (mut server, db, ctx) = lived_in(endless()).await?;
    let user = ctx.user().unwrap();
    server.stop()?;
    assert_away(soon(db.enter(ctx.tenant(), user)).await.as_ref());
    assert_away(soon(db.read(&ctx)).await.as_ref());
    assert_away(soon(db.write(&ctx)).await.as_ref());
    // More than there are connections: who waits for one hears it too.
    let crowd = (0..30).map(|_| soon(db.read(&ctx)));
    for error in futures_util::future::join_all(crowd).await {
        assert_away(error.as_ref());
    }

    server.start_again().await?;
    drop(db.read(&ctx).await?);
    db.enter(ctx.tenant(), user).await?;
    db.write(&ctx).await?.commit().await?;
    Ok(())
}

#[tokio::test]
async fn what_a_restart_left_dead_is_noticed_by_nobody() -> Result {
    let (mut server, db, ctx) = lived_in(endless()).await?;
    server.stop()?;
    server.start_again().await?;
    db.enter(ctx.tenant(), ctx.user().unwrap()).await?;
    drop(db.read(&ctx).await?);
    db.write(&ctx).await?.commit().await?;
    Ok(())
}

/// What is heard when a pool that may have more connections gets none.
async fn none_left(limit: &'static str) -> Result<Error> {
    let options = DbOptions::default().with_acquire_timeout(Duration::from_secs(1));
    let (server, db, ctx) = lived_in(options).await?;
    let superuser = sqlx::PgPool::connect(&server.superuser_url("postgres")).await?;
    sqlx::raw_sql(limit).execute(&superuser).await?;
    Ok(open_until_refused(&db, &ctx).await)
}

#[tokio::test]
async fn who_has_no_connection_to_spare_is_named() -> Result {
    for (limit, code) in [
        (
            "ALTER ROLE my_app CONNECTION LIMIT 1",
            "login_connections_used",
        ),
        (
            "ALTER DATABASE postgres CONNECTION LIMIT 1",
            "too_many_connections",
        ),
    ] {
        let error = none_left(limit).await?;
        let found = (error.kind(), error.code());
        assert_eq!(found, (ErrorKind::Unavailable, code), "{error:?}");
        assert!(error.retry().is_retryable());
    }
    Ok(())
}
