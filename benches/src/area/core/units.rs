//! Units of work.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgPool, Row as _};
use tenancy_core::{TenantCtx, TenantDb, TenantId};
use tenancy_testkit::{Db, Proxy};

use crate::{
    Result,
    report::{Better, Metric},
    sample::Sample,
};

const ROUNDS: usize = 9;
/// A round alternates between the two so many times, so that a neighbour on this machine slows
/// both down.
const SLICES: usize = 10;
const CALLS: usize = 150;
const CLIENTS: usize = 8;
const DISTANCE: Duration = Duration::from_millis(2);

const TENANTS: i32 = 200;
const ROWS: i32 = 500;

const BY_POLICY: &str = "SELECT body FROM bench.guarded WHERE id = $1";
const BY_BOTH: &str = "SELECT body FROM bench.guarded WHERE tenant_id = $1 AND id = $2";
const BY_HAND: &str = "SELECT body FROM bench.plain WHERE tenant_id = $1 AND id = $2";

const SCHEMA: &str = "
    CREATE SCHEMA bench;
    GRANT USAGE ON SCHEMA bench TO tenancy_app;
    CREATE TABLE bench.guarded (tenant_id uuid NOT NULL, id int NOT NULL, body text NOT NULL,
                                PRIMARY KEY (tenant_id, id));
    CREATE TABLE bench.plain (LIKE bench.guarded INCLUDING ALL);
    GRANT SELECT ON bench.plain TO tenancy_app;
    SELECT tenancy.protect_table('bench.guarded');";

/// The same rows with policies and without.
pub(crate) struct Rows {
    db: TenantDb,
    naive: PgPool,
    url: String,
    ctx: TenantCtx,
}

impl Rows {
    pub(crate) async fn new(kit: &Db, ctx: &TenantCtx) -> Result<Self> {
        let superuser = kit.superuser().await?;
        sqlx::raw_sql(SCHEMA).execute(&superuser).await?;
        for tenant in 0..TENANTS {
            let tenant = if tenant == 0 {
                ctx.tenant()
            } else {
                TenantId::new()
            };
            sqlx::query(
                "INSERT INTO bench.plain SELECT $1, n, repeat('x', 100) FROM generate_series(1, $2) n",
            )
            .bind(tenant)
            .bind(ROWS)
            .execute(&superuser)
            .await?;
        }
        sqlx::raw_sql("INSERT INTO bench.guarded SELECT * FROM bench.plain; ANALYZE bench.guarded; ANALYZE bench.plain")
            .execute(&superuser)
            .await?;
        let url = kit.server.app_url().to_owned();
        Ok(Self {
            db: TenantDb::connect(&url).await?,
            naive: PgPool::connect(&url).await?,
            url,
            ctx: ctx.clone(),
        })
    }

    pub(crate) async fn policies_and_predicates(&self) -> Result<Metric> {
        let call = |sql, by_hand| {
            let (db, ctx) = (self.db.clone(), self.ctx.clone());
            move || read(db.clone(), ctx.clone(), sql, by_hand)
        };
        let figures = rounds(call(BY_POLICY, false), call(BY_HAND, true)).await?;
        Ok(Metric::beside(
            "read by policy",
            "/s",
            (&figures.0, &figures.1),
            "WHERE tenant_id, no policies, same transaction",
            Better::Higher,
            0.9,
        ))
    }

    pub(crate) async fn recipe_on_loopback(&self) -> Result<Metric> {
        let ours = || read(self.db.clone(), self.ctx.clone(), BY_BOTH, true);
        let peer = || recipe(self.naive.clone(), self.ctx.clone());
        let figures = rounds(ours, peer).await?;
        Ok(Metric::beside(
            "read unit of work",
            "/s",
            (&figures.0, &figures.1),
            RECIPE,
            Better::Higher,
            1.2,
        ))
    }

    pub(crate) async fn recipe_at_a_distance(&self) -> Result<Metric> {
        let far = self.far().await?;
        let ours = || read(far.db.clone(), self.ctx.clone(), BY_BOTH, true);
        let peer = || recipe(far.naive.clone(), self.ctx.clone());
        far.latency("read unit of work at 2 ms", ours, peer).await
    }

    pub(crate) async fn write_at_a_distance(&self) -> Result<Metric> {
        let far = self.far().await?;
        let ours = || write(far.db.clone(), self.ctx.clone());
        let peer = || recipe(far.naive.clone(), self.ctx.clone());
        // No goal is set for it: three of five round trips, and a margin.
        let mut metric = far
            .latency("write unit of work at 2 ms", ours, peer)
            .await?;
        metric.aim(0.75);
        Ok(metric)
    }

    /// What a read would gain as one message without values of its own; printed, not a goal. See
    /// the decision on reads in one round trip.
    pub(crate) async fn one_message(&self) -> Result {
        let ours = || read(self.db.clone(), self.ctx.clone(), BY_BOTH, true);
        let peer = || one_message(self.db.clone(), self.ctx.clone());
        let (units, messages) = rounds(ours, peer).await?;
        let near = Sample::ratios(&messages, &units);
        let far = self.far().await?;
        let ours = || read(far.db.clone(), self.ctx.clone(), BY_BOTH, true);
        let peer = || one_message(far.db.clone(), self.ctx.clone());
        let (units, messages) = far.medians(ours, peer).await?;
        let distant = Sample::ratios(&messages, &units);
        println!(
            "one message for a whole read: throughput x {:.2} [{:.2} .. {:.2}], latency at 2 ms x {:.2} [{:.2} .. {:.2}]",
            near.median(),
            near.low(),
            near.high(),
            distant.median(),
            distant.low(),
            distant.high()
        );
        Ok(())
    }

