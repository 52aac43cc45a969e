//! What holds between operating-system processes, also when one of them is killed.

use std::{
    collections::HashMap,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::PgPool;
use tenancy_core::{
    Error, JobId, JobKind, JobSink as _, MemberStatus, Members, NewJob, NoRoles, Outbox,
    OutboxSink, Ownership, Principal, TenantCtx, TenantDb, TenantId, UserId, WorkerDb,
    migrate::CORE,
    testing::{self, FakeAuthorizer, MemoryAudit},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const ORDER: &str = "TENANCY_CORE_TEST_ORDER";
const TENANTS: usize = 40;
const LEASE: Duration = Duration::from_secs(4);

/// Starts this program again, as a process of its own that runs one of the children below.
fn start(child: &str, order: &Value) -> Result<Child> {
    Ok(Command::new(std::env::current_exe()?)
        .args(["--exact", child, "--nocapture"])
        .env(ORDER, order.to_string())
        .stdout(Stdio::null())
        .spawn()?)
}

fn order() -> Result<Option<Value>> {
    let text = std::env::var(ORDER).ok();
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

fn text<'a>(order: &'a Value, name: &str) -> &'a str {
    order[name].as_str().unwrap_or_default()
}

fn services(db: &TenantDb) -> (Members, Ownership) {
    let (roles, audit) = (Arc::new(NoRoles::new()), Arc::new(MemoryAudit::new()));
    let everybody = Arc::new(FakeAuthorizer::allowing_all());
    (
        Members::new(db.clone(), everybody, roles.clone(), audit.clone()),
        Ownership::new(db.clone(), roles, audit),
    )
}

/// Waits until so many processes wait at the gate, and opens it for all of them at once.
async fn open_gate(superuser: &PgPool, waiting: i64) -> Result {
    let mut at_the_gate = 0;
    while at_the_gate < waiting {
        at_the_gate = sqlx::query_scalar("SELECT count(*) FROM gate_waiting")
            .fetch_one(superuser)
            .await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sqlx::query("INSERT INTO gate_open VALUES (true)")
        .execute(superuser)
        .await?;
    Ok(())
}

async fn pass_gate(superuser: &PgPool) -> Result {
    sqlx::query("INSERT INTO gate_waiting VALUES (pg_backend_pid())")
        .execute(superuser)
        .await?;
    loop {
        let open: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM gate_open)")
            .fetch_one(superuser)
            .await?;
        if open {
            return Ok(());
        }
    }
}

const GATE: &str = "CREATE TABLE gate_waiting (pid int); CREATE TABLE gate_open (yes bool);
    CREATE TABLE answers (tenant_id uuid, role text, answer text);";

#[tokio::test]
async fn of_two_processes_that_take_the_last_owners_one_is_refused_each_time() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let superuser = kit.superuser().await?;
    sqlx::raw_sql(GATE).execute(&superuser).await?;
    let (_, ownership) = services(&kit.app);
    let mut tenants = Vec::new();
    for _ in 0..TENANTS {
        let first = testing::tenant(&kit.app).await?;
        let second = testing::member(&kit.app, &first).await?;
        let (Some(a), Some(b)) = (first.user(), second.user()) else {
            return Err("members are users".into());
        };
        ownership.add(&first, b).await?;
        tenants.push(json!({ "tenant": first.tenant(), "a": a, "b": b }));
    }
    let order = |role: &str| {
        json!({
            "app": kit.server.app_url(), "superuser": kit.server.superuser_url().unwrap_or_default(),
            "role": role, "tenants": tenants,
        })
    };
    let children = [
        start("a_child_takes_owners_away", &order("a"))?,
        start("a_child_takes_owners_away", &order("b"))?,
    ];
    open_gate(&superuser, 2).await?;
    for mut child in children {
        assert!(child.wait()?.success());
    }
    let owners: Vec<i64> = sqlx::query_scalar(
        "SELECT count(*) FILTER (WHERE is_owner AND status = 'active') FROM tenancy.memberships GROUP BY tenant_id",
    )
    .fetch_all(&superuser)
    .await?;
    assert_eq!(owners.len(), TENANTS);
    assert!(owners.iter().all(|owners| *owners == 1), "{owners:?}");
    let answers: Vec<(String, i64)> =
        sqlx::query_as("SELECT answer, count(*) FROM answers GROUP BY answer ORDER BY answer")
            .fetch_all(&superuser)
            .await?;
    let ok: i64 = answers
        .iter()
        .filter(|(a, _)| a == "ok")
        .map(|(_, n)| n)
        .sum();
    assert_eq!(usize::try_from(ok)?, TENANTS, "{answers:?}");
    let met: i64 =
        sqlx::query_scalar("SELECT count(DISTINCT role) FROM answers WHERE answer = 'ok'")
            .fetch_one(&superuser)
            .await?;
    assert_eq!(met, 2, "each was first at least once: {answers:?}");
    Ok(())
}

