//! Streamers that are killed in the middle of their work miss nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    streams::{PATIENCE, entries, numbers, quick, record, target},
    support::House,
};
use tenancy_audit::{AuditStream, StreamStart};
use tenancy_core::WorkerDb;
use tenancy_testkit::{Received, Receiver, Reply};

/// Set for the process that streams until it is killed: URL of the database, address of the receiver.
const STREAMER: &str = "TENANCY_TEST_STREAMER";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_streamers_miss_nothing() {
    if let Ok(whom) = std::env::var(STREAMER) {
        return Box::pin(run_streamer(&whom)).await;
    }
    let kills = std::env::var("TENANCY_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(8_i64);
    let house = Arc::new(House::new().await);
    let receiver = Receiver::start(|at| match at % 11 {
        3 => Reply::Status(500, ""),
        7 => Reply::Close,
        _ => Reply::Status(200, ""),
    })
    .await
    .unwrap();
    let whom = format!("{} {}", house.db.server.worker_url(), receiver.url("/in"));
    let writer = {
        let house = house.clone();
        tokio::spawn(async move {
            for round in 0..kills * 10 {
                let ctx = if round % 2 == 0 { &house.a } else { &house.b };
                record(&house, ctx, round * 20..round * 20 + 20).await;
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        })
    };
    for kill in 0..kills {
        // There is something to tell, however far the others are.
        let from = (kills * 5 + kill) * 40;
        record(&house, &house.b, from..from + 40).await;
        let before = receiver.received().len();
        let mut streamer = streamer(&whom);
        // Killed in the middle of its work, wherever that is.
        let begun = Instant::now();
        while receiver.received().len() <= before + usize::try_from(kill % 4).unwrap() {
            assert!(begun.elapsed() < PATIENCE, "a streamer says nothing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        streamer.kill().unwrap();
        streamer.wait().unwrap();
    }
    writer.await.unwrap();
    let expected: BTreeSet<i64> = (0..kills * 240).collect();
    let mut last = streamer(&whom);
    let mut told = BTreeMap::<i64, u32>::new();
    let mut progress = (Instant::now(), 0);
    while told.len() < expected.len() && progress.0.elapsed() < PATIENCE {
        told.clear();
        let took = |(at, _): &(usize, Received)| !matches!(at % 11, 3 | 7);
        let messages = receiver.received().into_iter().enumerate().filter(took);
        let messages: Vec<Received> = messages.map(|(_, message)| message).collect();
        for number in numbers(&entries(&messages)) {
            *told.entry(number).or_default() += 1;
        }
        if told.len() > progress.1 {
            progress = (Instant::now(), told.len());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    last.kill().unwrap();
    last.wait().unwrap();
    let missed: Vec<&i64> = expected
        .iter()
        .filter(|at| !told.contains_key(at))
        .collect();
    assert!(
        missed.is_empty(),
        "{} missed: {:?}",
        missed.len(),
        &missed[..missed.len().min(9)]
    );
    assert_eq!(told.len(), expected.len(), "and nothing else was told");
}

fn streamer(whom: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash_streamer::killed_streamers_miss_nothing",
            "--nocapture",
        ])
        .env(STREAMER, whom)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn run_streamer(whom: &str) {
    let (database, receiver) = whom.split_once(' ').unwrap();
    let worker = WorkerDb::connect(database).await.unwrap();
    let target = Arc::new(target(receiver));
    // Whoever comes after it was killed waits for this.
    let options = quick().with_batch(50).with_lease(Duration::from_secs(2));
    let stream = AuditStream::open_with(worker, "siem", StreamStart::Beginning, target, options);
    stream.await.unwrap().run(std::future::pending()).await;
}
