//! Following the log: nothing is missed, nothing comes twice.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use crate::support::{House, meta_at};
use futures_util::StreamExt as _;
use tenancy_audit::{AuditLog, AuditQuery, Entry, ErrorKind, Tail, perm};
use tenancy_core::{
    AuditSink, DbOptions, Event, Permission as _, PoolerMode, TenantDb, testing::FakeAuthorizer,
};
use tenancy_testkit::Pgbouncer;

fn made(at: i64) -> Event {
    Event::new("thing.made").meta("at", at)
}

async fn all_of(tail: &mut Tail) -> Vec<i64> {
    let mut found = Vec::new();
    loop {
        let some = tail.poll().await.unwrap();
        if some.is_empty() {
            return found;
        }
        found.extend(some.iter().map(meta_at));
    }
}

#[tokio::test]
async fn what_is_committed_late_comes_when_it_is_committed() {
    let house = House::new().await;
    house.audit.record(&house.a, made(0)).await.unwrap();
    let (mut early, mut rolled_back) = (
        house.db.app.write(&house.a).await.unwrap(),
        house.db.app.write(&house.a).await.unwrap(),
    );
    house.audit.record_in(&mut early, made(1)).await.unwrap();
    house
        .audit
        .record_in(&mut rolled_back, made(-1))
        .await
        .unwrap();
    let mut tail = house.log.tail(&house.a, &AuditQuery::new()).await.unwrap();
    assert_eq!(all_of(&mut tail).await, [] as [i64; 0]);
    house.audit.record(&house.a, made(2)).await.unwrap();
    house.audit.record(&house.b, made(9)).await.unwrap();
    assert_eq!(all_of(&mut tail).await, [2]);
    // Its id and its transaction are older than what came before it.
    early.commit().await.unwrap();
    rolled_back.rollback().await.unwrap();
    assert_eq!(all_of(&mut tail).await, [1]);
    assert_eq!(all_of(&mut tail).await, [] as [i64; 0]);
    let before: Vec<i64> = tail.before(10).await.unwrap().iter().map(meta_at).collect();
    assert_eq!(before, [0], "what was there when it began, and no more");

    let denied: AuditQuery = "outcome:denied".parse().unwrap();
    let mut tail = house.log.tail(&house.a, &denied).await.unwrap();
    house.audit.record(&house.a, made(3)).await.unwrap();
    let event = made(4).outcome(tenancy_core::Outcome::Denied);
    house.audit.record(&house.a, event).await.unwrap();
    assert_eq!(all_of(&mut tail).await, [4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_many_writers_every_entry_comes_once() {
    let house = Arc::new(House::new().await);
    let mut tail = house.log.tail(&house.a, &AuditQuery::new()).await.unwrap();
    let writers: Vec<_> = (0..6_i64)
        .map(|writer| {
            let house = house.clone();
            tokio::spawn(async move {
                for round in 0..40_i64 {
                    let mut tx = house.db.app.write(&house.a).await.unwrap();
                    let events = (0..25).map(|n| made(writer * 1_000 + round * 25 + n));
                    house
                        .audit
                        .record_batch_in(&mut tx, events.collect())
                        .await
                        .unwrap();
                    let pause = Duration::from_millis((writer * 7 + round * 3).unsigned_abs() % 20);
                    tokio::time::sleep(pause).await;
                    if round % 5 == 4 {
                        tx.rollback().await.unwrap();
                    } else {
                        tx.commit().await.unwrap();
                    }
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    while writers.iter().any(|writer| !writer.is_finished()) {
        seen.extend(tail.poll().await.unwrap().iter().map(meta_at));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    seen.extend(all_of(&mut tail).await);
    let expected: BTreeSet<i64> = (0..6)
        .flat_map(|writer| (0..1_000).map(move |n| (writer, n)))
        .filter(|(_, n)| n / 25 % 5 != 4)
        .map(|(writer, n)| writer * 1_000 + n)
        .collect();
    assert_eq!(seen.len(), expected.len(), "none twice, none missed");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test]
async fn it_ends_when_told_to_and_when_the_right_is_gone() {
    let house = House::new().await;
    let authorizer = FakeAuthorizer::new();
    authorizer.grant(&house.a, perm::AuditRead::KEY);
    let sink: Arc<dyn AuditSink> = Arc::new(house.audit.clone());
    let log = AuditLog::new(house.db.app.clone(), Arc::new(authorizer.clone()), sink);

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let tail = log.tail(&house.a, &AuditQuery::new()).await.unwrap();
    let tail = tail.with_interval(Duration::from_millis(10));
    let mut stream = pin!(tail.into_stream(Box::pin(async move { drop(stopped.await) })));
    house.audit.record(&house.a, made(1)).await.unwrap();
    let came: Vec<Entry> = stream.next().await.unwrap().unwrap();
    assert_eq!(came.iter().map(meta_at).collect::<Vec<_>>(), [1]);
    stop.send(()).unwrap();
    assert!(stream.next().await.is_none());

    let mut tail = log.tail(&house.a, &AuditQuery::new()).await.unwrap();
    assert!(tail.poll().await.is_ok());
    authorizer.revoke(&house.a, &perm::AuditRead::KEY);
    assert_eq!(tail.poll().await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn it_works_behind_a_pooler_of_transactions() {
    let house = House::new().await;
    let pooler = Pgbouncer::start(house.db.server.app_url(), 2)
        .await
        .unwrap();
    let Some(pooler) = pooler else { return };
    let options = DbOptions::default().with_pooler(PoolerMode::Transaction);
    let db = TenantDb::connect_with(pooler.url(), options).await.unwrap();
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let log = AuditLog::new(db.clone(), authorizer, Arc::new(house.audit.clone()));
    let mut tail = log.tail(&house.a, &AuditQuery::new()).await.unwrap();
    for at in 0..3 {
        house.audit.record(&house.a, made(at)).await.unwrap();
        assert_eq!(all_of(&mut tail).await, [at]);
    }
    db.close().await;
}
