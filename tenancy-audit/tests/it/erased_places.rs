//! After an erasure nothing that was erased is left: not in tables and indexes, not beside the log, not in what the
//! planner samples, in dumps or in exports.

use std::process::Command;

use uuid::Uuid;

use crate::{
    erasure::Sealing,
    seals::{seal_all, sealed, signer},
    streams,
    support::House,
    verify::{export, report},
};
use tenancy_audit::{
    AuditLog, AuditQuery, BufferOptions, BufferedAudit, DetailRule, ExportFormat, Retention,
    Sealer, StreamRound,
};
use tenancy_core::{AuditSink as _, Event, Subject};
use tenancy_testkit::{Receiver, Reply};

/// What nobody may find any more; nobody else's text is like these.
struct Person {
    email: String,
    name: String,
    ip: String,
}

impl Person {
    fn new() -> Self {
        let nobody = Uuid::now_v7().simple().to_string();
        Self {
            email: format!("ann.{nobody}@example.com"),
            name: format!("Ann {nobody}"),
            ip: format!("2001:db8::f{}:f{}", &nobody[26..29], &nobody[29..]),
        }
    }

    fn event(&self, action: &'static str) -> Event {
        let mut event = Event::new(action)
            .personal("email", self.email.as_str())
            .personal("name", self.name.as_str());
        event.origin.ip = Some(self.ip.clone());
        event
    }

    fn texts(&self) -> [&str; 3] {
        [&self.email, &self.name, &self.ip]
    }

    /// How often one of the texts stands there, in clear or as bytes are written in a dump.
    fn hits(&self, text: &str) -> usize {
        let spelled = self
            .texts()
            .map(|clear| [clear.to_owned(), hex::encode(clear)]);
        let spelled = spelled.as_flattened().iter();
        spelled.map(|clear| text.matches(clear).count()).sum()
    }

    /// Which tables, indexes and catalogs of the database have one of the texts in their files.
    async fn files(&self, house: &House) -> Vec<String> {
        let superuser = house.superuser().await;
        sqlx::raw_sql("CHECKPOINT")
            .execute(&superuser)
            .await
            .unwrap();
        sqlx::query_scalar(
            "SELECT f.name FROM (
                 SELECT c.oid::regclass::text AS name, pg_read_binary_file(pg_relation_filepath(c.oid)) AS bytes
                 FROM pg_class c WHERE pg_relation_filepath(c.oid) IS NOT NULL
             ) f WHERE EXISTS (SELECT FROM unnest($1::text[]) t WHERE position(convert_to(t, 'UTF8') IN f.bytes) > 0)
             ORDER BY 1",
        )
        .bind(self.texts().map(ToOwned::to_owned).to_vec())
        .fetch_all(&superuser)
        .await
        .unwrap()
    }

    /// What the planner has sampled of the log, which its catalog compresses.
    async fn sampled(&self, house: &House) -> usize {
        let samples = "SELECT s::text FROM pg_stats s WHERE s.tablename LIKE 'audit_logs%'";
        let samples: Vec<String> = sqlx::query_scalar(samples)
            .fetch_all(&house.superuser().await)
            .await
            .unwrap();
        assert!(!samples.is_empty(), "it samples the log");
        self.hits(&samples.concat())
    }

    /// All that `pg_dump` writes, or every row where it is not there.
    async fn dumped(&self, house: &House) -> usize {
        let Some(program) = house.db.server.server().program("pg_dump") else {
            let superuser = house.superuser().await;
            let rows = tenancy_testkit::rows(&superuser).await.unwrap();
            return self.hits(&rows.concat());
        };
        let url = house.db.server.superuser_url().unwrap();
        let dump = Command::new(program)
            .args(["--no-sync", "-d", url])
            .output();
        let dump = dump.unwrap();
        assert!(
            dump.status.success(),
            "{}",
            String::from_utf8_lossy(&dump.stderr)
        );
        let text = String::from_utf8_lossy(&dump.stdout);
        assert!(text.contains("audit_logs"), "a dump of this");
        self.hits(&text)
    }

    /// All that is handed out: how often each export has the texts, and the proof.
    async fn exported(&self, house: &House, log: &AuditLog) -> Vec<(&'static str, usize)> {
        let proof = export(house, &house.a).await;
        let mut hits = vec![("proof", self.hits(&String::from_utf8_lossy(&proof)))];
        for format in ExportFormat::ALL {
            let mut export = log
                .export(&house.a, &AuditQuery::new(), format)
                .await
                .unwrap();
            let mut text = String::new();
            while let Some(lines) = export.next_lines().await.unwrap() {
                text.push_str(&lines);
            }
            assert!(text.contains("lead.seen"), "an export as {format}");
            hits.push((format.as_str(), self.hits(&text)));
        }
        hits
    }
}

async fn as_superuser(house: &House, sql: &'static str) {
    let superuser = house.superuser().await;
    sqlx::raw_sql(sql).execute(&superuser).await.unwrap();
}

