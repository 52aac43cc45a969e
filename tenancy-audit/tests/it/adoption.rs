//! A log that came into another cluster goes on, and tells what is lost.

use std::{path::Path, sync::Arc};

use crate::{
    seals::{record, seal_all, signer},
    support::House,
    verify::export,
};
use tenancy_audit::{
    Adopter, Ed25519Signer, Fault, FileAnchor, ProofReport, SealKeys, Sealer, Verifier,
};

struct Moved {
    house: House,
    signer: Arc<Ed25519Signer>,
    keys: SealKeys,
    sealer: Sealer,
    heads: tempfile::TempDir,
}

impl Moved {
    async fn new() -> Self {
        let (house, heads) = (House::new().await, tempfile::tempdir().unwrap());
        let (signer, keys) = signer("one");
        let anchor = Arc::new(FileAnchor::new(heads.path().join("heads")));
        let sealer = Sealer::new(house.db.worker.clone(), signer.clone()).with_anchor(anchor);
        Self {
            house,
            signer,
            keys,
            sealer,
            heads,
        }
    }

    fn anchored(&self) -> Vec<u8> {
        let path: &Path = &self.heads.path().join("heads");
        std::fs::read(path).unwrap_or_default()
    }

    fn adopter(&self) -> Adopter {
        let operator = self.house.db.operator.clone();
        Adopter::new(operator, self.signer.clone(), self.keys.clone())
    }

    async fn report(&self) -> ProofReport {
        let file = export(&self.house, &self.house.a).await;
        let verifier = Verifier::new(self.house.a.tenant(), self.keys.clone());
        let verifier = verifier.with_anchor(&*self.anchored()).unwrap();
        verifier.verify(&*file).unwrap()
    }

    async fn as_superuser(&self, sql: &'static str) {
        let mut tx = self.house.superuser().await.begin().await.unwrap();
        sqlx::raw_sql("SET LOCAL session_replication_role = replica")
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::raw_sql(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_log_in_another_cluster_is_adopted_and_goes_on() {
    let moved = Moved::new().await;
    let house = &moved.house;
    record(house, &house.a, 3).await;
    record(house, &house.b, 1).await;
    seal_all(house, &moved.sealer, 4).await;
    // As after a restore of a dump: the old cluster had counted much further than this one.
    moved
        .as_superuser(
            "UPDATE tenancy.audit_sealer SET cluster = cluster + 1, at_txid = '4000000000000'",
        )
        .await;
    record(house, &house.a, 2).await;
    let refused = moved.sealer.seal().await.unwrap_err();
    assert_eq!(refused.code(), "audit_log_restored");
    let adopted = moved
        .adopter()
        .adopt("restored from the dump of 3 a.m.")
        .await
        .unwrap();
    assert_eq!((adopted.tenants, adopted.entries), (2, 2));
    assert!(!moved.sealer.health().await.unwrap().restored);
    for all in [9, 12] {
        record(house, &house.a, 3).await;
        seal_all(house, &moved.sealer, all).await;
    }
    let report = moved.report().await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!(report.entries, 11);
    let [restore] = &report.restores[..] else {
        panic!("{:?}", report.restores)
    };
    assert_eq!((restore.seals, restore.lost, restore.loose), (1, 0, 2));
    assert_eq!(restore.reason, "restored from the dump of 3 a.m.");
    // A forged entry is found on this side, too.
    moved
        .as_superuser(
            "INSERT INTO tenancy.audit_logs SELECT (jsonb_populate_record(l, jsonb_build_object('id',
                 overlay(l.id::text placing '000000000000' from 25 for 12)))).*
             FROM tenancy.audit_logs l ORDER BY txid DESC OFFSET 4 LIMIT 1",
        )
        .await;
    let found = moved.report().await;
    assert_eq!(
        found.findings[0].fault,
        Fault::EntryUnsealed,
        "{:?}",
        found.findings
    );
    let silent = moved.adopter().adopt("").await.unwrap_err();
    assert_eq!(silent.code(), "audit_reason_invalid");
}

#[tokio::test]
async fn seals_that_a_restore_took_away_are_told_as_lost_and_later_ones_are_not_excused() {
    let moved = Moved::new().await;
    let house = &moved.house;
    for all in [2, 4, 6] {
        record(house, &house.a, 2).await;
        seal_all(house, &moved.sealer, all).await;
    }
    // The backup is from before the last two seals, and the cluster is the same.
    let restore = "DELETE FROM tenancy.audit_logs l USING tenancy.audit_seals s
            WHERE s.number > 1 AND position(uuid_send(l.id) IN s.ids) > 0;
        DELETE FROM tenancy.audit_seals WHERE number > 1;
        DELETE FROM tenancy.audit_anchored";
    moved.as_superuser(restore).await;
    let found = moved.report().await;
    assert_eq!(found.findings[0].fault, Fault::AnchorAhead(3));
    let with_heads = moved.adopter().with_anchor(&*moved.anchored()).unwrap();
    let done = with_heads.adopt("restored").await.unwrap();
    assert_eq!(done.lost, [(house.a.tenant(), 2)]);
    for all in [5, 7] {
        record(house, &house.a, 2).await;
        seal_all(house, &moved.sealer, all).await;
    }
    let report = moved.report().await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!((report.restores[0].seals, report.restores[0].lost), (1, 2));
    // What was sealed since then and is taken away is no part of what the restore lost.
    moved
        .as_superuser("DELETE FROM tenancy.audit_seals WHERE number > 2")
        .await;
    let found = moved.report().await;
    assert!(!found.is_intact());
    let ahead = |fault: &Fault| matches!(fault, Fault::AnchorAhead(_));
    assert!(
        found.findings.iter().any(|finding| ahead(&finding.fault)),
        "{:?}",
        found.findings
    );
    // Without the key nobody adopts.
    moved
        .as_superuser("UPDATE tenancy.audit_adoptions SET reason = 'another'")
        .await;
    let found = moved.report().await;
    assert_eq!(found.findings[0].fault, Fault::AdoptionForged);
    assert!(found.restores.is_empty());
}
