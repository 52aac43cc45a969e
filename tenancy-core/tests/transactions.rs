//! Opening, committing and cancelling.

use std::{
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use sqlx::Row as _;
use tenancy_core::{DbOptions, ErrorKind, TenantDb, migrate::CORE, testing};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Numbers that look random and can be had again from their seed (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_cancels_leave_no_connection_in_a_transaction_or_with_a_tenant() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let options = DbOptions::default().with_max_connections(3);
    let db = TenantDb::connect_with(kit.server.app_url(), options).await?;
    let seed = u64::from(std::time::UNIX_EPOCH.elapsed()?.subsec_nanos()) | 1;
    println!("seed {seed}");

    let mut dice = Dice(seed);
    for _ in 0..1_000 {
        let micros = dice.roll(1_500);
        let commit = dice.roll(2) == 0;
        let work = async {
            let mut tx = db.write(&ctx).await?;
            sqlx::query("SELECT pg_sleep(0.0003)")
                .execute(&mut *tx)
                .await?;
            if commit {
                tx.commit().await
            } else {
                tx.rollback().await
            }
        };
        let _ = tokio::time::timeout(Duration::from_micros(micros), work).await;
        // At once: the next transaction on a poisoned connection would end the one left open.
        assert_clean(&db).await?;
    }
    Ok(())
}

/// Borrows every connection at once and looks for what should not be there.
async fn assert_clean(db: &TenantDb) -> Result {
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut conn = db.without_tenant().acquire().await?;
        // The simple protocol: there the two clocks agree exactly outside a transaction.
        let row = sqlx::raw_sql(
            "SELECT coalesce(current_setting('tenancy.tenant_id', true), '') AS tenant,
                    (statement_timestamp() = transaction_timestamp())::text AS outside",
        )
        .fetch_one(&mut *conn)
        .await?;
        assert_eq!(
            row.try_get::<String, _>("tenant")?,
            "",
            "a connection came back with a tenant"
        );
        assert_eq!(
            row.try_get::<String, _>("outside")?,
            "true",
            "inside a transaction"
        );
        held.push(conn);
    }
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
