//! Readers on a log that came into another cluster: told so, and then at work again.

use std::{sync::Arc, time::Duration};

use crate::{
    seals::{record, seal_all, signer},
    support::{House, meta_at},
};
use tenancy_audit::{
    Adopter, AuditQuery, AuditStream, Entry, Error, ErrorKind, ExportFormat, Sealer, StreamOptions,
    StreamRound, StreamStart, StreamTarget, Streams,
};
use tenancy_core::{AuditSink as _, Event};

/// Three entries of A and one of B, in a cluster that had counted much further than this one.
async fn moved() -> House {
    let house = House::new().await;
    record(&house, &house.a, 3).await;
    record(&house, &house.b, 1).await;
    let (signer, _) = signer("one");
    seal_all(&house, &Sealer::new(house.db.worker.clone(), signer), 4).await;
    let mut tx = house.superuser().await.begin().await.unwrap();
    let moved = "SET LOCAL session_replication_role = replica;
        UPDATE tenancy.audit_logs SET txid = ((txid::text::bigint + 4000000000000)::text)::xid8;
        UPDATE tenancy.audit_sealer SET cluster = cluster + 1,
            at_txid = ((at_txid::text::bigint + 4000000000000)::text)::xid8;
        UPDATE tenancy.audit_streams SET cluster = cluster + 1";
    sqlx::raw_sql(moved).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    house
}

async fn adopt(house: &House) {
    let (signer, keys) = signer("one");
    let adopter = Adopter::new(house.db.operator.clone(), signer, keys);
    adopter.adopt("restored").await.unwrap();
}

async fn made(house: &House, at: i64) {
    let event = Event::new("thing.made").meta("at", at);
    house.audit.record(&house.a, event).await.unwrap();
}

fn refused<T: std::fmt::Debug>(done: Result<T, Error>) {
    let error = done.unwrap_err();
    let found = (error.kind(), error.code());
    assert_eq!(found, (ErrorKind::Misconfigured, "audit_log_restored"));
    assert!(error.to_string().contains("tenancy audit adopt"), "{error}");
}

/// Takes whatever it is given.
#[derive(Default)]
struct Taking(std::sync::Mutex<Vec<Entry>>);

#[async_trait::async_trait]
impl StreamTarget for Taking {
    async fn deliver(&self, entries: &[Entry]) -> Result<usize, Error> {
        self.0.lock().unwrap().extend_from_slice(entries);
        Ok(entries.len())
    }
}

async fn open(house: &House, start: StreamStart) -> Result<(AuditStream, Arc<Taking>), Error> {
    let target = Arc::new(Taking::default());
    let worker = house.db.worker.clone();
    let options = StreamOptions::default().with_tenant(house.a.tenant());
    let stream = AuditStream::open_with(worker, "siem", start, target.clone(), options).await?;
    Ok((stream, target))
}

#[tokio::test]
async fn an_export_of_an_adopted_log_is_whole() {
    let house = moved().await;
    let all = AuditQuery::new();
    refused(house.log.export(&house.a, &all, ExportFormat::Ndjson).await);
    adopt(&house).await;
    made(&house, 7).await;
    // Not in the export: it is committed later, in a transaction that had begun before.
    let mut late = house.db.app.write(&house.a).await.unwrap();
    let event = Event::new("thing.late");
    house.audit.record_in(&mut late, event).await.unwrap();
    let mut export = house
        .log
        .export(&house.a, &all, ExportFormat::Ndjson)
        .await
        .unwrap();
    late.commit().await.unwrap();
    made(&house, 8).await;
    let lines = export.next_lines().await.unwrap().unwrap();
    assert_eq!(lines.lines().count(), 4, "{lines}");
    assert!(
        lines.contains(r#""at":7"#) && !lines.contains("thing.late"),
        "{lines}"
    );
    assert_eq!(export.next_lines().await.unwrap(), None);
}

#[tokio::test]
async fn a_tail_of_an_adopted_log_tells_what_comes() {
    let house = moved().await;
    let all = AuditQuery::new();
    refused(house.log.tail(&house.a, &all).await);
    adopt(&house).await;
    made(&house, 6).await;
    let mut late = house.db.app.write(&house.a).await.unwrap();
    let event = Event::new("thing.made").meta("at", 9);
    house.audit.record_in(&mut late, event).await.unwrap();
    let mut tail = house.log.tail(&house.a, &all).await.unwrap();
    assert_eq!(tail.before(100).await.unwrap().len(), 4, "what was there");
    made(&house, 7).await;
    let found: Vec<i64> = tail.poll().await.unwrap().iter().map(meta_at).collect();
    assert_eq!(found, [7]);
    late.commit().await.unwrap();
    let found: Vec<i64> = tail.poll().await.unwrap().iter().map(meta_at).collect();
    assert_eq!(found, [9]);
    assert!(tail.poll().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stream_of_an_adopted_log_tells_what_is_final() {
    let house = moved().await;
    refused(open(&house, StreamStart::Now).await.map(drop));
    refused(open(&house, StreamStart::Beginning).await.map(drop));
    adopt(&house).await;
    made(&house, 6).await;
    let (stream, told) = open(&house, StreamStart::Beginning).await.unwrap();
    made(&house, 7).await;
    // Other tests' transactions hold the horizon up.
    for _ in 0..2_000 {
        stream.round().await.unwrap();
        if told.0.lock().unwrap().len() >= 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told: Vec<i64> = told.0.lock().unwrap().iter().map(meta_at).collect();
    assert_eq!(told[3..], [6, 7], "the old ones first: {told:?}");
    assert_eq!(told.len(), 5);
    assert_eq!(stream.round().await.unwrap(), StreamRound::Idle);
}

#[tokio::test]
async fn a_stream_that_began_before_can_not_go_on() {
    let house = House::new().await;
    let (stream, _) = open(&house, StreamStart::Beginning).await.unwrap();
    let streams = Streams::new(house.db.worker.clone());
    assert!(!streams.list().await.unwrap()[0].restored);
    let moved = "UPDATE tenancy.audit_sealer SET cluster = cluster + 1;
        UPDATE tenancy.audit_streams SET cluster = cluster + 1";
    sqlx::raw_sql(moved)
        .execute(&house.superuser().await)
        .await
        .unwrap();
    refused(stream.round().await);
    assert!(streams.list().await.unwrap()[0].restored);
    adopt(&house).await;
    let error = stream.round().await.unwrap_err();
    assert_eq!(error.code(), "audit_log_restored");
    assert!(error.to_string().contains("remove it"), "{error}");
    streams.remove("siem").await.unwrap();
    let (stream, _) = open(&house, StreamStart::Now).await.unwrap();
    assert!(stream.round().await.is_ok());
    assert!(!streams.list().await.unwrap()[0].restored);
}

#[tokio::test]
async fn searching_needs_no_adoption() {
    let house = moved().await;
    assert_eq!(house.entries(&house.a).await.len(), 3);
    made(&house, 6).await;
    assert_eq!(house.entries(&house.a).await.len(), 4);
    adopt(&house).await;
    made(&house, 7).await;
    let newest = house.entries(&house.a).await;
    assert_eq!(
        newest.iter().map(meta_at).take(2).collect::<Vec<_>>(),
        [7, 6]
    );
}
