//! Opening, committing and cancelling.

use std::{
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tenancy_core::{DbOptions, ErrorKind, TenantDb, migrate::CORE, testing};
use tenancy_testkit::{Db, Proxy, Soak, Subject};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A twentieth of what `tenancy-bench soak` does.
const CANCELS: u64 = 5_000;

fn seed() -> u64 {
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let seed = u64::from(seed.subsec_nanos()) | 1;
    println!("seed {seed}");
    seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_cancels_leave_no_connection_in_a_transaction_or_with_a_tenant() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let tenants = [
        testing::tenant(&kit.app).await?,
        testing::tenant(&kit.app).await?,
    ];
    let options = DbOptions::default().with_max_connections(3);
    let db = TenantDb::connect_with(kit.server.app_url(), options).await?;
    let found = Soak::new(seed(), CANCELS)
        .run(&Subject::Tenancy(db), &tenants)
        .await?;
    println!("{found:?}");
    assert_eq!((found.poisoned, found.foreign), (0, 0));
    assert!(
        found.cancelled.iter().all(|stage| *stage > CANCELS / 10),
        "{found:?}"
    );
    Ok(())
}

/// That the test above can see anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_usual_recipe_leaves_open_transactions_behind() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let tenants = [
        testing::tenant(&kit.app).await?,
        testing::tenant(&kit.app).await?,
    ];
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(3)
        .connect(kit.server.app_url())
        .await?;
    let mut soak = Soak::new(seed(), CANCELS / 5);
    soak.look_every = 1;
    let found = soak.run(&Subject::Recipe(pool), &tenants).await?;
    println!("{found:?}");
    assert!(found.poisoned > 0, "{found:?}");
    Ok(())
}

#[tokio::test]
async fn a_begin_that_is_cancelled_on_the_bare_pool_is_caught_by_the_second_net() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let options = DbOptions::default().with_max_connections(1);
    let db = TenantDb::connect_with(kit.server.app_url(), options).await?;
    let poison = sqlx::AssertSqlSafe(format!(
        "BEGIN; {} SELECT pg_sleep(0.05)",
        db.context_sql(&ctx)
    ));
    let begin = db.without_tenant().begin_with(poison);
    assert!(
        tokio::time::timeout(Duration::from_millis(10), begin)
            .await
            .is_err()
    );

    let mut conn = db.without_tenant().acquire().await?;
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.tenants")
        .fetch_one(&mut *conn)
        .await?;
    assert_eq!(seen, 0);
    Ok(())
}

#[tokio::test]
async fn hooks_run_after_a_commit_and_not_after_a_rollback() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let ran = Arc::new(AtomicUsize::new(0));
    for commit in [true, false] {
        let mut tx = kit.app.write(&ctx).await?;
        let counter = ran.clone();
        tx.after_commit(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        if commit {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
    }
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn a_connection_killed_during_the_commit_leaves_the_outcome_unknown() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let mut tx = kit.app.write(&ctx).await?;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut *tx)
        .await?;
    sqlx::query("SELECT pg_terminate_backend($1)")
        .bind(pid)
        .execute(&kit.superuser().await?)
        .await?;
    let error = tx.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitOutcomeUnknown);
    Ok(())
}

#[tokio::test]
async fn opening_survives_idle_connections_that_the_server_closed() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let transactions = [
        kit.app.read(&ctx).await?,
        kit.app.read(&ctx).await?,
        kit.app.read(&ctx).await?,
    ];
    drop(transactions);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let killed = sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tenancy_dev_app' AND datname = current_database()")
        .execute(&kit.superuser().await?)
        .await?;
    assert!(killed.rows_affected() >= 3);
    kit.app.read(&ctx).await?;
    Ok(())
}

#[tokio::test]
async fn a_pool_of_one_does_not_deadlock_with_what_is_written_aside() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let options = DbOptions::default()
        .with_max_connections(1)
        .with_acquire_timeout(Duration::from_secs(2));
    let db = TenantDb::connect_with(kit.server.app_url(), options).await?;
    let _held = db.write(&ctx).await?;
    db.aside(&ctx).await?.commit().await?;
    db.enter(ctx.tenant(), ctx.user().unwrap()).await?;
    Ok(())
}

#[tokio::test]
async fn who_stops_waiting_for_a_connection_leaves_nothing_in_the_queue() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let proxy = Proxy::start(kit.server.app_url()).await?;
    let options = DbOptions::default().with_max_connections(1);
    let db = TenantDb::connect_with(proxy.url(), options).await?;
    let held = db.write(&ctx).await?;
    for _ in 0..10 {
        let waiting = tokio::time::timeout(Duration::from_millis(5), db.read(&ctx));
        assert!(waiting.await.is_err());
    }
    proxy.take_log();
    drop(held);
    drop(db.read(&ctx).await?);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let log = proxy.take_log();
    let begun = log.iter().filter(|sql| sql.starts_with("BEGIN READ ONLY"));
    assert_eq!(begun.count(), 1, "{log:?}");
    Ok(())
}

#[tokio::test]
async fn a_context_that_may_only_read_binds_other_libraries_as_well() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let superuser = kit.superuser().await?;
    sqlx::raw_sql(
        "CREATE TABLE notes (tenant_id uuid NOT NULL, id int NOT NULL, PRIMARY KEY (tenant_id, id));
         SELECT tenancy.protect_table('notes');",
    )
    .execute(&superuser)
    .await?;
    let add = async |ctx: &tenancy_core::TenantCtx| {
        let mut tx = kit.app.without_tenant().begin().await?;
        let sql = sqlx::AssertSqlSafe(kit.app.context_sql(ctx));
        sqlx::raw_sql(sql).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO notes VALUES ($1, 1)")
            .bind(ctx.tenant())
            .execute(&mut *tx)
            .await
    };
    assert!(add(&ctx).await.is_ok());
    sqlx::raw_sql("UPDATE tenancy.tenants SET status = 'suspended_read_only'")
        .execute(&superuser)
        .await?;
    let user = ctx.user().ok_or("an owner is a user")?;
    let reader = kit.app.enter(ctx.tenant(), user).await?;
    let refused = add(&reader).await.err().ok_or("it was written")?;
    let code = refused
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    assert_eq!(code.as_deref(), Some("25006"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_savepoint_that_somebody_left_open_ends_with_its_transaction() -> Result {
    use sqlx::Connection as _;
    let kit = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let options = DbOptions::default().with_max_connections(1);
    let db = TenantDb::connect_with(kit.server.app_url(), options).await?;
    let mut tx = db.write(&ctx).await?;
    // Its destructor would count it down.
    std::mem::forget(tx.begin().await?);
    drop(tx);
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.tenants")
        .fetch_one(&mut *db.without_tenant().acquire().await?)
        .await?;
    assert_eq!(seen, 0, "the connection still carries the tenant");
    db.read(&ctx).await?;
    Ok(())
}
