//! What a unit of work waits for, counted on the wire; and what it does when the wire breaks.

use std::time::Duration;

use tenancy_core::{DbOptions, ErrorKind, TenantCtx, TenantDb, migrate::CORE, testing};
use tenancy_testkit::{Cut, Db, Proxy};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const QUERY: &str = "SELECT status FROM tenancy.tenants WHERE id = $1";
const CHANGE: &str = "INSERT INTO tenancy.tenant_notes (tenant_id) VALUES ($1)";

/// A handle with one connection each, behind the proxy.
struct Wire {
    _kit: Db,
    proxy: Proxy,
    db: TenantDb,
    ctx: TenantCtx,
}

impl Wire {
    async fn new() -> Result<Self> {
        let kit = Db::new(&[&CORE]).await?;
        sqlx::raw_sql(
            "CREATE TABLE tenancy.tenant_notes (tenant_id uuid NOT NULL);
             SELECT tenancy.protect_table('tenancy.tenant_notes')",
        )
        .execute(&kit.superuser().await?)
        .await?;
        let ctx = testing::tenant(&kit.app).await?;
        let proxy = Proxy::start(kit.server.app_url()).await?;
        let mut options = DbOptions::default()
            .with_max_connections(1)
            .with_enter_bound(Duration::ZERO);
        options.max_aside_connections = 1;
        let db = TenantDb::connect_with(proxy.url(), options).await?;
        let wire = Self {
            _kit: kit,
            proxy,
            db,
            ctx,
        };
        // Connected, and the statements of both kinds of work prepared.
        wire.write().await?;
        wire.idle().await;
        wire.read().await?;
        wire.idle().await;
        wire.proxy.take_log();
        Ok(wire)
    }

    async fn read(&self) -> Result {
        let mut tx = self.db.read(&self.ctx).await?;
        let _: String = sqlx::query_scalar(QUERY)
            .bind(self.ctx.tenant())
            .fetch_one(&mut *tx)
            .await?;
        Ok(())
    }

