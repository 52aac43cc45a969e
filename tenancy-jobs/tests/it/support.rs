//! What the tests share.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use sqlx::PgPool;
use tenancy_core::{
    AuditSink, Error as CoreError, Event, JobHandler, JobId, JobKind, JobRun, Kept, TenantCtx,
    TenantDb, TenantTx,
    migrate::CORE,
    testing::{FakeAuthorizer, tenant},
};
use tenancy_jobs::{
    Backoff, COMPONENT, JobLedger as _, JobQueue, JobState, JobView, PgJobLedger, Worker,
    WorkerBuilder, WorkerOptions, WorkerReport,
};
use tenancy_testkit::Db;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A migrated database with two tenants and a host's tables.
pub(crate) struct House {
    pub(crate) db: Db,
    pub(crate) jobs: JobQueue,
    pub(crate) a: TenantCtx,
    pub(crate) b: TenantCtx,
}

const HOST: &str = "
    CREATE TABLE public.leads (
        tenant_id uuid NOT NULL, id bigint NOT NULL, status text NOT NULL DEFAULT 'new',
        updates integer NOT NULL DEFAULT 0, PRIMARY KEY (tenant_id, id));
    SELECT tenancy.protect_table('public.leads');
    CREATE TABLE public.effects (tenant_id uuid NOT NULL, job uuid NOT NULL, attempt integer NOT NULL);
    SELECT tenancy.protect_table('public.effects');
    CREATE TABLE public.trail (
        tenant_id uuid NOT NULL, actor text NOT NULL, request uuid NOT NULL, action text NOT NULL,
        target text, meta jsonb NOT NULL);
    SELECT tenancy.protect_table('public.trail', '{select,insert}');
";

impl House {
    pub(crate) async fn new() -> Self {
        let db = Db::new(&[&CORE, &COMPONENT]).await.expect("a database");
        sqlx::raw_sql(HOST)
            .execute(db.operator.pool())
            .await
            .expect("a host's tables");
        let a = tenant(&db.app).await.expect("a tenant");
        let b = tenant(&db.app).await.expect("a tenant");
        let jobs = queue(&db.app);
        Self { db, jobs, a, b }
    }

    pub(crate) fn worker(&self) -> WorkerBuilder {
        Worker::builder(
            self.db.worker.clone(),
            self.db.app.clone(),
            trail(&self.db.app),
        )
        .waker(&self.jobs.waker())
        .options(fast())
    }

    pub(crate) async fn superuser(&self) -> PgPool {
        self.db.superuser().await.expect("a superuser")
    }

    pub(crate) async fn plant(&self, fault: &'static str) {
        sqlx::raw_sql(fault)
            .execute(&self.superuser().await)
            .await
            .expect("a planted fault");
    }

    /// Replaces a text in the body of a function.
    pub(crate) async fn weaken(&self, function: &str, from: &str, to: &str) {
        let pool = self.superuser().await;
        let body: String = sqlx::query_scalar("SELECT pg_get_functiondef($1::regproc)")
            .bind(function)
            .fetch_one(&pool)
            .await
            .expect("a function");
        let weaker = body.replace(from, to);
        assert_ne!(weaker, body, "{function} has no `{from}`");
        sqlx::raw_sql(sqlx::AssertSqlSafe(weaker))
            .execute(&pool)
            .await
            .expect("a weaker function");
    }

    pub(crate) async fn view(&self, ctx: &TenantCtx, id: JobId) -> JobView {
        let ledger = PgJobLedger::new(self.db.app.clone());
        ledger.get(ctx, id).await.expect("a look").expect("a job")
    }

    /// Waits until a job is in a state.
    pub(crate) async fn until(&self, ctx: &TenantCtx, id: JobId, state: JobState) -> JobView {
        until(&format!("job {id} {}", state.as_str()), async || {
            let view = self.view(ctx, id).await;
            (view.state == state).then_some(view)
        })
        .await
    }

    /// One number of a tenant's tables, by SQL without any predicate.
    pub(crate) async fn number(&self, ctx: &TenantCtx, sql: &'static str) -> i64 {
        let mut tx = self.db.app.read(ctx).await.expect("a transaction");
        sqlx::query_scalar(sql)
            .fetch_one(&mut *tx)
            .await
            .expect("a number")
    }

