//! What is left of a log when retention took its months: proved, and what is gone has a word of its own.

use chrono::NaiveDate;

use crate::{
    retention::{Kept, old_month},
    seals::{proofs, record, seal_all},
    verify::{export, report},
};
use tenancy_audit::{ErrorKind, OperatorProofs, Verifier};

#[tokio::test]
async fn what_is_left_behind_a_month_is_proved_and_what_went_with_it_is_not_found() {
    let kept = Kept::new().await;
    let house = &kept.house;
    old_month(house).await;
    seal_all(house, &kept.sealer, 4).await;
    for all in [7, 10] {
        record(house, &house.a, 3).await;
        seal_all(house, &kept.sealer, all).await;
    }
    let proofs = proofs(house);
    let (old, newest) = (house.entries(&house.a).await, proofs.head(&house.a).await);
    let newest = newest.unwrap().unwrap().number;
    let gone = &old[6..];
    assert_eq!(gone.len(), 2);
    let before = proofs.inclusion(&house.a, gone[0].id).await.unwrap();
    let month = NaiveDate::from_ymd_opt(2025, 3, 1).unwrap();
    let dropped = kept.retention.drop_month(month, "24 months").await;
    assert_eq!(dropped.unwrap().entries, 4);

    let operator = OperatorProofs::new(house.db.operator.clone(), house.a.tenant());
    for entry in gone {
        let ours = proofs.inclusion(&house.a, entry.id).await.map(drop);
        let theirs = operator.inclusion_file(entry.id).await.map(drop);
        for missing in [ours.unwrap_err(), theirs.unwrap_err()] {
            let found = (missing.kind(), missing.code());
            assert_eq!(found, (ErrorKind::NotFound, "audit_entry_not_sealed"));
        }
    }
    assert!(
        before.verify(&gone[0], &kept.keys),
        "who kept an entry with its proof has both"
    );

    let verifier = Verifier::new(house.a.tenant(), kept.keys.clone());
    let left = house.entries(&house.a).await;
    assert_eq!(left.len(), 6);
    for entry in &left {
        let proof = proofs.inclusion(&house.a, entry.id).await.unwrap();
        assert!(proof.verify(entry, &kept.keys), "{}", entry.id);
        let line = operator.inclusion_file(entry.id).await.unwrap();
        let single = verifier.verify(line.as_bytes()).unwrap();
        assert!(single.is_intact(), "{:?}", single.findings);
    }
    // The seal whose entries are gone is where every later one goes on from.
    for from in 1..=newest {
        let proof = proofs.consistency(&house.a, from, newest).await.unwrap();
        assert!(proof.verify(&kept.keys), "{from}");
        let line = operator.consistency_file(from, newest).await.unwrap();
        assert!(verifier.verify(line.as_bytes()).unwrap().is_intact());
    }
    let whole = report(house, &house.a, &kept.keys).await;
    assert!(whole.is_intact(), "{:?}", whole.findings);
    assert_eq!((whole.removed, whole.entries), (2, 6));
    let file = String::from_utf8(export(house, &house.a).await).unwrap();
    for entry in gone {
        assert!(
            !file.contains(&entry.id.to_string()),
            "only its hash is left"
        );
    }
}