    async fn write(&self) -> Result {
        let mut tx = self.db.write(&self.ctx).await?;
        sqlx::query(CHANGE)
            .bind(self.ctx.tenant())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Until the pool has its connection back.
    async fn idle(&self) {
        let pool = self.db.without_tenant();
        while pool.num_idle() < 1 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_read_waits_for_two_round_trips_and_a_write_for_three() -> Result {
    let wire = Wire::new().await?;
    for _ in 0..3 {
        let (done, round_trips) = wire.proxy.awaited(wire.read()).await;
        done?;
        assert_eq!(round_trips, 2, "read, query, drop");
        wire.idle().await;

        let (done, round_trips) = wire.proxy.awaited(wire.write()).await;
        done?;
        assert_eq!(round_trips, 3, "write, query, commit");
        wire.idle().await;
    }
    Ok(())
}

#[tokio::test]
async fn entering_is_one_round_trip() -> Result {
    let wire = Wire::new().await?;
    let (tenant, user) = (wire.ctx.tenant(), wire.ctx.user().unwrap());
    wire.db.enter(tenant, user).await?;
    // The connection is released in two steps, the ping last.
    let mut log = Vec::new();
    while !log.ends_with(&["BEGIN; ROLLBACK".to_owned(), "Sync".to_owned()]) {
        tokio::task::yield_now().await;
        log.extend(wire.proxy.take_log());
    }
    wire.proxy.quiet().await;
    let (entered, round_trips) = wire.proxy.awaited(wire.db.enter(tenant, user)).await;
    entered?;
    assert_eq!(round_trips, 1);
    Ok(())
}

#[tokio::test]
async fn a_connection_is_free_again_one_round_trip_after_its_transaction() -> Result {
    let wire = Wire::new().await?;
    for commit in [false, true] {
        let mut tx = wire.db.write(&wire.ctx).await?;
        sqlx::query("SELECT 1").execute(&mut *tx).await?;
        let release = async {
            if commit {
                tx.commit().await?;
            } else {
                drop(tx);
            }
            wire.idle().await;
            Ok::<(), tenancy_core::Error>(())
        };
        let (done, round_trips) = wire.proxy.awaited(release).await;
        done?;
        assert_eq!(round_trips, 1 + usize::from(commit));
    }
    Ok(())
}

#[tokio::test]
async fn the_counter_sees_the_five_round_trips_of_the_usual_recipe() -> Result {
    let wire = Wire::new().await?;
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect(wire.proxy.url())
        .await?;
    let recipe = async || {
        let mut tx = pool.begin().await?;
        sqlx::query("SELECT set_config('tenancy.tenant_id', $1, true)")
            .bind(wire.ctx.tenant().to_string())
            .execute(&mut *tx)
            .await?;
        let _: String = sqlx::query_scalar(QUERY)
            .bind(wire.ctx.tenant())
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        while pool.num_idle() < 1 {
            tokio::task::yield_now().await;
        }
        Result::Ok(())
    };
    recipe().await?;
    let (done, round_trips) = wire.proxy.awaited(recipe()).await;
    done?;
    // The last one is the ping on release, for which this recipe waits above.
    assert_eq!(round_trips, 5 + 1);
    Ok(())
}

#[tokio::test]
async fn opening_is_tried_again_when_its_connection_breaks() -> Result {
    let wire = Wire::new().await?;
    for cut in [Cut::Request, Cut::Answer] {
        wire.proxy.cut(cut, "BEGIN READ ONLY");
        wire.read().await?;
        wire.idle().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_query_whose_connection_breaks_says_that_the_database_is_away() -> Result {
    let wire = Wire::new().await?;
    for cut in [Cut::Request, Cut::Answer] {
        let mut tx = wire.db.read(&wire.ctx).await?;
        wire.proxy.cut(cut, "SELECT 'far away'");
        let error = sqlx::raw_sql("SELECT 'far away'")
            .execute(&mut *tx)
            .await
            .map_err(tenancy_core::Error::from)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.retry().is_retryable());
        drop(tx);
        // The handle goes on with a new connection.
        wire.read().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_commit_is_unknown_when_its_answer_is_lost_whatever_became_of_it() -> Result {
    let wire = Wire::new().await?;
    let count = async || -> Result<i64> {
        let mut tx = wire.db.read(&wire.ctx).await?;
        Ok(
            sqlx::query_scalar("SELECT count(*) FROM tenancy.tenant_notes")
                .fetch_one(&mut *tx)
                .await?,
        )
    };
    for (cut, kept) in [(Cut::Request, 0), (Cut::Answer, 1)] {
        let before = count().await?;
        wire.proxy.cut(cut, "COMMIT");
        let error = wire.write().await.unwrap_err();
        let error = error.downcast_ref::<tenancy_core::Error>().unwrap();
        assert_eq!(error.kind(), ErrorKind::CommitOutcomeUnknown);
        assert!(!error.retry().is_retryable());
        assert_eq!(count().await? - before, kept, "{cut:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_commit_after_an_error_that_was_passed_over_is_no_success() -> Result {
    let wire = Wire::new().await?;
    let mut tx = wire.db.write(&wire.ctx).await?;
    let failed = sqlx::query("SELECT 1 / 0").execute(&mut *tx).await;
    assert!(failed.is_err());
    tx.after_commit(|| panic!("nothing was committed"));
    let error = tx.commit().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Conflict, "transaction_aborted")
    );
    wire.read().await
}

#[tokio::test]
async fn a_commit_goes_on_without_its_caller() -> Result {
    let wire = Wire::new().await?;
    let (done, finished) = tokio::sync::oneshot::channel();
    let mut tx = wire.db.write(&wire.ctx).await?;
    tx.after_commit(move || {
        let _ = done.send(());
    });
    wire.proxy.set_latency(Duration::from_millis(100));
    let cancelled = tokio::time::timeout(Duration::from_millis(20), tx.commit()).await;
    assert!(cancelled.is_err());
    finished.await?;
    Ok(())
}

#[tokio::test]
async fn a_savepoint_inside_is_one_of_this_transaction() -> Result {
    use sqlx::Connection as _;
    let wire = Wire::new().await?;
    let mut tx = wire.db.write(&wire.ctx).await?;
    let mut inner = tx.begin().await?;
    sqlx::query(CHANGE)
        .bind(wire.ctx.tenant())
        .execute(&mut *inner)
        .await?;
    inner.rollback().await?;
    tx.commit().await?;
    wire.idle().await;
    let log = wire.proxy.take_log();
    assert!(
        log.iter().any(|sql| sql.starts_with("SAVEPOINT")),
        "{log:?}"
    );

    let mut tx = wire.db.read(&wire.ctx).await?;
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.tenant_notes")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(kept, 1, "the one of the warm-up");
    Ok(())
}
