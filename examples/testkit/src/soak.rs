//! Cancels at random, and a look at what comes back.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::Poll,
};

use sqlx::{PgPool, Postgres, Row as _, pool::PoolConnection};
use tenancy_core::{TenantCtx, TenantDb};
use tenancy_devdb::BoxError;
use tokio::{sync::RwLock, task::JoinSet};

/// What a run is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Soak {
    /// The run can be had again from it, as far as the scheduler lets it.
    pub seed: u64,
    /// How many units of work are cancelled.
    pub cancels: u64,
    /// How many tasks share the pool.
    pub tasks: u64,
    /// After one of how many cancels all work stands still and every connection is looked at;
    /// after the others, one connection is.
    pub look_every: u64,
}

/// What a run has seen.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Findings {
    /// Units of work cancelled while they were beginning, querying, and ending.
    pub cancelled: [u64; 3],
    /// Connections that came back in a transaction, with a tenant, or seeing rows.
    pub poisoned: u64,
    /// Units of work that saw rows of another tenant.
    pub foreign: u64,
}

/// The pool that is tried.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Subject {
    /// The handle of this family.
    Tenancy(TenantDb),
    /// The usual recipe on plain sqlx: `begin`, `set_config`, query, `commit`.
    Recipe(PgPool),
}

impl Soak {
    /// So many cancels by four tasks.
    pub fn new(seed: u64, cancels: u64) -> Self {
        Self {
            seed: seed | 1,
            cancels,
            tasks: 4,
            look_every: 8,
        }
    }

