//! `docs/adopting.md`, run as it stands on a populated database while old and new code is at work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tenancy_core::{
    NewTenant, NoAudit, NoRoles, OwnerAuthorizer, Slug, TenantCtx, TenantDb, TenantName, Tenants,
    doctor::{self, Options},
    migrate::CORE,
};
use tenancy_testkit::Db;
use tokio::task::JoinHandle;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const OLD: &str = "
    CREATE TABLE public.accounts (id bigserial PRIMARY KEY, name text NOT NULL);
    CREATE TABLE public.users (id bigserial PRIMARY KEY, account_id bigint NOT NULL REFERENCES public.accounts (id), email text NOT NULL);
    CREATE TABLE public.projects (id bigserial PRIMARY KEY, account_id bigint NOT NULL REFERENCES public.accounts (id), name text NOT NULL);
    CREATE TABLE public.tasks (id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES public.projects (id), title text NOT NULL);
    INSERT INTO public.accounts (name) SELECT 'Account ' || n FROM generate_series(1, 5) n;
    INSERT INTO public.users (account_id, email) SELECT n, 'owner' || n || '@example.com' FROM generate_series(1, 5) n;
    INSERT INTO public.projects (account_id, name) SELECT 1 + n % 5, 'Project ' || n FROM generate_series(1, 500) n;
    INSERT INTO public.tasks (project_id, title) SELECT 1 + n % 500, 'Task ' || n FROM generate_series(1, 5000) n;
";
/// How long somebody reads without end; longer than anybody may wait.
const LONG_READ: Duration = Duration::from_secs(4);
/// The page's timeout, and what a crowded machine adds to it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The statements of the page below a mark, block by block.
fn blocks() -> Result<Vec<(bool, Vec<String>)>> {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/adopting.md"))?;
    let mut found = Vec::new();
    for part in page.split("<!-- adopting: ").skip(1) {
        let (mark, rest) = part
            .split_once(" -->\n```sql\n")
            .ok_or("a mark without a block")?;
        let sql = rest.split("```").next().unwrap_or_default();
        found.push((mark != "once", statements(sql)));
    }
    Ok(found)
}

/// Cuts at semicolons at the end of a line, outside of `$$`.
fn statements(sql: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quoted = false;
    for line in sql.lines() {
        quoted ^= line.matches("$$").count() % 2 == 1;
        if let Some(last) = found.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
        if line.ends_with(';') && !quoted {
            found.push(String::new());
        }
    }
    found.retain(|one| !one.trim().is_empty());
    found
}

/// What everybody has done, and how long the slowest write took.
#[derive(Debug, Default)]
struct Tally {
    stop: AtomicBool,
    slowest_millis: AtomicU64,
    tasks: AtomicI64,
}

impl Tally {
    fn took(&self, since: Instant) {
        let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.slowest_millis.fetch_max(millis, Ordering::Relaxed);
    }
}

/// Code that knows nothing of tenants, as the owner of the tables.
fn old_writer(pool: PgPool, tally: Arc<Tally>, number: i64) -> JoinHandle<Result> {
    tokio::spawn(async move {
        while !tally.stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let project: i64 = sqlx::query_scalar(
                "INSERT INTO public.projects (account_id, name) VALUES ($1, 'new') RETURNING id",
            )
            .bind(1 + number % 5)
            .fetch_one(&pool)
            .await?;
            tally.took(begun);
            let begun = Instant::now();
            sqlx::query("INSERT INTO public.tasks (project_id, title) VALUES ($1, 'new')")
                .bind(project)
                .execute(&pool)
                .await?;
            tally.took(begun);
            let begun = Instant::now();
            sqlx::query("UPDATE public.tasks SET title = title || '.' WHERE id = $1")
                .bind(1 + project % 5000)
                .execute(&pool)
                .await?;
            tally.took(begun);
            tally.tasks.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    })
}

/// Code that enters its tenant.
fn new_writer(db: TenantDb, ctx: TenantCtx, tally: Arc<Tally>) -> JoinHandle<Result> {
    tokio::spawn(async move {
        while !tally.stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let mut tx = db.write(&ctx).await?;
            sqlx::query("INSERT INTO public.tasks (tenant_id, project_id, title) SELECT $1, id, 'new' FROM public.projects WHERE tenant_id = $1 LIMIT 1")
                .bind(ctx.tenant())
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            tally.took(begun);
            tally.tasks.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    })
}

