//! A log out of a dump, in another cluster: verified, adopted, written on, verified again.

use std::{sync::Arc, time::Duration};

use crate::{
    seals::{record, seal_all, signer},
    support::{House, meta_at},
};
use tenancy_audit::{
    Adopter, AuditLog, AuditProofs, AuditQuery, ExportFormat, Fault, FileAnchor, PgAuditLog,
    ProofReport, SealKeys, Sealer, Verifier,
};
use tenancy_core::{
    AuditSink as _, Event, OperatorDb, TenantCtx, TenantDb, WorkerDb, testing::FakeAuthorizer,
};
use tenancy_testkit::Cluster;

/// What the other cluster has.
struct Restored {
    worker: WorkerDb,
    operator: OperatorDb,
    audit: PgAuditLog,
    log: AuditLog,
    proofs: AuditProofs,
    a: TenantCtx,
}

const NAME: &str = "restored";
const PASSWORD: &str = "as before";

impl Restored {
    async fn of(house: &House, cluster: &Cluster) -> Self {
        let url = house.db.server.superuser_url().unwrap();
        cluster.restore(url, NAME, PASSWORD).await.unwrap();
        let url = |login| cluster.url(login, PASSWORD, NAME);
        let app = TenantDb::connect(&url("tenancy_dev_app")).await.unwrap();
        let audit = PgAuditLog::new(app.clone());
        let authorizer = Arc::new(FakeAuthorizer::allowing_all());
        let sink = Arc::new(audit.clone());
        let user = house.a.user().expect("the owner");
        Self {
            worker: WorkerDb::connect(&url("tenancy_dev_worker")).await.unwrap(),
            operator: OperatorDb::connect(&url("tenancy_dev_operator"))
                .await
                .unwrap(),
            log: AuditLog::new(app.clone(), authorizer.clone(), sink.clone()),
            proofs: AuditProofs::new(app.clone(), authorizer, sink),
            a: app.enter(house.a.tenant(), user).await.unwrap(),
            audit,
        }
    }

    async fn made(&self, at: i64) {
        let event = Event::new("thing.made").meta("at", at);
        self.audit.record(&self.a, event).await.unwrap();
    }

    async fn seal(&self, sealer: &Sealer) {
        while sealer.health().await.unwrap().waiting_since.is_some() {
            sealer.seal().await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn report(&self, keys: &SealKeys, heads: &[u8]) -> ProofReport {
        let mut file = String::new();
        let mut export = self.proofs.export(&self.a).await.unwrap();
        while let Some(lines) = export.next_lines().await.unwrap() {
            file.push_str(&lines);
        }
        let verifier = Verifier::new(self.a.tenant(), keys.clone());
        let verifier = verifier.with_anchor(heads).unwrap();
        verifier.verify(file.as_bytes()).unwrap()
    }
}

/// As in a cluster that is not new: it counts transactions further than the one of the restore.
async fn count_far(house: &House) {
    let superuser = house.superuser().await;
    sqlx::raw_sql(
        "CREATE TEMP TABLE counted (n int); DO $$ BEGIN FOR n IN 1..20000 LOOP
             BEGIN INSERT INTO counted VALUES (n); EXCEPTION WHEN others THEN NULL; END;
         END LOOP; END $$",
    )
    .execute(&superuser)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_in_another_cluster_is_verified_adopted_and_written_on() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads");
    let sealer = Sealer::new(house.db.worker.clone(), signer.clone())
        .with_anchor(Arc::new(FileAnchor::new(&path)));
    count_far(&house).await;
    record(&house, &house.a, 3).await;
    record(&house, &house.b, 1).await;
    seal_all(&house, &sealer, 4).await;
    record(&house, &house.a, 2).await;
    let then = std::fs::read(&path).unwrap();
    let cluster = Cluster::start().await.unwrap();
    let there = Restored::of(&house, &cluster).await;
    // The backup does not have this seal any more.
    seal_all(&house, &sealer, 6).await;
    let heads = std::fs::read(&path).unwrap();

    // As it came: what was sealed verifies, nothing goes on. That the proofs were handed out is in no seal yet.
    let report = there.report(&keys, &then).await;
    let faults: Vec<&Fault> = report.findings.iter().map(|found| &found.fault).collect();
    assert_eq!(faults, [&Fault::EntryUnsealed], "{:?}", report.findings);
    assert_eq!(report.entries, 3);
    let sealer = Sealer::new(there.worker.clone(), signer.clone());
    let refused = sealer.seal().await.unwrap_err();
    assert_eq!(refused.code(), "audit_log_restored");
    let all = AuditQuery::new();
    let refused = there.log.export(&there.a, &all, ExportFormat::Csv).await;
    assert_eq!(refused.unwrap_err().code(), "audit_log_restored");
    there.made(7).await;

    let adopter = Adopter::new(there.operator.clone(), signer, keys.clone());
    let adopter = adopter.with_anchor(&*heads).await.unwrap();
    let done = adopter.adopt("from the dump of 3 a.m.").await.unwrap();
    assert_eq!(done.lost, [(house.a.tenant(), 1)]);
    let mut tail = there.log.tail(&there.a, &all).await.unwrap();
    for at in 8..10 {
        there.made(at).await;
        there.seal(&sealer).await;
    }
    let came: Vec<i64> = tail.poll().await.unwrap().iter().map(meta_at).collect();
    assert_eq!(came, [8, 9]);
    let report = there.report(&keys, &heads).await;
    assert!(report.is_intact(), "{:?}", report.findings);
    // Three in the seal that came along, three since then that came or were made before the adoption, the export
    // of proofs above, and two behind it.
    assert_eq!((report.adoptions[0].lost, report.entries), (1, 9));
    let mut export = there
        .log
        .export(&there.a, &all, ExportFormat::Ndjson)
        .await
        .unwrap();
    let lines = export.next_lines().await.unwrap().unwrap();
    let ours = lines.lines().filter(|line| line.contains("thing.made"));
    assert_eq!(ours.count(), 8, "{lines}");
}
