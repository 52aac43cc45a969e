//! A process that is killed leaves no change without its entry, and no entry without its change.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use crate::support::House;
use tenancy_audit::PgAuditLog;
use tenancy_core::{Actor, AuditSink as _, Event, TenantDb};
use uuid::Uuid;

/// Set for the process that writes until it is killed: URL, tenant, user.
const WRITER: &str = "TENANCY_TEST_CRASH_WRITER";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_writers_lose_nothing_and_make_nothing_up() {
    if let Ok(whom) = std::env::var(WRITER) {
        return Box::pin(write(&whom)).await;
    }
    let kills = std::env::var("TENANCY_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(50);
    let house = House::new().await;
    let superuser = house.superuser().await;
    sqlx::raw_sql(
        "CREATE TABLE public.business (tenant_id uuid, id uuid, PRIMARY KEY (tenant_id, id));
         GRANT SELECT, INSERT ON public.business TO tenancy_app;",
    )
    .execute(&superuser)
    .await
    .unwrap();
    let Actor::User { id: user } = house.a.principal().actor.clone() else {
        panic!("no user")
    };
    let whom = format!("{} {} {user}", house.db.server.app_url(), house.a.tenant());
    let mut acknowledged = BTreeSet::new();
    for kill in 0..kills {
        acknowledged.extend(tokio::task::block_in_place(|| {
            run_and_kill(&whom, kill * 7 % 40)
        }));
    }
    let ids = |sql: &'static str| {
        let superuser = superuser.clone();
        async move {
            let ids: Vec<Uuid> = sqlx::query_scalar(sql).fetch_all(&superuser).await.unwrap();
            (ids.len(), ids.into_iter().collect::<BTreeSet<_>>())
        }
    };
    // The last server process may still be at its last commit.
    let quiet = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(quiet)
        .fetch_one(&superuser)
        .await
        .unwrap()
        > 0
    {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (_, changes) = ids("SELECT id FROM public.business").await;
    let (count, entries) =
        ids("SELECT (meta ->> 'id')::uuid FROM tenancy.audit_logs WHERE action = 'thing.made'")
            .await;
    assert_eq!(
        changes, entries,
        "each change has its entry, and each entry its change"
    );
    assert_eq!(count, entries.len(), "once");
    let keys: (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(l.id) FROM tenancy.audit_keys k LEFT JOIN tenancy.audit_logs l ON l.id = k.entry_id",
    )
    .fetch_one(&superuser)
    .await
    .unwrap();
    assert_eq!(keys.0, keys.1, "no key without its entry");
    assert!(keys.0 > 0);
    let lost: Vec<_> = acknowledged.difference(&entries).collect();
    assert!(lost.is_empty(), "acknowledged, and gone: {lost:?}");
    assert!(
        acknowledged.len() >= kills,
        "{} acknowledged in {kills} runs",
        acknowledged.len()
    );
    println!(
        "{kills} kills, {} entries, {} acknowledged",
        entries.len(),
        acknowledged.len()
    );
}

/// Starts a writer, and ends it as a power cut does when it has acknowledged some more.
fn run_and_kill(whom: &str, after: usize) -> Vec<Uuid> {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::killed_writers_lose_nothing_and_make_nothing_up",
            "--nocapture",
        ])
        .env(WRITER, whom)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut ids = Vec::new();
    for line in lines.map_while(Result::ok) {
        // What stood in the pipe at the end was acknowledged too; half a line is no id.
        ids.extend(
            line.strip_prefix("done ")
                .and_then(|id| id.parse::<Uuid>().ok()),
        );
        if ids.len() == after + 1 {
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    ids
}

async fn write(whom: &str) {
    let mut parts = whom.split(' ');
    let mut next = || parts.next().unwrap().to_owned();
    let (url, tenant, user) = (next(), next().parse().unwrap(), next().parse().unwrap());
    let db = TenantDb::connect(&url).await.unwrap();
    let ctx = db.enter(tenant, user).await.unwrap();
    let audit = PgAuditLog::new(db.clone());
    println!();
    let write = || async {
        loop {
            let id = Uuid::now_v7();
            let mut tx = db.write(&ctx).await.unwrap();
            sqlx::query("INSERT INTO public.business (tenant_id, id) VALUES ($1, $2)")
                .bind(ctx.tenant())
                .bind(id)
                .execute(&mut *tx)
                .await
                .unwrap();
            let event = Event::new("thing.made").meta("id", id.to_string());
            // One by one, under a key, and as a batch.
            match id.as_u128() % 3 {
                0 => {
                    audit.record_in(&mut tx, event).await.unwrap();
                }
                1 => {
                    let event = event.idempotency_key(id.to_string());
                    audit.record_in(&mut tx, event).await.unwrap();
                }
                _ => {
                    let keyed = event.idempotency_key(id.to_string());
                    let batch = vec![keyed, Event::new("thing.noted")];
                    let ids = audit.record_batch_in(&mut tx, batch).await.unwrap();
                    assert_eq!(ids.len(), 2);
                }
            }
            tx.commit().await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "done {id}").unwrap();
            out.flush().unwrap();
        }
    };
    tokio::join!(write(), write(), write(), write());
}
