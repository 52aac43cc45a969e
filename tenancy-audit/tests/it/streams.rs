//! Streams to systems outside: at least once, whatever dies in between.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::support::{House, meta_at};
use serde_json::Value;
use tenancy_audit::testing::conformance::stream_target;
use tenancy_audit::{
    AuditEntryId, AuditStream, Entry, Error, ErrorKind, ExportFormat, Limits, PgAuditLog,
    StreamOptions, StreamRound, StreamStart, StreamTarget, Streams, WebhookTarget,
};
use tenancy_core::{AuditSink as _, Event, ReqwestWebhooks, TenantCtx, WebhookKeys, WebhookSecret};
use tenancy_testkit::{Received, Receiver, Reply};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// For how long a test waits for what has to come: other tests' transactions hold the horizon up, and the machine may
/// be busy. Nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

fn keys() -> WebhookKeys {
    WebhookKeys::new(WebhookSecret::parse(SECRET).unwrap())
}

pub(crate) fn target(url: &str) -> WebhookTarget {
    let transport = ReqwestWebhooks::builder()
        .allow_loopback()
        .timeout(PATIENCE / 4)
        .build()
        .unwrap();
    WebhookTarget::new(url, keys(), Arc::new(transport))
        .unwrap()
        .with_max_entries(7)
}

pub(crate) fn quick() -> StreamOptions {
    StreamOptions::default()
        .with_first_wait(Duration::from_millis(5))
        .with_interval(Duration::from_millis(20))
        .with_lease(PATIENCE)
}

/// As if the time of who holds the stream were over.
async fn time_is_over(house: &House) {
    let over =
        "UPDATE tenancy.audit_streams SET leased_until = clock_timestamp() - interval '1 second'";
    sqlx::raw_sql(over)
        .execute(&house.superuser().await)
        .await
        .unwrap();
}

pub(crate) async fn open(house: &House, url: &str, options: StreamOptions) -> AuditStream {
    let (worker, target) = (house.db.worker.clone(), Arc::new(target(url)));
    AuditStream::open_with(worker, "siem", StreamStart::Beginning, target, options)
        .await
        .unwrap()
}