/// Takes one of two owners out of each tenant, each in another way; nothing when it runs as a test.
#[tokio::test]
async fn a_child_takes_owners_away() -> Result {
    let Some(order) = order()? else { return Ok(()) };
    let superuser = PgPool::connect(text(&order, "superuser")).await?;
    let app = TenantDb::connect(text(&order, "app")).await?;
    let (members, ownership) = services(&app);
    let role = text(&order, "role");
    let mut contexts: Vec<(TenantCtx, UserId)> = Vec::new();
    for one in order["tenants"].as_array().into_iter().flatten() {
        let (me, other) = if role == "a" { ("a", "b") } else { ("b", "a") };
        let tenant: TenantId = text(one, "tenant").parse()?;
        let me = Principal::user(text(one, me).parse()?);
        contexts.push((app.enter_as(tenant, me).await?, text(one, other).parse()?));
    }
    // From both ends, so that each is first somewhere.
    if role == "b" {
        contexts.reverse();
    }
    pass_gate(&superuser).await?;
    for (at, (ctx, other)) in contexts.iter().enumerate() {
        let me = ctx.user().ok_or("an owner is a user")?;
        let done = match at % 4 {
            0 => members.leave(ctx).await,
            1 => {
                members
                    .set_status(ctx, *other, MemberStatus::Deactivated)
                    .await
            }
            2 => members.remove(ctx, *other).await,
            _ => ownership.remove(ctx, me).await,
        };
        sqlx::query("INSERT INTO answers VALUES ($1, $2, $3)")
            .bind(ctx.tenant())
            .bind(role)
            .bind(done.err().map_or("ok", |error| error.code()))
            .execute(&superuser)
            .await?;
    }
    Ok(())
}

/// Which jobs were handed over, and how often.
async fn handed(superuser: &PgPool) -> Result<HashMap<JobId, i64>> {
    let rows: Vec<(JobId, i64)> =
        sqlx::query_as("SELECT job, count(*) FROM handed_over GROUP BY job")
            .fetch_all(superuser)
            .await?;
    Ok(rows.into_iter().collect())
}

async fn left_in_the_outbox(superuser: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM tenancy.outbox")
        .fetch_one(superuser)
        .await?)
}

/// Lets a process drain, and kills it in the middle of its page of twenty: some are handed over and none
/// is settled.
async fn kill_a_drain(superuser: &PgPool, order: &Value) -> Result {
    let before = handed(superuser).await?.len();
    let mut child = start("a_child_drains_slowly", order)?;
    while handed(superuser).await?.len() < before + 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // SIGKILL: no destructor runs.
    child.kill()?;
    child.wait()?;
    assert!(
        handed(superuser).await?.len() < before + 20,
        "it was in the middle"
    );
    Ok(())
}

/// Hands over until nothing is left, as the next process would.
async fn drain_all(superuser: &PgPool, worker: WorkerDb) -> Result {
    let outbox = Outbox::new(worker).with_lease(LEASE);
    let until = tokio::time::Instant::now() + Duration::from_mins(1);
    while left_in_the_outbox(superuser).await? > 0 {
        assert!(tokio::time::Instant::now() < until, "something is stuck");
        let pool = superuser.clone();
        outbox
            .drain(500, move |job| {
                deliver(pool.clone(), job.job_id, job.attempt)
            })
            .await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_drain_that_is_killed_in_the_middle_of_a_page_loses_nothing() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let superuser = kit.superuser().await?;
    sqlx::raw_sql("CREATE TABLE handed_over (job uuid NOT NULL, attempt int NOT NULL)")
        .execute(&superuser)
        .await?;
    let (a, b) = (
        testing::tenant(&kit.app).await?,
        testing::tenant(&kit.app).await?,
    );
    let sink = OutboxSink::new(kit.app.clone());
    let mut jobs: Vec<JobId> = Vec::new();
    for n in 0..60 {
        let job = NewJob::new(JobKind::from_static("mail.send"), json!(n));
        jobs.push(sink.enqueue(if n % 2 == 0 { &a } else { &b }, job).await?);
    }
    let order = json!({
        "worker": kit.server.worker_url(), "superuser": kit.server.superuser_url()?,
    });
    kill_a_drain(&superuser, &order).await?;
    kill_a_drain(&superuser, &order).await?;
    assert_eq!(
        left_in_the_outbox(&superuser).await?,
        60,
        "nothing was settled, and nothing is gone"
    );
    drain_all(&superuser, kit.worker.clone()).await?;
    let handed = handed(&superuser).await?;
    assert!(
        jobs.iter().all(|job| handed.contains_key(job)) && handed.len() == 60,
        "nothing is lost"
    );
    // Once by each process that died with it, and once for good.
    assert!(handed.values().all(|times| (1..=3).contains(times)));
    let twice: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT job, attempt FROM handed_over GROUP BY 1, 2 HAVING count(*) > 1) x",
    )
    .fetch_one(&superuser)
    .await?;
    assert_eq!(twice, 0, "no attempt is made twice");
    let again = handed.values().filter(|times| **times > 1).count();
    assert!(
        again >= 10,
        "what the killed handed over came again: {again}"
    );
    Ok(())
}

async fn deliver(pool: PgPool, job: JobId, attempt: i32) -> std::result::Result<(), Error> {
    sqlx::query("INSERT INTO handed_over VALUES ($1, $2)")
        .bind(job)
        .bind(attempt)
        .execute(&pool)
        .await?;
    Ok(())
}

/// What the killed process does; nothing when it runs as a test.
#[tokio::test]
async fn a_child_drains_slowly() -> Result {
    let Some(order) = order()? else { return Ok(()) };
    let superuser = PgPool::connect(text(&order, "superuser")).await?;
    let outbox = Outbox::new(WorkerDb::connect(text(&order, "worker")).await?).with_lease(LEASE);
    outbox
        .drain(20, move |job| {
            let pool = superuser.clone();
            async move {
                deliver(pool, job.job_id, job.attempt).await?;
                tokio::time::sleep(Duration::from_millis(60)).await;
                Ok(())
            }
        })
        .await?;
    Ok(())
}
