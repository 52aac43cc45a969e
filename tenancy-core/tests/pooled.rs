//! Behind a real pgbouncer that gives out server connections by the transaction.

use std::time::Duration;

use tenancy_core::{
    DbOptions, ErrorKind, PoolerMode, TenantCtx, TenantDb, TxOptions, WorkerDb, migrate::CORE,
    testing,
};
use tenancy_testkit::{Db, Pgbouncer};
use tokio::task::JoinSet;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SERVER_CONNECTIONS: u32 = 2;
const ROUNDS: usize = 100;

/// Two handles, as two processes have them, on fewer server connections than they have together.
async fn fixture() -> Result<Option<(Db, Pgbouncer, [TenantDb; 2])>> {
    let kit = Db::new(&[&CORE]).await?;
    sqlx::raw_sql(
        "CREATE TABLE tenancy.notes (tenant_id uuid NOT NULL, body text NOT NULL);
         SELECT tenancy.protect_table('tenancy.notes')",
    )
    .execute(&kit.superuser().await?)
    .await?;
    let Some(pooler) = Pgbouncer::start(kit.server.app_url(), SERVER_CONNECTIONS).await? else {
        return Ok(None);
    };
    let handle = || {
        let options = DbOptions::default()
            .with_pooler(PoolerMode::Transaction)
            .with_enter_bound(Duration::ZERO)
            .with_max_connections(4);
        TenantDb::connect_with(pooler.url(), options)
    };
    let handles = [handle().await?, handle().await?];
    Ok(Some((kit, pooler, handles)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_share_server_connections_see_their_own_rows_only() -> Result {
    let Some((kit, _pooler, handles)) = fixture().await? else {
        return Ok(());
    };
    let tenants = [
        testing::tenant(&kit.app).await?,
        testing::tenant(&kit.app).await?,
    ];
    let mut clients = JoinSet::new();
    for client in 0..6 {
        let (db, ctx) = (handles[client % 2].clone(), tenants[client / 3].clone());
        clients.spawn(async move {
            for round in 0..ROUNDS {
                hammer(&db, &ctx, round).await?;
            }
            Result::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    // Nothing is left on the server connections, whoever gets them next.
    for db in &handles {
        for _ in 0..SERVER_CONNECTIONS * 4 {
            let mut conn = db.unbound().await?;
            let residue: (String, i64) = sqlx::query_as(
                "SELECT coalesce(current_setting('tenancy.tenant_id', true), ''),
                        (SELECT count(*) FROM tenancy.notes)",
            )
            .fetch_one(&mut *conn)
            .await?;
            assert_eq!(residue, (String::new(), 0));
        }
    }
    let mut tx = kit.app.read(&tenants[0]).await?;
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.notes")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(kept, i64::try_from(3 * ROUNDS.div_ceil(2))?);
    Ok(())
}

/// One unit of work with different statements in changing order, so that a statement of another
/// client under the same name would be found out.
async fn hammer(db: &TenantDb, ctx: &TenantCtx, round: usize) -> Result {
    let user = ctx.user().ok_or("a tenant has an owner")?;
    let entered = db.enter(ctx.tenant(), user).await?;
    assert_eq!(entered.tenant(), ctx.tenant());
    let mut tx = db.write(&entered).await?;
    if round.is_multiple_of(3) {
        let echo: i64 = sqlx::query_scalar("SELECT $1 + 1")
            .bind(1_i64)
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(echo, 2);
    }
    sqlx::query("INSERT INTO tenancy.notes (tenant_id, body) VALUES ($1, 'x')")
        .bind(ctx.tenant())
        .execute(&mut *tx)
        .await?;
    let foreign: i64 =
        sqlx::query_scalar("SELECT count(*) FROM tenancy.notes WHERE tenant_id <> $1")
            .bind(ctx.tenant())
            .fetch_one(&mut *tx)
            .await?;
    assert_eq!(foreign, 0);
    if round.is_multiple_of(2) {
        tx.commit().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_limits_of_the_handle_go_out_with_each_transaction() -> Result {
    let Some((_kit, _pooler, [db, _])) = fixture().await? else {
        return Ok(());
    };
    let ctx = testing::tenant(&db).await?;
    let limit = "SELECT current_setting('statement_timeout')";
    let mut tx = db.read(&ctx).await?;
    let seen: String = sqlx::query_scalar(limit).fetch_one(&mut *tx).await?;
    assert_eq!(seen, "30s");
    drop(tx);
    let options = TxOptions::default().with_statement_timeout(Duration::from_secs(2));
    let mut tx = db.read_with(&ctx, &options).await?;
    let seen: String = sqlx::query_scalar(limit).fetch_one(&mut *tx).await?;
    assert_eq!(seen, "2s");
    Ok(())
}

#[tokio::test]
async fn a_worker_is_told_to_go_past_the_pooler() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let options = DbOptions::default().with_pooler(PoolerMode::Transaction);
    let error = WorkerDb::connect_with(kit.server.worker_url(), &options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert_eq!(error.code(), "worker_behind_pooler");
    Ok(())
}