/// Rounds until so many entries were delivered in all.
async fn deliver(house: &House, stream: &AuditStream, total: u64) {
    let streams = Streams::new(house.db.worker.clone());
    let (begun, mut delivered) = (Instant::now(), 0);
    while delivered < total {
        assert!(
            begun.elapsed() < PATIENCE,
            "{delivered} of {total} delivered"
        );
        let round = stream.round().await.unwrap();
        delivered = streams.list().await.unwrap()[0].delivered;
        if !matches!(round, StreamRound::Delivered(_)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(delivered, total);
}

/// Rounds until one is as it is wanted.
pub(crate) async fn outcome(
    stream: &AuditStream,
    wanted: impl Fn(&StreamRound) -> bool,
) -> StreamRound {
    let begun = Instant::now();
    loop {
        let round = stream.round().await.unwrap();
        if wanted(&round) {
            return round;
        }
        assert!(begun.elapsed() < PATIENCE, "never; in the end {round:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn record(house: &House, ctx: &TenantCtx, numbers: std::ops::Range<i64>) {
    let mut tx = house.db.app.write(ctx).await.unwrap();
    let events = numbers.map(|at| Event::new("thing.made").meta("at", at));
    house
        .audit
        .record_batch_in(&mut tx, events.collect())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// The entries of messages whose signature is good.
pub(crate) fn entries(received: &[Received]) -> Vec<Value> {
    let mut entries = Vec::new();
    for message in received {
        let header = |name: &str| message.headers.get(name).map(String::as_str);
        keys()
            .verify(header, message.body.as_bytes())
            .expect("a good signature");
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body["type"], "audit.entries");
        entries.extend(body["data"].as_array().unwrap().iter().cloned());
    }
    entries
}

pub(crate) fn numbers(entries: &[Value]) -> Vec<i64> {
    entries
        .iter()
        .map(|entry| entry["meta"]["at"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_receiver_that_fails_and_dies_misses_nothing() {
    let house = House::new().await;
    record(&house, &house.a, 0..10).await;
    record(&house, &house.b, 10..20).await;
    let flaky = Receiver::start(|at| match at % 5 {
        0 => Reply::Status(500, ""),
        1 => Reply::Close,
        2 => Reply::Status(429, "retry-after: 0\r\n"),
        _ => Reply::Status(204, ""),
    })
    .await
    .unwrap();
    let stream = open(&house, &flaky.url("/in"), quick()).await;
    deliver(&house, &stream, 20).await;
    // The server dies; what is recorded meanwhile waits.
    drop(flaky);
    record(&house, &house.a, 20..30).await;
    let failed = outcome(&stream, |round| *round != StreamRound::Idle).await;
    assert!(
        matches!(&failed, StreamRound::Failed { code, .. } if code == "webhook_unreachable"),
        "{failed:?}"
    );
    let state = &Streams::new(house.db.worker.clone()).list().await.unwrap()[0];
    assert_eq!((state.delivered, state.running), (20, true));
    assert_eq!(state.code.as_deref(), Some("webhook_unreachable"));
    assert!(state.failures >= 1 && state.waiting_since.is_some());

    let back = Receiver::start(|_| Reply::Status(200, "")).await.unwrap();
    drop(stream);
    time_is_over(&house).await;
    let stream = open(&house, &back.url("/in"), quick()).await;
    deliver(&house, &stream, 30).await;
    let found = numbers(&entries(&back.received()));
    assert_eq!(found, (20..30).collect::<Vec<_>>());
    let state = &Streams::new(house.db.worker.clone()).list().await.unwrap()[0];
    assert_eq!(
        (state.delivered, state.failures, state.code.as_deref()),
        (30, 0, None)
    );
    assert_eq!(state.waiting_since, None);
}

#[tokio::test]
async fn a_webhook_is_a_target() {
    let house = House::new().await;
    let receiver = Receiver::start(|_| Reply::Status(204, "")).await.unwrap();
    let told = || -> Vec<AuditEntryId> {
        let entries = entries(&receiver.received());
        let id = |entry: &Value| entry["id"].as_str().unwrap().parse().unwrap();
        entries.iter().map(id).collect()
    };
    let target = target(&receiver.url("/"));
    stream_target(&target, house.audit.writer(), &house.a, told).await;
}

#[tokio::test]
async fn a_message_is_the_same_at_every_try_and_what_was_taken_is_not_given_again() {
    let house = House::new().await;
    record(&house, &house.a, 0..20).await;
    let receiver = Receiver::start(|at| {
        if at == 1 || at == 2 {
            Reply::Status(503, "")
        } else {
            Reply::Status(200, "")
        }
    })
    .await
    .unwrap();
    let stream = open(&house, &receiver.url("/"), quick()).await;
    outcome(&stream, |round| matches!(round, StreamRound::Delivered(_))).await;
    let messages = receiver.received();
    let id = |at: usize| messages[at].headers["webhook-id"].clone();
    assert_eq!((id(1), &messages[1].body), (id(2), &messages[2].body));
    assert_eq!((id(1), &messages[1].body), (id(3), &messages[3].body));
    let mut taken = entries(&messages[..1]);
    taken.extend(entries(&messages[3..]));
    assert_eq!(numbers(&taken), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_refusal_parks_with_its_reason_until_somebody_resumes() {
    let house = House::new().await;
    record(&house, &house.a, 0..3).await;
    let receiver = Receiver::start(|at| match at {
        0 => Reply::Status(410, ""),
        1..=5 => Reply::Status(400, ""),
        _ => Reply::Status(200, ""),
    })
    .await
    .unwrap();
    let stream = open(&house, &receiver.url("/"), quick()).await;
    let streams = Streams::new(house.db.worker.clone());
    let parked = |round: &StreamRound| matches!(round, StreamRound::Parked { .. });
    for (code, tries) in [("webhook_gone", 1), ("webhook_refused", 6)] {
        let round = outcome(&stream, parked).await;
        assert_eq!(
            round,
            StreamRound::Parked {
                code: code.to_owned()
            }
        );
        assert_eq!(receiver.received().len(), tries);
        assert!(parked(&stream.round().await.unwrap()), "it stays parked");
        assert_eq!(receiver.received().len(), tries, "and is not tried");
        let state = &streams.list().await.unwrap()[0];
        assert!(state.parked_at.is_some() && state.code.as_deref() == Some(code));
        streams.resume("siem").await.unwrap();
    }
    deliver(&house, &stream, 3).await;
    let error = streams.resume("nobody").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::NotFound, "audit_stream_unknown")
    );
    streams.remove("siem").await.unwrap();
    assert_eq!(
        stream.round().await.unwrap_err().code(),
        "audit_stream_unknown"
    );
}

#[tokio::test]
async fn what_is_committed_late_is_told_and_one_process_works_at_a_time() {
    let house = House::new().await;
    let receiver = Receiver::start(|_| Reply::Status(200, "")).await.unwrap();
    let one = open(&house, &receiver.url("/"), quick()).await;
    let other = open(&house, &receiver.url("/"), quick()).await;
    let mut late = house.db.app.write(&house.a).await.unwrap();
    house
        .audit
        .record_in(&mut late, Event::new("thing.made").meta("at", 1))
        .await
        .unwrap();
    record(&house, &house.b, 2..3).await;
    assert_eq!(
        one.round().await.unwrap(),
        StreamRound::Idle,
        "it is not final"
    );
    assert_eq!(other.round().await.unwrap(), StreamRound::Busy);
    late.commit().await.unwrap();
    deliver(&house, &one, 2).await;
    assert_eq!(numbers(&entries(&receiver.received())), [1, 2]);

    // Who stood still for too long has lost it, and learns it.
    record(&house, &house.a, 3..4).await;
    time_is_over(&house).await;
    deliver(&house, &other, 3).await;
    assert_eq!(one.round().await.unwrap(), StreamRound::Busy);
    let error = AuditStream::open_with(
        house.db.worker.clone(),
        "siem",
        StreamStart::Now,
        Arc::new(target(&receiver.url("/"))),
        quick().with_tenant(house.a.tenant()),
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), "audit_stream_other");

    let superuser = house.superuser().await;
    sqlx::raw_sql("UPDATE tenancy.audit_streams SET cluster = 7")
        .execute(&superuser)
        .await
        .unwrap();
    assert_eq!(
        other.round().await.unwrap_err().code(),
        "audit_log_restored"
    );
}

/// Does not answer the first call.
#[derive(Default)]
struct Stuck {
    called: AtomicBool,
    told: Mutex<Vec<i64>>,
}

#[async_trait::async_trait]
impl StreamTarget for Stuck {
    async fn deliver(&self, entries: &[Entry]) -> Result<usize, Error> {
        if !self.called.swap(true, Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.told
            .lock()
            .unwrap()
            .extend(entries.iter().map(meta_at));
        Ok(entries.len())
    }
}

#[tokio::test]
async fn a_target_that_hangs_is_given_up_and_given_the_same_again() {
    let house = House::new().await;
    record(&house, &house.a, 0..3).await;
    let target = Arc::new(Stuck::default());
    let options = quick().with_lease(Duration::from_secs(2));
    let (worker, start) = (house.db.worker.clone(), StreamStart::Beginning);
    let stream = AuditStream::open_with(worker, "siem", start, target.clone(), options)
        .await
        .unwrap();
    let begun = Instant::now();
    let failed = outcome(&stream, |round| matches!(round, StreamRound::Failed { .. })).await;
    let StreamRound::Failed { code, .. } = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(code, "audit_stream_slow");
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "half of the lease"
    );
    let streams = Streams::new(house.db.worker.clone());
    let state = streams.list().await.unwrap().remove(0);
    assert_eq!(
        (state.code.as_deref(), state.failures, state.delivered),
        (Some("audit_stream_slow"), 1, 0)
    );
    deliver(&house, &stream, 3).await;
    assert_eq!(*target.told.lock().unwrap(), [0, 1, 2], "once");
    let state = streams.list().await.unwrap().remove(0);
    assert_eq!((state.code, state.failures), (None, 0));
}

#[tokio::test]
async fn a_stream_tells_of_its_tenant_and_what_it_asks_for_in_its_format() {
    let house = House::new().await;
    record(&house, &house.b, 0..5).await;
    let wide = PgAuditLog::new(house.db.app.clone())
        .with_limits(Limits::default().with_meta_bytes(128 * 1_024));
    let long = Event::new("note.made").meta("text", "x".repeat(90_000));
    wide.record(&house.a, long).await.unwrap();
    house
        .audit
        .record(&house.a, Event::new("note.made"))
        .await
        .unwrap();
    record(&house, &house.a, 0..5).await;
    let receiver = Receiver::start(|_| Reply::Status(200, "")).await.unwrap();
    let notes = quick()
        .with_tenant(house.a.tenant())
        .with_query("action:note.*".parse().unwrap());
    let target = target(&receiver.url("/"))
        .with_format(ExportFormat::CloudEvents)
        .unwrap();
    let worker = house.db.worker.clone();
    let stream = AuditStream::open_with(
        worker,
        "notes",
        StreamStart::Beginning,
        Arc::new(target),
        notes,
    )
    .await
    .unwrap();
    deliver(&house, &stream, 2).await;
    let told = entries(&receiver.received());
    // Each is an event of its format, also the one that is too long for a message.
    for event in &told {
        let kind = (&event["specversion"], &event["type"]);
        assert_eq!(kind, (&"1.0".into(), &"note.made".into()));
        assert_eq!(event["tenantid"], serde_json::json!(house.a.tenant()));
        assert_eq!(event["data"]["id"], event["id"]);
    }
    assert_eq!(
        (&told[0]["omitted"], &told[0]["data"]["meta"]),
        (&true.into(), &serde_json::json!({}))
    );
    assert_eq!(told[1].get("omitted"), None);
    assert_eq!(told.len(), 2);
    let streams = Streams::new(house.db.worker.clone());
    let begun = Instant::now();
    while streams.list().await.unwrap()[0].waiting_since.is_some() {
        assert!(
            begun.elapsed() < PATIENCE,
            "what nobody asked for counts as waiting"
        );
        stream.round().await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
