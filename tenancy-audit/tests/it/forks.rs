//! History that is written anew behind the sealer's back, and a sealer that is told to skip entries.

use std::sync::Arc;

use crate::{
    seals::{record, seal_all, signer},
    support::House,
    verify::export,
};
use tenancy_audit::{Fault, FileAnchor, Sealer, Verifier};

#[tokio::test]
async fn an_anchor_remembers_the_history_that_was_taken_away() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads");
    let (signer, keys) = signer("one");
    let anchor = Arc::new(FileAnchor::new(&path));
    let sealer = Sealer::new(house.db.worker.clone(), signer).with_anchor(anchor);
    for all in [2, 4] {
        record(&house, &house.a, 2).await;
        seal_all(&house, &sealer, all).await;
    }
    // The newest seal goes with its entries, and an honest sealer goes on from what is left.
    house
        .as_owner(
            "DROP TRIGGER audit_append_only ON tenancy.audit_logs;
             DROP TRIGGER audit_append_only ON tenancy.audit_seals",
        )
        .await;
    let superuser = house.superuser().await;
    sqlx::raw_sql(
        "DELETE FROM tenancy.audit_logs WHERE txid = (SELECT max(txid) FROM tenancy.audit_logs);
         DELETE FROM tenancy.audit_seals WHERE number = 2",
    )
    .execute(&superuser)
    .await
    .unwrap();
    for all in [4, 6] {
        record(&house, &house.a, 2).await;
        seal_all(&house, &sealer, all).await;
    }
    let file = export(&house, &house.a).await;
    let alone = Verifier::new(house.a.tenant(), keys.clone())
        .verify(&*file)
        .unwrap();
    assert!(alone.is_intact(), "nothing in the file itself tells of it");
    let heads = std::fs::read(&path).unwrap();
    let report = Verifier::new(house.a.tenant(), keys)
        .with_anchor(&*heads)
        .unwrap()
        .verify(&*file)
        .unwrap();
    let forked = report
        .findings
        .iter()
        .find(|finding| finding.fault == Fault::AnchorForked);
    assert_eq!(
        forked.map(|finding| (finding.line, finding.seal)),
        Some((3, Some(2)))
    );
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.fault == Fault::AnchorDiffers && finding.seal == Some(2)),
        "{:?}",
        report.findings
    );
}

#[tokio::test]
async fn the_sealer_passes_no_entry_without_a_seal() {
    let house = House::new().await;
    let (signer, _) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    record(&house, &house.a, 2).await;
    seal_all(&house, &sealer, 2).await;
    record(&house, &house.a, 2).await;
    let superuser = house.superuser().await;
    let (from, last, id): (String, String, uuid::Uuid) = sqlx::query_as(
        "SELECT (SELECT at_txid::text FROM tenancy.audit_sealer), txid::text, id
         FROM tenancy.audit_logs ORDER BY txid DESC, id DESC LIMIT 1",
    )
    .fetch_one(&superuser)
    .await
    .unwrap();
    for to in [last.as_str(), "18446744073709551615"] {
        let state: String = sqlx::query_scalar(
            "SELECT tenancy.audit_seal_store($1, $2, $3, $4, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                '{}', '{}', '{}', '{}', '{}', now(), 'one', '{}')",
        )
        .bind(&from)
        .bind(to)
        .bind(house.a.tenant())
        .bind(id)
        .fetch_one(house.db.worker.pool())
        .await
        .unwrap();
        assert_eq!(state, "unfit");
    }
    seal_all(&house, &sealer, 4).await;
}
