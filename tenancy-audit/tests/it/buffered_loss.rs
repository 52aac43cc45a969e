//! What the buffered log loses when its process is killed: no more than it says.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use crate::support::House;
use tenancy_audit::{BufferOptions, BufferedAudit, PgAuditLog};
use tenancy_core::{AuditSink as _, Event, TenantDb};

/// Set for the process that records until it is killed: URL, tenant, user, and which run it is.
const RECORDER: &str = "TENANCY_TEST_BUFFERED_RECORDER";

const QUEUED: usize = 50;
const BATCH: usize = 10;
const WRITERS: usize = 2;

/// What may be lost of what was recorded, in entries: what is in the queue, four batches, and those on their way.
const WINDOW: usize = QUEUED + (4 + WRITERS) * BATCH;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_loses_no_more_than_it_says() {
    if let Ok(whom) = std::env::var(RECORDER) {
        return Box::pin(record_until_killed(&whom)).await;
    }
    let house = House::new().await;
    let user = house.a.user().unwrap();
    let url = house.db.server.app_url();
    let (mut all, mut lost) = (0, 0);
    for run in 0..8_usize {
        let whom = format!("{url} {} {user} {run}", house.a.tenant());
        let recorded = tokio::task::block_in_place(|| run_and_kill(&whom, 100 + run * 137));
        // The last server process may still be at its last commit.
        let quiet = "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()";
        let superuser = house.superuser().await;
        while sqlx::query_scalar::<_, i64>(quiet)
            .fetch_one(&superuser)
            .await
            .unwrap()
            > 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let stored = "SELECT (meta ->> 'at')::bigint FROM tenancy.audit_logs WHERE meta @> $1";
        let stored: Vec<i64> = sqlx::query_scalar(stored)
            .bind(serde_json::json!({ "run": run }))
            .fetch_all(&superuser)
            .await
            .unwrap();
        let distinct: BTreeSet<usize> = stored
            .iter()
            .map(|at| usize::try_from(*at).unwrap())
            .collect();
        assert_eq!(distinct.len(), stored.len(), "once");
        let gone: Vec<usize> = (0..recorded).filter(|at| !distinct.contains(at)).collect();
        assert!(
            gone.len() <= WINDOW,
            "{} of {recorded} are lost",
            gone.len()
        );
        // A write that takes long is overtaken by others: of what was recorded long before, only that is lost.
        let long_before = gone.iter().filter(|at| **at + WINDOW < recorded).count();
        assert!(
            long_before <= WRITERS * BATCH,
            "{long_before} of {recorded} are lost that were recorded long before"
        );
        (all, lost) = (all + recorded, lost + gone.len());
    }
    println!("{lost} of {all} lost, {WINDOW} at most in a run");
}

/// Starts a recorder, and kills it when it has recorded so many; how many it had.
fn run_and_kill(whom: &str, after: usize) -> usize {
    let mut recorder = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "buffered_loss::a_process_that_is_killed_loses_no_more_than_it_says",
            "--nocapture",
        ])
        .env(RECORDER, whom)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(recorder.stdout.take().unwrap()).lines();
    let mut count = 0;
    for line in lines.map_while(Result::ok) {
        // What stood in the pipe at the end was recorded too.
        count += usize::from(line == "recorded");
        if count == after {
            recorder.kill().unwrap();
        }
    }
    recorder.wait().unwrap();
    assert!(count >= after);
    count
}

async fn record_until_killed(whom: &str) {
    let mut parts = whom.split(' ');
    let mut next = || parts.next().unwrap().to_owned();
    let (url, tenant, user) = (next(), next().parse().unwrap(), next().parse().unwrap());
    let run: usize = next().parse().unwrap();
    let db = TenantDb::connect(&url).await.unwrap();
    let ctx = db.enter(tenant, user).await.unwrap();
    let options = BufferOptions::default()
        .with_capacity(QUEUED)
        .with_max_batch(BATCH)
        .with_writers(WRITERS);
    let writer = PgAuditLog::new(db.clone()).writer().clone();
    let audit = BufferedAudit::new(writer, options);
    println!();
    for at in 0_u64.. {
        let event = Event::new("thing.made").meta("at", at).meta("run", run);
        audit.record(&ctx, event).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "recorded").unwrap();
        out.flush().unwrap();
    }
}