    /// Runs; each task works for one of these tenants.
    pub async fn run(
        &self,
        subject: &Subject,
        tenants: &[TenantCtx],
    ) -> Result<Findings, BoxError> {
        let totals = Arc::new(Totals::default());
        let mut tasks = JoinSet::new();
        for (task, ctx) in (0..self.tasks).zip(tenants.iter().cycle()) {
            let dice = Dice(self.seed.wrapping_mul(2 * task + 1) | 1);
            let (subject, ctx, totals) = (subject.clone(), ctx.clone(), totals.clone());
            let (cancels, look_every) = (self.cancels / self.tasks, self.look_every.max(1));
            tasks.spawn(async move {
                Worker {
                    subject,
                    ctx,
                    dice,
                    totals,
                    look_every,
                }
                .run(cancels)
                .await
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        look_at_all(subject.pool(), &totals).await?;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(Findings {
            cancelled: [0, 1, 2].map(|stage: usize| totals.cancelled.get(stage).map_or(0, read)),
            poisoned: read(&totals.poisoned),
            foreign: read(&totals.foreign),
        })
    }
}

impl Subject {
    fn pool(&self) -> &PgPool {
        match self {
            Self::Tenancy(db) => db.without_tenant(),
            Self::Recipe(pool) => pool,
        }
    }
}

#[derive(Debug, Default)]
struct Totals {
    cancelled: [AtomicU64; 3],
    poisoned: AtomicU64,
    foreign: AtomicU64,
    /// Shared by units of work; alone, nothing is at work.
    work: RwLock<()>,
}

struct Worker {
    subject: Subject,
    ctx: TenantCtx,
    dice: Dice,
    totals: Arc<Totals>,
    look_every: u64,
}

impl Worker {
    async fn run(mut self, mut cancels: u64) -> Result<(), BoxError> {
        while cancels > 0 {
            let target = u8::try_from(self.dice.roll(3))?;
            let polls = self.dice.roll(24);
            let plan = Plan {
                commit: self.dice.roll(2) == 0,
                slow: self.dice.roll(8) == 0,
            };
            let stage = AtomicU8::new(BEGINNING);
            let working = self.totals.work.read().await;
            let cut = cut_short(self.unit(plan, &stage), &stage, target, polls).await;
            drop(working);
            if !cut {
                continue;
            }
            cancels -= 1;
            let at = usize::from(stage.load(Ordering::SeqCst));
            if let Some(counter) = self.totals.cancelled.get(at) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            // At once: the next transaction on a poisoned connection would end the one left open.
            let pool = self.subject.pool();
            if self.dice.roll(self.look_every) == 0 {
                let _alone = self.totals.work.write().await;
                look_at_all(pool, &self.totals).await?;
            } else {
                look_at(&mut pool.acquire().await?, &self.totals).await;
            }
        }
        Ok(())
    }

    /// One unit of work. Errors are no findings: a cancelled neighbour may have broken its
    /// connection, and the server is the judge of what came back.
    async fn unit(&self, plan: Plan, stage: &AtomicU8) -> Result<(), BoxError> {
        match &self.subject {
            Subject::Tenancy(db) => {
                let mut tx = db.write(&self.ctx).await?;
                stage.store(QUERYING, Ordering::SeqCst);
                self.look(&mut tx, plan).await?;
                stage.store(ENDING, Ordering::SeqCst);
                if plan.commit {
                    tx.commit().await?;
                } else {
                    tx.rollback().await?;
                }
            }
            Subject::Recipe(pool) => {
                let mut tx = pool.begin().await?;
                stage.store(QUERYING, Ordering::SeqCst);
                sqlx::query("SELECT set_config('tenancy.tenant_id', $1, true)")
                    .bind(self.ctx.tenant().to_string())
                    .execute(&mut *tx)
                    .await?;
                self.look(&mut tx, plan).await?;
                stage.store(ENDING, Ordering::SeqCst);
                if plan.commit {
                    tx.commit().await?;
                } else {
                    tx.rollback().await?;
                }
            }
        }
        Ok(())
    }

    /// Without a predicate: the policies alone decide.
    async fn look(&self, conn: &mut sqlx::PgConnection, plan: Plan) -> Result<(), BoxError> {
        if plan.slow {
            sqlx::raw_sql("SELECT pg_sleep(0.0005)")
                .execute(&mut *conn)
                .await?;
        }
        let foreign: i64 =
            sqlx::query_scalar("SELECT count(*) FROM tenancy.tenants WHERE id <> $1")
                .bind(self.ctx.tenant())
                .fetch_one(conn)
                .await?;
        if foreign > 0 {
            self.totals.foreign.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    commit: bool,
    slow: bool,
}

/// Polls `work` until it has been in the stage `target` for so many polls, and drops it there.
/// Timers are too coarse for this: they tick by the millisecond.
async fn cut_short<T>(
    work: impl Future<Output = T>,
    stage: &AtomicU8,
    target: u8,
    polls: u64,
) -> bool {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|cx| {
        if work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        if stage.load(Ordering::SeqCst) == target {
            if left == 0 {
                return Poll::Ready(true);
            }
            left -= 1;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

/// Borrows every connection at once.
async fn look_at_all(pool: &PgPool, totals: &Totals) -> Result<(), BoxError> {
    let mut held = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        let mut conn = pool.acquire().await?;
        look_at(&mut conn, totals).await;
        held.push(conn);
    }
    Ok(())
}

async fn look_at(conn: &mut PoolConnection<Postgres>, totals: &Totals) {
    if is_poisoned(conn).await {
        totals.poisoned.fetch_add(1, Ordering::Relaxed);
        // Seen once and not again; else one would be counted for all that follow.
        conn.close_on_drop();
    }
}

/// Whether a connection without a tenant is in a transaction, has a tenant, or sees rows.
async fn is_poisoned(conn: &mut sqlx::PgConnection) -> bool {
    // The simple protocol: there the two clocks agree exactly outside a transaction.
    let row = sqlx::raw_sql(
        "SELECT coalesce(current_setting('tenancy.tenant_id', true), '') AS tenant,
                (statement_timestamp() = transaction_timestamp())::text AS outside,
                (SELECT count(*) FROM tenancy.tenants)::text AS seen",
    )
    .fetch_one(conn)
    .await;
    let found = |row: sqlx::postgres::PgRow| {
        let column = |name| row.try_get::<String, _>(name).unwrap_or_default();
        column("tenant").is_empty() && column("outside") == "true" && column("seen") == "0"
    };
    // A transaction that has failed refuses to answer.
    !row.is_ok_and(found)
}

/// Numbers that look random and can be had again from their seed (xorshift64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

const BEGINNING: u8 = 0;
const QUERYING: u8 = 1;
const ENDING: u8 = 2;
