//! What is handed out: whole, recorded, and the same every time.

use std::sync::Arc;

use crate::{layer::Broken, seals::proofs, support::House};
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use tenancy_audit::{ActionFilter, AuditLog, AuditProofs, AuditQuery, ExportFormat, SearchText};
use tenancy_core::{AuditSink as _, Event, testing::FakeAuthorizer};

async fn whole(house: &House, query: &AuditQuery, format: ExportFormat) -> String {
    let mut export = house.log.export(&house.a, query, format).await.unwrap();
    let mut text = String::new();
    while let Some(lines) = export.next_lines().await.unwrap() {
        text.push_str(&lines);
    }
    text
}

#[tokio::test]
async fn an_export_is_recorded_first_complete_and_the_same_every_time() {
    let house = House::new().await;
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let events = (0..2_500).map(|at| Event::new("thing.made").meta("b", 1.50).meta("at", at));
    house
        .audit
        .record_batch_in(&mut tx, events.collect())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    house
        .audit
        .record(&house.b, Event::new("thing.private"))
        .await
        .unwrap();

    let made = AuditQuery::new().with_action(ActionFilter::exact("thing.made").unwrap());
    let mut texts = Vec::new();
    for _ in 0..2 {
        let mut export = house
            .log
            .export(&house.a, &made, ExportFormat::Ndjson)
            .await
            .unwrap();
        let newest = &house.entries(&house.a).await[0];
        assert_eq!(
            newest.action, "audit.exported",
            "before anything is handed out"
        );
        assert_eq!(newest.meta["filters"], json!({ "action": "thing.made" }));
        let mut text = String::new();
        while let Some(lines) = export.next_lines().await.unwrap() {
            text.push_str(&lines);
        }
        texts.push(text);
    }
    assert_eq!(texts[0], texts[1]);
    let lines: Vec<Value> = texts[0]
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lines
            .iter()
            .enumerate()
            .all(|(at, line)| line["meta"]["at"] == json!(at))
    );
    assert_eq!(lines.len(), 2_500);
    assert!(
        lines
            .iter()
            .all(|line| line["tenant_id"] == json!(house.a.tenant()))
    );
}

#[tokio::test]
async fn an_export_holds_what_was_committed_when_it_began() {
    let house = House::new().await;
    let made = |at: i64| Event::new("thing.made").meta("at", at);
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    house
        .audit
        .record_batch_in(&mut tx, (0..1_500).map(made).collect())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    // Its ids lie before those of the second page, and it is committed while the first is read.
    let mut late = house.db.app.write(&house.a).await.unwrap();
    house.audit.record_in(&mut late, made(-1)).await.unwrap();
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    house
        .audit
        .record_batch_in(&mut tx, (1_500..2_500).map(made).collect())
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let query = AuditQuery::new().with_action(ActionFilter::exact("thing.made").unwrap());
    let mut export = house
        .log
        .export(&house.a, &query, ExportFormat::Ndjson)
        .await
        .unwrap();
    late.commit().await.unwrap();
    house.audit.record(&house.a, made(-2)).await.unwrap();
    let mut text = String::new();
    while let Some(lines) = export.next_lines().await.unwrap() {
        text.push_str(&lines);
    }
    let at: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["meta"]["at"].clone())
        .collect();
    assert_eq!(at, (0..2_500).map(|at| json!(at)).collect::<Vec<_>>());
    let after = whole(&house, &query, ExportFormat::Ndjson).await;
    assert_eq!(after.lines().count(), 2_502);
}

#[tokio::test]
async fn every_format_is_whole_and_says_what_it_is() {
    let house = House::new().await;
    let made = |at: i64| Event::new("thing.made").target("thing", at).meta("at", at);
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    house
        .audit
        .record_batch_in(&mut tx, (0..1_200).map(made).collect())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    house
        .audit
        .record(&house.b, Event::new("thing.made"))
        .await
        .unwrap();
    let query: AuditQuery = "action:thing.made".parse().unwrap();
    for format in ExportFormat::ALL {
        let (one, two) = (
            whole(&house, &query, format).await,
            whole(&house, &query, format).await,
        );
        assert_eq!(one, two, "{format}");
        let head = usize::from(format == ExportFormat::Csv);
        assert_eq!(one.lines().count(), 1_200 + head, "{format}");
        let newest = &house.entries(&house.a).await[0];
        assert_eq!(newest.action, "audit.exported");
        assert_eq!(newest.meta["format"], format.as_str());
        if head == 0 {
            assert!(
                one.lines()
                    .all(|line| serde_json::from_str::<Value>(line).is_ok())
            );
        }
    }
    // A table has its head even if nothing is found; the others have nothing.
    let none = query
        .clone()
        .with_text(SearchText::parse("nowhere").unwrap());
    assert_eq!(
        whole(&house, &none, ExportFormat::Csv)
            .await
            .lines()
            .count(),
        1
    );
    assert_eq!(whole(&house, &none, ExportFormat::Ocsf).await, "");
    let error = "xml".parse::<ExportFormat>().unwrap_err();
    assert_eq!(error.code(), "audit_format_invalid");
}

#[tokio::test]
async fn what_can_not_be_recorded_is_not_handed_out() {
    let house = House::new().await;
    house
        .audit
        .record(&house.a, Event::new("thing.made"))
        .await
        .unwrap();
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let log = AuditLog::new(house.db.app.clone(), authorizer.clone(), Arc::new(Broken));
    let refused = log
        .export(&house.a, &AuditQuery::new(), ExportFormat::Ndjson)
        .await;
    assert_eq!(refused.unwrap_err().code(), "planted");
    let proofs = AuditProofs::new(house.db.app.clone(), authorizer, Arc::new(Broken));
    assert_eq!(proofs.export(&house.a).await.unwrap_err().code(), "planted");
}

#[tokio::test]
async fn an_export_streams_in_bounded_chunks_what_it_hands_out_in_one() {
    let house = House::new().await;
    let made = |at: i64| Event::new("thing.made").meta("at", at);
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let events = (0..2_500).map(made).collect();
    house.audit.record_batch_in(&mut tx, events).await.unwrap();
    tx.commit().await.unwrap();
    let query: AuditQuery = "action:thing.made".parse().unwrap();
    let export = house
        .log
        .export(&house.a, &query, ExportFormat::Ndjson)
        .await
        .unwrap();
    let chunks: Vec<String> = export.into_stream().try_collect().await.unwrap();
    assert!(chunks.len() >= 3 && chunks.iter().all(|chunk| chunk.lines().count() <= 1_000));
    assert_eq!(
        chunks.concat(),
        whole(&house, &query, ExportFormat::Ndjson).await
    );
    let proof = proofs(&house).export(&house.a).await.unwrap();
    let newest = &house.entries(&house.a).await[0];
    assert_eq!(newest.action, "audit.exported");
    let chunks: Vec<String> = proof.into_stream().try_collect().await.unwrap();
    assert!(chunks.concat().starts_with("{\"header\":"));
}
