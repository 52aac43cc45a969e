//! A log that came into another cluster goes on, and tells what is lost.

use std::{path::Path, sync::Arc};

use crate::{
    proof_files::restore,
    seals::{record, seal_all, signer},
    support::House,
    verify::export,
};
use tenancy_audit::{
    Adopter, Ed25519Signer, Fault, FileAnchor, OperatorProofs, ProofReport, SealKeys, Sealer,
    Verifier,
};

pub(crate) struct Moved {
    pub(crate) house: House,
    pub(crate) signer: Arc<Ed25519Signer>,
    pub(crate) keys: SealKeys,
    pub(crate) sealer: Sealer,
    heads: tempfile::TempDir,
}

impl Moved {
    pub(crate) async fn new() -> Self {
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

    pub(crate) fn anchored(&self) -> Vec<u8> {
        let path: &Path = &self.heads.path().join("heads");
        std::fs::read(path).unwrap_or_default()
    }

    pub(crate) fn adopter(&self) -> Adopter {
        let operator = self.house.db.operator.clone();
        Adopter::new(operator, self.signer.clone(), self.keys.clone())
    }

    /// Of A's log, with the heads of the anchor.
    pub(crate) fn verifier(&self) -> Verifier {
        let verifier = Verifier::new(self.house.a.tenant(), self.keys.clone());
        verifier.with_anchor(&*self.anchored()).unwrap()
    }

    pub(crate) async fn report(&self) -> ProofReport {
        self.report_with(&self.anchored()).await
    }

    pub(crate) async fn report_with(&self, heads: &[u8]) -> ProofReport {
        let verifier = Verifier::new(self.house.a.tenant(), self.keys.clone());
        let file = export(&self.house, &self.house.a).await;
        verifier.with_anchor(heads).unwrap().verify(&*file).unwrap()
    }

    pub(crate) async fn as_superuser(&self, sql: &'static str) {
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
    let [adoption] = &report.adoptions[..] else {
        panic!("{:?}", report.adoptions)
    };
    assert_eq!((adoption.seals, adoption.loose), (1, 2));
    assert_eq!(adoption.lost, 0);
    assert_eq!(adoption.reason, "restored from the dump of 3 a.m.");
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
    let with_heads = moved
        .adopter()
        .with_anchor(&*moved.anchored())
        .await
        .unwrap();
    let done = with_heads.adopt("restored").await.unwrap();
    assert_eq!(done.lost, [(house.a.tenant(), 2)]);
    for all in [5, 7] {
        record(house, &house.a, 2).await;
        seal_all(house, &moved.sealer, all).await;
    }
    let report = moved.report().await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!(
        (report.adoptions[0].seals, report.adoptions[0].lost),
        (1, 2)
    );
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
    assert!(found.adoptions.is_empty());
}

impl Moved {
    /// Three seals of A, of which a backup has the first.
    async fn with_two_lost() -> Self {
        let moved = Self::new().await;
        for all in [2, 4, 6] {
            record(&moved.house, &moved.house.a, 2).await;
            seal_all(&moved.house, &moved.sealer, all).await;
        }
        for _ in 0..2 {
            restore(&moved.house, moved.house.a.tenant()).await;
        }
        moved
    }

    async fn adopt(&self, lost: u64) {
        let adopter = self.adopter().with_anchor(&*self.anchored()).await.unwrap();
        let done = adopter.adopt("restored").await.unwrap();
        assert_eq!(done.lost, [(self.house.a.tenant(), lost)]);
    }

    async fn go_on(&self, sealed: [i64; 2]) {
        for all in sealed {
            record(&self.house, &self.house.a, 2).await;
            seal_all(&self.house, &self.sealer, all).await;
        }
    }
}

#[tokio::test]
async fn a_seal_that_is_made_anew_under_the_number_of_a_lost_one_is_not_excused() {
    let moved = Moved::with_two_lost().await;
    moved.adopt(2).await;
    moved.go_on([4, 6]).await;
    let report = moved.report().await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!(report.adoptions[0].lost, 2);
    // The third one goes once more, and nobody adopts: the export above is sealed in its place.
    restore(&moved.house, moved.house.a.tenant()).await;
    moved.go_on([7, 9]).await;
    let found = moved.report().await;
    for expected in [Fault::AnchorDiffers, Fault::AnchorForked] {
        let mut of_third = found.findings.iter().filter(|found| found.seal == Some(3));
        assert!(
            of_third.any(|found| found.fault == expected),
            "{expected}: {:?}",
            found.findings
        );
    }
}

#[tokio::test]
async fn what_a_restore_lost_is_named_although_the_sealer_has_gone_on_meanwhile() {
    let moved = Moved::with_two_lost().await;
    // The cluster is the same: nothing stops the sealer, which makes other seals of these numbers.
    moved.go_on([4, 6]).await;
    moved.adopt(2).await;
    moved.go_on([8, 10]).await;
    let report = moved.report().await;
    assert!(report.is_intact(), "{:?}", report.findings);
    let adoption = &report.adoptions[0];
    assert_eq!(
        (report.adoptions.len(), adoption.seals, adoption.lost),
        (1, 3, 2)
    );
}

#[tokio::test]
async fn all_that_an_adoption_says_is_signed() {
    let moved = Moved::with_two_lost().await;
    moved.adopt(2).await;
    moved.go_on([4, 6]).await;
    moved
        .as_superuser("CREATE TABLE public.kept AS SELECT * FROM tenancy.audit_adoptions")
        .await;
    for set in [
        // Another seal of the same number would be excused.
        "lost_hashes = sha256('x') || sha256('y')",
        "lost_numbers = '{2,4}'",
        "lost_numbers = '{2}', lost_hashes = substr(lost_hashes, 1, 32)",
        "number = number + 1",
        "entries = entries + 1",
        "loose = loose + 1",
        "reason = 'another'",
        "adopted_at = adopted_at + interval '1 s'",
        "signature = sha256('x') || sha256('y')",
    ] {
        let sql: &'static str = format!("UPDATE tenancy.audit_adoptions SET {set}").leak();
        moved.as_superuser(sql).await;
        let found = moved.report().await;
        assert_eq!(found.findings[0].fault, Fault::AdoptionForged, "{set}");
        assert!(found.adoptions.is_empty(), "{set}");
        assert!(found.found > 1, "{set}: and nothing is excused");
        let as_it_was = "DELETE FROM tenancy.audit_adoptions;
            INSERT INTO tenancy.audit_adoptions SELECT * FROM public.kept";
        moved.as_superuser(as_it_was).await;
    }
    assert!(moved.report().await.is_intact());
}

#[tokio::test]
async fn a_single_proof_brings_along_what_was_adopted() {
    let moved = Moved::with_two_lost().await;
    moved.adopt(2).await;
    moved.go_on([4, 6]).await;
    let (house, verifier) = (&moved.house, moved.verifier());
    let proofs = OperatorProofs::new(house.db.operator.clone(), house.a.tenant());
    let mut lines = vec![proofs.consistency_file(1, 3).await.unwrap()];
    for entry in house.entries(&house.a).await {
        lines.push(proofs.inclusion_file(entry.id).await.unwrap());
    }
    assert_eq!(lines.len(), 7);
    // Of the number of the first seal nothing is lost.
    let (of_first, lines): (Vec<String>, Vec<String>) = lines
        .into_iter()
        .partition(|line| line.lines().count() == 1);
    assert_eq!((of_first.len(), lines.len()), (2, 5));
    for line in &of_first {
        let found = verifier.verify(line.as_bytes()).unwrap();
        assert!(found.is_intact(), "{:?}", found.findings);
    }
    for line in &lines {
        let found = verifier.verify(line.as_bytes()).unwrap();
        assert!(found.is_intact(), "{:?}", found.findings);
        assert_eq!(found.adoptions[0].lost, 2);
        let forged = line.replace(r#""reason":"restored""#, r#""reason":"x""#);
        let found = verifier.verify(forged.as_bytes()).unwrap();
        assert_eq!(found.findings[0].fault, Fault::AdoptionForged);
        assert!(found.adoptions.is_empty());
    }
    // Without it nothing tells why the anchor saw another seal.
    let (alone, _) = lines[0].split_once('\n').unwrap();
    let found = verifier.verify(alone.as_bytes()).unwrap();
    assert_eq!(found.findings[0].fault, Fault::AnchorDiffers);
}