/// Now and then somebody reads for seconds, and keeps every ALTER TABLE waiting.
fn reader(url: String, tally: Arc<Tally>) -> JoinHandle<Result> {
    tokio::spawn(async move {
        let mut conn = PgConnection::connect(&url).await?;
        while !tally.stop.load(Ordering::Relaxed) {
            let mut tx = conn.begin().await?;
            sqlx::raw_sql("LOCK TABLE public.projects, public.tasks IN ACCESS SHARE MODE")
                .execute(&mut *tx)
                .await?;
            tokio::time::sleep(LONG_READ).await;
            tx.rollback().await?;
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
        Ok(())
    })
}

/// As the page says: with a timeout, and again when it passed.
async fn run(conn: &mut PgConnection, statement: &str) -> Result<u64> {
    let patient = statement.contains("CONCURRENTLY");
    let timeout = if patient {
        "SET lock_timeout = 0"
    } else {
        "SET lock_timeout = '200ms'"
    };
    sqlx::raw_sql(timeout).execute(&mut *conn).await?;
    for _ in 0..300 {
        match sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut *conn)
            .await
        {
            Ok(done) => return Ok(done.rows_affected()),
            Err(error) => {
                let db = error.as_database_error();
                let code = db.and_then(sqlx::error::DatabaseError::code);
                if !matches!(code.as_deref(), Some("55P03" | "40P01")) {
                    return Err(format!("{statement}: {error}").into());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    Err(format!("never got through: {statement}").into())
}

async fn make_tenants(db: &Db) -> Result<Vec<TenantCtx>> {
    let audit = Arc::new(NoAudit::new());
    let authorizer = Arc::new(OwnerAuthorizer::new(db.app.clone(), audit.clone()));
    let tenants = Tenants::new(db.app.clone(), authorizer, Arc::new(NoRoles::new()), audit);
    let accounts: Vec<(i64, String, i64)> = sqlx::query_as(
        "SELECT a.id, a.name, u.id FROM public.accounts a JOIN public.users u ON u.account_id = a.id ORDER BY a.id",
    )
    .fetch_all(db.operator.pool())
    .await?;
    let mut made = Vec::new();
    for (account, name, owner) in accounts {
        let owner = db.app.user_for("my-app", &owner.to_string()).await?;
        let slug = Slug::parse(&format!("account-{account}"))?;
        let ctx = tenants
            .create(NewTenant::new(slug, TenantName::parse(&name)?, owner))
            .await?;
        sqlx::query("UPDATE public.accounts SET tenant_id = $1 WHERE id = $2")
            .bind(ctx.tenant())
            .bind(account)
            .execute(db.operator.pool())
            .await?;
        assert_eq!(
            db.app.user_for("my-app", &account.to_string()).await?,
            owner
        );
        made.push(ctx);
    }
    Ok(made)
}

async fn stop(tally: &Tally, workers: Vec<JoinHandle<Result>>) -> Result {
    tally.stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

async fn assert_nothing_lost(db: &Db, written: i64) -> Result {
    let superuser = db.superuser().await?;
    let (tasks, stray): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE a.tenant_id IS DISTINCT FROM t.tenant_id OR p.tenant_id <> t.tenant_id)
         FROM public.tasks t JOIN public.projects p ON p.id = t.project_id JOIN public.accounts a ON a.id = p.account_id",
    )
    .fetch_one(&superuser)
    .await?;
    assert_eq!((tasks, stray), (5000 + written, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_brings_a_running_application_under_row_level_security() -> Result {
    let db = Db::new(&[&CORE]).await?;
    sqlx::raw_sql(OLD).execute(db.operator.pool()).await?;
    let blocks = blocks()?;
    assert_eq!(blocks.len(), 7);
    let mut conn = PgConnection::connect(db.server.operator_url()).await?;
    let (old, new) = (Arc::new(Tally::default()), Arc::new(Tally::default()));
    let old_code = PgPool::connect(db.server.operator_url()).await?;
    let mut workers: Vec<_> = (0..3)
        .map(|n| old_writer(old_code.clone(), old.clone(), n))
        .collect();
    workers.push(reader(db.server.operator_url().to_owned(), old.clone()));
    let mut newcomers = Vec::new();
    let mut contexts = Vec::new();
    for (step, (repeat, statements)) in blocks.into_iter().enumerate() {
        if step == 6 {
            // The new version is deployed, and the old one goes.
            newcomers = contexts
                .iter()
                .cloned()
                .map(|ctx| new_writer(db.app.clone(), ctx, new.clone()))
                .collect();
            newcomers.push(reader(db.server.operator_url().to_owned(), new.clone()));
            stop(&old, std::mem::take(&mut workers)).await?;
        }
        for statement in statements {
            while run(&mut conn, &statement).await? > 0 && repeat {}
        }
        if step == 0 {
            contexts = make_tenants(&db).await?;
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop(&new, newcomers).await?;

    for (who, tally) in [("old", &old), ("new", &new)] {
        let slowest = Duration::from_millis(tally.slowest_millis.load(Ordering::Relaxed));
        let tasks = tally.tasks.load(Ordering::Relaxed);
        eprintln!("{who} code: {tasks} tasks written, the slowest write took {slowest:?}");
        assert!(
            tasks > 10 && slowest < PATIENCE,
            "{who}: {tasks} {slowest:?}"
        );
    }
    let written = old.tasks.load(Ordering::Relaxed) + new.tasks.load(Ordering::Relaxed);
    assert_nothing_lost(&db, written).await?;
    let report = doctor::run(&db.operator, &Options::default().with_app(&db.app)).await?;
    assert!(
        report.findings.is_empty() && report.exit_code() == 0,
        "{}",
        report.to_text(false)
    );
    Ok(())
}
