//! The limits and the isolation of one unit of work: each fires, and says what it was.

use std::time::Duration;

use sqlx::Row as _;
use tenancy_core::{
    DbOptions, Error, ErrorKind, Isolation, TenantCtx, TenantDb, TenantTx, TxOptions,
    migrate::CORE, testing,
};
use tenancy_testkit::{Db, Proxy};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(30);

/// Over TCP: on a Unix socket the server's last word is lost when it closes the connection.
async fn fixture() -> Result<(Db, Proxy, TenantDb, TenantCtx)> {
    let kit = Db::new(&[&CORE]).await?;
    sqlx::raw_sql(
        "CREATE TABLE tenancy.counters (tenant_id uuid NOT NULL, name text, n int NOT NULL);
         SELECT tenancy.protect_table('tenancy.counters')",
    )
    .execute(&kit.superuser().await?)
    .await?;
    let ctx = testing::tenant(&kit.app).await?;
    let proxy = Proxy::start(kit.server.app_url()).await?;
    let options = DbOptions::default().with_max_connections(3);
    let db = TenantDb::connect_with(proxy.url(), options).await?;
    let mut tx = db.write(&ctx).await?;
    for name in ["a", "b"] {
        sqlx::query("INSERT INTO tenancy.counters VALUES ($1, $2, 0)")
            .bind(ctx.tenant())
            .bind(name)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok((kit, proxy, db, ctx))
}

async fn count_up(tx: &mut TenantTx, name: &str) -> std::result::Result<(), Error> {
    let tenant = tx.ctx().tenant();
    sqlx::query("UPDATE tenancy.counters SET n = n + 1 WHERE tenant_id = $1 AND name = $2")
        .bind(tenant)
        .bind(name)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn run(tx: &mut TenantTx, sql: &'static str) -> std::result::Result<(), Error> {
    sqlx::raw_sql(sql).execute(&mut **tx).await?;
    Ok(())
}

fn assert_may_be_repeated(error: &Error, code: &str) {
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, code));
    assert!(error.retry().is_retryable());
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() -> Result {
    let (_kit, _proxy, db, ctx) = fixture().await?;
    let options = TxOptions::default().with_statement_timeout(SHORT);
    let mut tx = db.read_with(&ctx, &options).await?;
    let error = run(&mut tx, "SELECT pg_sleep(30)").await.unwrap_err();
    assert_may_be_repeated(&error, "statement_timeout");
    drop(tx);
    // The limit ended with its transaction.
    let mut tx = db.read(&ctx).await?;
    run(&mut tx, "SELECT pg_sleep(0.1)").await?;
    Ok(())
}

#[tokio::test]
async fn plans_leave_checks_out_in_that_transaction_alone() -> Result {
    let (kit, _proxy, _, ctx) = fixture().await?;
    let options = DbOptions::default().with_max_connections(1);
    let db = TenantDb::connect_with(kit.server.app_url(), options).await?;
    let planning = TxOptions::default().without_constraint_exclusion();
    for (options, expected) in [(planning, "off"), (TxOptions::default(), "partition")] {
        let mut tx = db.read_with(&ctx, &options).await?;
        let set: String = sqlx::query_scalar("SHOW constraint_exclusion")
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(set, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_lock_that_does_not_become_free_is_given_up() -> Result {
    let (_kit, _proxy, db, ctx) = fixture().await?;
    let mut holder = db.write(&ctx).await?;
    count_up(&mut holder, "a").await?;
    let options = TxOptions::default().with_lock_timeout(SHORT);
    let mut waiter = db.write_with(&ctx, &options).await?;
    let error = count_up(&mut waiter, "a").await.unwrap_err();
    assert_may_be_repeated(&error, "lock_timeout");
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_does_nothing_is_ended() -> Result {
    let (_kit, _proxy, db, ctx) = fixture().await?;
    let options = TxOptions::default().with_idle_timeout(SHORT);
    let mut tx = db.write_with(&ctx, &options).await?;
    count_up(&mut tx, "a").await?;
    tokio::time::sleep(SHORT * 10).await;
    let error = run(&mut tx, "SELECT 1").await.unwrap_err();
    assert_may_be_repeated(&error, "idle_timeout");
    drop(tx);
    assert_eq!(n_of(&db, &ctx, "a").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_whole_transaction_is_bounded_where_the_server_can_do_it() -> Result {
    let (kit, _proxy, db, ctx) = fixture().await?;
    let options = TxOptions::default().with_transaction_timeout(SHORT * 3);
    if kit.server.server().major().to_string() == "16" {
        let error = db.write_with(&ctx, &options).await.unwrap_err();
        assert_eq!(error.code(), "transaction_timeout_unsupported");
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        return Ok(());
    }
    let mut tx = db.write_with(&ctx, &options).await?;
    let error = async {
        // Never idle and no statement too long: only the sum is too much. The last one waits for the
        // server's word: what is sent to a closed connection gets none.
        for _ in 0..3 {
            run(&mut tx, "SELECT pg_sleep(0.01)").await?;
        }
        run(&mut tx, "SELECT pg_sleep(20)").await
    };
    assert_may_be_repeated(&error.await.unwrap_err(), "transaction_timeout");
    Ok(())
}

#[tokio::test]
async fn each_limit_is_that_of_the_transaction_and_ends_with_it() -> Result {
    let (_kit, _proxy, db, ctx) = fixture().await?;
    let options = TxOptions::default()
        .with_statement_timeout(Duration::from_millis(1_234))
        .with_lock_timeout(Duration::from_millis(2_345))
        .with_idle_timeout(Duration::from_millis(3_456));
    let limits =
        "SELECT ARRAY[current_setting('statement_timeout'), current_setting('lock_timeout'),
        current_setting('idle_in_transaction_session_timeout')]";
    for (options, expected) in [
        (options, ["1234ms", "2345ms", "3456ms"]),
        (TxOptions::default(), ["30s", "10s", "1min"]),
    ] {
        let mut tx = db.write_with(&ctx, &options).await?;
        let found: Vec<String> = sqlx::query_scalar(limits).fetch_one(&mut *tx).await?;
        assert_eq!(found, expected);
    }
    Ok(())
}

#[tokio::test]
async fn the_handle_has_limits_for_whoever_sets_none() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let mut tx = kit.app.read(&ctx).await?;
    let limits = "SELECT current_setting('statement_timeout') AS a,
        current_setting('lock_timeout') AS b,
        current_setting('idle_in_transaction_session_timeout') AS c";
    let row = sqlx::query(limits).fetch_one(&mut *tx).await?;
    let limits: [String; 3] = [row.try_get("a")?, row.try_get("b")?, row.try_get("c")?];
    assert_eq!(limits, ["30s", "10s", "1min"]);
    Ok(())
}

#[tokio::test]
async fn transactions_that_can_not_follow_one_another_fail_and_may_be_repeated() -> Result {
    let (_kit, _proxy, db, ctx) = fixture().await?;
    let options = TxOptions::default().with_isolation(Isolation::Serializable);
    let mut one = db.write_with(&ctx, &options).await?;
    let mut other = db.write_with(&ctx, &options).await?;
    for tx in [&mut one, &mut other] {
        run(tx, "SELECT sum(n) FROM tenancy.counters").await?;
    }
    count_up(&mut one, "a").await?;
    count_up(&mut other, "b").await?;
    one.commit().await?;
    assert_may_be_repeated(&other.commit().await.unwrap_err(), "serialization");
    assert_eq!(n_of(&db, &ctx, "b").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_repeatable_read_sees_one_moment() -> Result {
    let (_kit, _proxy, db, ctx) = fixture().await?;
    for (isolation, seen) in [
        (Isolation::ReadCommitted, [0, 1]),
        (Isolation::RepeatableRead, [1, 1]),
    ] {
        let options = TxOptions::default().with_isolation(isolation);
        let mut reader = db.read_with(&ctx, &options).await?;
        let first = n_in(&mut reader, "a").await?;
        let mut writer = db.write(&ctx).await?;
        count_up(&mut writer, "a").await?;
        writer.commit().await?;
        assert_eq!([first, n_in(&mut reader, "a").await?], seen);
    }
    Ok(())
}

#[tokio::test]
async fn a_deferrable_read_waits_for_a_moment_in_which_it_can_not_fail() -> Result {
    let (_kit, _proxy, db, ctx) = fixture().await?;
    let serializable = TxOptions::default().with_isolation(Isolation::Serializable);
    let mut writer = db.write_with(&ctx, &serializable).await?;
    count_up(&mut writer, "a").await?;

    let mut reader = db
        .read_with(&ctx, &serializable.clone().deferrable())
        .await?;
    let mut read = std::pin::pin!(n_in(&mut reader, "a"));
    let early = tokio::time::timeout(SHORT * 5, &mut read).await;
    assert!(early.is_err(), "it does not wait");
    writer.commit().await?;
    tokio::time::timeout(LONG, read).await??;
    Ok(())
}

#[tokio::test]
async fn of_two_that_wait_for_each_other_one_goes_on() -> Result {
    let (_kit, _proxy, db, ctx) = fixture().await?;
    let mut one = db.write(&ctx).await?;
    let mut other = db.write(&ctx).await?;
    count_up(&mut one, "a").await?;
    count_up(&mut other, "b").await?;
    let (first, second) = tokio::join!(count_up(&mut one, "b"), count_up(&mut other, "a"));
    let error = first.and(second).unwrap_err();
    assert_may_be_repeated(&error, "deadlock");
    Ok(())
}

async fn n_in(tx: &mut TenantTx, name: &str) -> Result<i32> {
    let tenant = tx.ctx().tenant();
    Ok(
        sqlx::query_scalar("SELECT n FROM tenancy.counters WHERE tenant_id = $1 AND name = $2")
            .bind(tenant)
            .bind(name)
            .fetch_one(&mut **tx)
            .await?,
    )
}

async fn n_of(db: &TenantDb, ctx: &TenantCtx, name: &str) -> Result<i32> {
    n_in(&mut db.read(ctx).await?, name).await
}