    async fn far(&self) -> Result<Far> {
        let proxy = Proxy::start(&self.url).await?;
        let db = TenantDb::connect(proxy.url()).await?;
        let naive = PgPool::connect(proxy.url()).await?;
        proxy.set_latency(DISTANCE);
        Ok(Far {
            _proxy: proxy,
            db,
            naive,
        })
    }
}

/// Both, with a network in between.
struct Far {
    _proxy: Proxy,
    db: TenantDb,
    naive: PgPool,
}

impl Far {
    async fn latency<A, B>(
        &self,
        name: &'static str,
        ours: impl Fn() -> A,
        peer: impl Fn() -> B,
    ) -> Result<Metric>
    where
        A: Future<Output = Result>,
        B: Future<Output = Result>,
    {
        let (a, b) = self.medians(ours, peer).await?;
        let better = Better::Lower;
        Ok(Metric::beside(name, "ms", (&a, &b), RECIPE, better, 0.6))
    }

    /// Medians of one client, round by round.
    async fn medians<A, B>(
        &self,
        ours: impl Fn() -> A,
        peer: impl Fn() -> B,
    ) -> Result<(Vec<f64>, Vec<f64>)>
    where
        A: Future<Output = Result>,
        B: Future<Output = Result>,
    {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let (mut ours_ms, mut peer_ms) = (Sample::default(), Sample::default());
            for _ in 0..40 {
                ours_ms.push(millis(ours()).await?);
                peer_ms.push(millis(peer()).await?);
            }
            if round > 0 {
                a.push(ours_ms.median());
                b.push(peer_ms.median());
            }
        }
        Ok((a, b))
    }
}

const RECIPE: &str = "begin + set_config + query + commit";

async fn millis(call: impl Future<Output = Result>) -> Result<f64> {
    let begun = Instant::now();
    call.await?;
    Ok(begun.elapsed().as_secs_f64() * 1_000.0)
}

/// Calls a second of both, round by round.
async fn rounds<A, B>(ours: impl Fn() -> A, peer: impl Fn() -> B) -> Result<(Vec<f64>, Vec<f64>)>
where
    A: Future<Output = Result> + Send + 'static,
    B: Future<Output = Result> + Send + 'static,
{
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (mut ours_took, mut peer_took) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..SLICES {
            ours_took += slice(&ours).await?;
            peer_took += slice(&peer).await?;
        }
        // The first round fills the caches.
        if round > 0 {
            a.push(per_second(ours_took));
            b.push(per_second(peer_took));
        }
    }
    Ok((a, b))
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn per_second(took: Duration) -> f64 {
    (SLICES * CLIENTS * CALLS) as f64 / took.as_secs_f64()
}

/// How long several clients at once take for their calls.
async fn slice<F>(call: impl Fn() -> F) -> Result<Duration>
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
            Result::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(begun.elapsed())
}

async fn read(db: TenantDb, ctx: TenantCtx, sql: &'static str, by_hand: bool) -> Result {
    let mut tx = db.read(&ctx).await?;
    let mut query = sqlx::query_scalar(sql);
    if by_hand {
        query = query.bind(ctx.tenant());
    }
    let _: String = query.bind(ROWS / 2).fetch_one(&mut *tx).await?;
    Ok(())
}

/// One message with a transaction in it.
async fn one_message(db: TenantDb, ctx: TenantCtx) -> Result {
    let sql = format!(
        "BEGIN READ ONLY;{}SELECT body FROM bench.guarded WHERE tenant_id = '{}' AND id = {};COMMIT",
        db.context_sql(&ctx),
        ctx.tenant(),
        ROWS / 2
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_all(db.without_tenant())
        .await?;
    let row = rows.last().ok_or("the last statement answers with a row")?;
    let _: String = row.try_get(0)?;
    Ok(())
}

async fn write(db: TenantDb, ctx: TenantCtx) -> Result {
    let mut tx = db.write(&ctx).await?;
    let query = sqlx::query_scalar(BY_BOTH).bind(ctx.tenant());
    let _: String = query.bind(ROWS / 2).fetch_one(&mut *tx).await?;
    Ok(tx.commit().await?)
}

async fn recipe(pool: PgPool, ctx: TenantCtx) -> Result {
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT set_config('tenancy.tenant_id', $1, true)")
        .bind(ctx.tenant().to_string())
        .execute(&mut *tx)
        .await?;
    let query = sqlx::query_scalar(BY_BOTH).bind(ctx.tenant());
    let _: String = query.bind(ROWS / 2).fetch_one(&mut *tx).await?;
    Ok(tx.commit().await?)
}

pub(crate) async fn bare(pool: &PgPool) -> Result<f64> {
    const STATEMENTS: u32 = 2_000;
    let mut conn = pool.acquire().await?;
    let begun = Instant::now();
    for _ in 0..STATEMENTS {
        sqlx::query("SELECT 1").execute(&mut *conn).await?;
    }
    Ok(f64::from(STATEMENTS) / begun.elapsed().as_secs_f64())
}