    /// The audit entries of an action: actor, request and meta.
    pub(crate) async fn trail(
        &self,
        ctx: &TenantCtx,
        action: &str,
    ) -> Vec<(String, uuid::Uuid, Value)> {
        let mut tx = self.db.app.read(ctx).await.expect("a transaction");
        sqlx::query_as("SELECT actor, request, meta FROM public.trail WHERE action = $1")
            .bind(action)
            .fetch_all(&mut *tx)
            .await
            .expect("a trail")
    }
}

pub(crate) fn queue(db: &TenantDb) -> JobQueue {
    JobQueue::new(
        db.clone(),
        Arc::new(FakeAuthorizer::allowing_all()),
        trail(db),
    )
}

pub(crate) fn fast() -> WorkerOptions {
    WorkerOptions::default()
        .with_poll_interval(Duration::from_millis(50))
        .with_heartbeat(Duration::from_millis(300), Duration::from_secs(2))
        .with_backoff(Backoff::new(
            Duration::from_millis(20),
            Duration::from_millis(100),
        ))
}

/// Tries every 20 ms for half a minute.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..1500 {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("did not happen: {what}");
}

/// A worker at work; stopped in order by `stop`.
pub(crate) struct Running {
    pub(crate) worker: Worker,
    pub(crate) token: CancellationToken,
    task: JoinHandle<Result<WorkerReport, tenancy_jobs::Error>>,
}

impl Running {
    pub(crate) fn start(builder: WorkerBuilder) -> Self {
        let (worker, token) = (builder.build().expect("a worker"), CancellationToken::new());
        let (running, stop) = (worker.clone(), token.clone());
        let task = tokio::spawn(async move { running.run(stop).await });
        Self {
            worker,
            token,
            task,
        }
    }

    pub(crate) async fn stop(self) -> WorkerReport {
        self.token.cancel();
        self.task.await.expect("no panic").expect("a report")
    }
}

/// An audit log in a table, so that what other processes record is seen.
struct Trail(TenantDb);

pub(crate) fn trail(db: &TenantDb) -> Arc<dyn AuditSink> {
    Arc::new(Trail(db.clone()))
}

#[async_trait]
impl AuditSink for Trail {
    async fn record(&self, ctx: &TenantCtx, event: Event) -> Result<(), CoreError> {
        let mut tx = self.0.aside(ctx).await?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await
    }

    async fn record_in(&self, tx: &mut TenantTx, event: Event) -> Result<Kept, CoreError> {
        let ctx = tx.ctx().clone();
        sqlx::query("INSERT INTO public.trail VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(ctx.tenant())
            .bind(ctx.principal().actor.id())
            .bind(ctx.request_id())
            .bind(event.action)
            .bind(event.targets.first().map(|target| target.id.clone()))
            .bind(Value::Object(event.meta))
            .execute(&mut **tx)
            .await?;
        Ok(Kept::Nowhere)
    }
}

/// Writes an effect in the transaction.
pub(crate) async fn effect(tx: &mut TenantTx, run: &JobRun) -> Result<(), CoreError> {
    let tenant = tx.ctx().tenant();
    sqlx::query("INSERT INTO public.effects VALUES ($1, $2, $3)")
        .bind(tenant)
        .bind(run.id)
        .bind(i32::from(run.attempt))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

type Work = dyn AsyncWork;

/// What a plain handler of a test does.
#[async_trait]
pub(crate) trait AsyncWork: Send + Sync + 'static {
    async fn work(&self, ctx: &TenantCtx, run: &JobRun) -> Result<Value, CoreError>;
}

/// A plain handler of jobs of kind `test.job`.
pub(crate) struct Plain(pub(crate) Box<Work>);

pub(crate) const KIND: JobKind = JobKind::from_static("test.job");

pub(crate) fn plain(work: impl AsyncWork) -> Arc<dyn JobHandler> {
    Arc::new(Plain(Box::new(work)))
}

#[async_trait]
impl JobHandler for Plain {
    fn kind(&self) -> JobKind {
        KIND
    }

    async fn run(&self, ctx: &TenantCtx, run: &JobRun) -> Result<Value, CoreError> {
        self.0.work(ctx, run).await
    }
}

#[async_trait]
impl<F: Fn(JobRun) -> Result<Value, CoreError> + Send + Sync + 'static> AsyncWork for F {
    async fn work(&self, _: &TenantCtx, run: &JobRun) -> Result<Value, CoreError> {
        self(run.clone())
    }
}
