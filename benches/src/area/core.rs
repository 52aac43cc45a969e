//! A unit of work against the usual recipe.

use std::time::Instant;

use sqlx::PgPool;
use tenancy_core::{TenantCtx, TenantDb, migrate::CORE, testing};
use tenancy_testkit::Db;

use crate::{
    Result,
    report::{Better, Metric, publish},
};

const ROUNDS: usize = 7;
const CALLS: usize = 400;
const CLIENTS: usize = 8;
const QUERY: &str = "SELECT status FROM tenancy.tenants WHERE id = $1";

pub(crate) async fn run() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let naive = PgPool::connect(kit.server.app_url()).await?;
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let a = throughput(|| one_of_ours(kit.app.clone(), ctx.clone())).await?;
        let b = throughput(|| one_of_the_recipe(naive.clone(), ctx.clone())).await?;
        // The first round fills the caches.
        if round > 0 {
            ours.push(a);
            peer.push(b);
        }
    }
    println!(
        "yardstick: {:.0} bare statements/s on one connection",
        bare(&naive).await?
    );
    let name = "read unit of work";
    let recipe = "begin + set_config + query + commit";
    publish(
        "core",
        &[Metric::beside(
            name,
            "/s",
            (&ours, &peer),
            recipe,
            Better::Higher,
            1.2,
        )],
    )
}

/// Calls a second of several clients at once.
async fn throughput<F>(call: impl Fn() -> F) -> Result<f64>
where
    F: Future<Output = Result> + Send + 'static,
{
    let begun = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let calls: Vec<F> = (0..CALLS).map(|_| call()).collect();
        clients.spawn(async move {
            for call in calls {
                call.await?;
            }
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    Ok((CLIENTS * CALLS) as f64 / begun.elapsed().as_secs_f64())
}

async fn one_of_ours(db: TenantDb, ctx: TenantCtx) -> Result {
    let mut tx = db.read(&ctx).await?;
    let _: String = sqlx::query_scalar(QUERY)
        .bind(ctx.tenant())
        .fetch_one(&mut *tx)
        .await?;
    Ok(())
}

async fn one_of_the_recipe(pool: PgPool, ctx: TenantCtx) -> Result {
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT set_config('tenancy.tenant_id', $1, true)")
        .bind(ctx.tenant().to_string())
        .execute(&mut *tx)
        .await?;
    let _: String = sqlx::query_scalar(QUERY)
        .bind(ctx.tenant())
        .fetch_one(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

async fn bare(pool: &PgPool) -> Result<f64> {
    const STATEMENTS: u32 = 2_000;
    let mut conn = pool.acquire().await?;
    let begun = Instant::now();
    for _ in 0..STATEMENTS {
        sqlx::query("SELECT 1").execute(&mut *conn).await?;
    }
    Ok(f64::from(STATEMENTS) / begun.elapsed().as_secs_f64())
}