#[tokio::test]
async fn what_is_under_a_key_is_in_clear_nowhere() {
    let sealing = Sealing::new().await;
    let (house, ann) = (&sealing.house, Person::new());
    let subject = Subject::parse("lead:7").unwrap();
    let about = |action| ann.event(action).about(subject.clone());
    let keyed = about("lead.invited").idempotency_key(format!("invite:{}", ann.email));
    sealing.audit.record(&house.a, keyed).await.unwrap();
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    sealing
        .audit
        .record_in(&mut tx, about("lead.seen"))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let buffered = BufferedAudit::new(sealing.audit.writer().clone(), BufferOptions::default());
    buffered
        .record(&house.a, about("lead.called"))
        .await
        .unwrap();
    buffered.shutdown().await.unwrap();
    // A stream that its receiver has refused, and stands still.
    let receiver = Receiver::start(|_| Reply::Status(410, "")).await.unwrap();
    let stream = streams::open(house, &receiver.url("/"), streams::quick()).await;
    let parked = |round: &StreamRound| matches!(round, StreamRound::Parked { .. });
    streams::outcome(&stream, parked).await;
    let told: String = receiver
        .received()
        .into_iter()
        .map(|one| one.body)
        .collect();
    assert!(
        told.contains("lead.invited") && ann.hits(&told) == 0,
        "{told}"
    );

    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    seal_all(house, &sealer, 3).await;
    sealing.log.erase_subject(&house.a, &subject).await.unwrap();
    let all = sealed(&house.superuser().await).await;
    seal_all(house, &sealer, all + 1).await;
    as_superuser(house, "ANALYZE").await;
    let report = report(house, &house.a, &keys).await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!(ann.files(house).await, [""; 0]);
    assert_eq!(ann.dumped(house).await, 0);
    for (of, hits) in ann.exported(house, &sealing.log).await {
        assert_eq!(hits, 0, "{of}");
    }

    // And one would be found.
    sqlx::query("CREATE TABLE public.planted AS SELECT $1::text AS text")
        .bind(&ann.email)
        .execute(&house.superuser().await)
        .await
        .unwrap();
    assert!(ann.files(house).await.contains(&"planted".to_owned()));
    assert_eq!(ann.dumped(house).await, 1);
}

#[tokio::test]
async fn what_was_in_clear_and_is_erased_by_the_operator_is_in_no_dump_and_no_sample() {
    let (house, ann) = (House::new().await, Person::new());
    for at in 0..40 {
        let event = ann.event("lead.seen").meta("at", at);
        house.audit.record(&house.a, event).await.unwrap();
    }
    // What the planner samples would outlive what it was taken from.
    as_superuser(&house, "ANALYZE").await;
    assert_eq!(ann.sampled(&house).await, 0);
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer.clone());
    seal_all(&house, &sealer, 40).await;
    assert!(ann.dumped(&house).await >= 120);
    for (of, hits) in ann.exported(&house, &house.log).await {
        // Of personal details WorkOS is told the address only.
        let least = if of == "workos" { 40 } else { 120 };
        assert!(hits >= least, "{of}: {hits}");
    }

    let entries = house.entries(&house.a).await;
    let seen = entries.iter().filter(|entry| entry.action == "lead.seen");
    let rule = DetailRule::new(house.a.tenant(), seen.map(|entry| entry.id), "asked for");
    let retention = Retention::new(house.db.operator.clone(), signer, keys.clone());
    assert_eq!(retention.erase_details(&rule).await.unwrap(), 40);
    let report = report(&house, &house.a, &keys).await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!(report.erased, 40);
    assert_eq!(ann.dumped(&house).await, 0);
    for (of, hits) in ann.exported(&house, &house.log).await {
        assert_eq!(hits, 0, "{of}");
    }
    // What is dead lies in the table's files until it is written anew; nowhere else.
    as_superuser(&house, "VACUUM FULL tenancy.audit_logs").await;
    assert_eq!(ann.files(&house).await, [""; 0]);
}

#[tokio::test]
async fn what_was_sampled_before_goes_when_a_database_is_brought_up_to_date() {
    let (house, ann) = (House::new().await, Person::new());
    for at in 0..40 {
        let event = ann.event("lead.seen").meta("at", at);
        house.audit.record(&house.a, event).await.unwrap();
    }
    let sampling = "ALTER TABLE tenancy.audit_logs ALTER COLUMN personal SET STATISTICS 100";
    as_superuser(&house, sampling).await;
    as_superuser(&house, "ANALYZE").await;
    assert!(ann.sampled(&house).await > 0, "it was sampled before");
    let mut tx = house.superuser().await.begin().await.unwrap();
    let step = include_str!("../../migrations/0013_audit_samples.sql");
    sqlx::raw_sql(step).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ann.sampled(&house).await, 0);
    as_superuser(&house, "ANALYZE").await;
    assert_eq!(ann.sampled(&house).await, 0);
    assert_eq!(house.entries(&house.a).await.len(), 40);
}
