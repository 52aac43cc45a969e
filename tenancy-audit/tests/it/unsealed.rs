//! Entries that somebody put in where everything was sealed.

use crate::{
    seals::{proofs, record, seal_all, signer},
    support::House,
    verify::export,
};
use tenancy_audit::{AuditEntryId, Fault, OperatorProofs, SealOptions, Sealer, Verifier};

/// A copy of an entry with an id beside it, and everything else as it was; as somebody makes it who has the
/// database. The content hash would fit, had he computed it anew.
const FORGED: &str = "INSERT INTO tenancy.audit_logs
    SELECT (jsonb_populate_record(l, jsonb_build_object('id',
        overlay(l.id::text placing $2 from 25 for 12)))).*
    FROM tenancy.audit_logs l WHERE id = $1 RETURNING id";

#[tokio::test]
async fn what_was_put_in_below_the_horizon_is_named() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let options = SealOptions::default().with_batch(7);
    let sealer = Sealer::new(house.db.worker.clone(), signer).with_options(options);
    for _ in 0..4 {
        record(&house, &house.a, 5).await;
        record(&house, &house.b, 3).await;
    }
    seal_all(&house, &sealer, 32).await;
    let verifier = Verifier::new(house.a.tenant(), keys);
    let database = proofs(&house).verify(&house.a, &verifier).await.unwrap();
    assert!(database.is_intact(), "{:?}", database.findings);
    let old = house.entries(&house.a).await;
    let superuser = house.superuser().await;
    let mut forged = Vec::new();
    for (at, tail) in [(19, "000000000000"), (7, "ffffffffffff")] {
        let id: AuditEntryId = sqlx::query_scalar(FORGED)
            .bind(old[at].id)
            .bind(tail)
            .fetch_one(&superuser)
            .await
            .unwrap();
        forged.push(id);
    }
    // Those that wait for their seal are no finding.
    record(&house, &house.a, 2).await;
    let file = export(&house, &house.a).await;
    let database = proofs(&house).verify(&house.a, &verifier).await.unwrap();
    let operator = OperatorProofs::new(house.db.operator.clone(), house.a.tenant());
    let reports = [
        verifier.verify(&*file).unwrap(),
        database,
        operator.verify(&verifier).await.unwrap(),
    ];
    for report in reports {
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|finding| (finding.entry.unwrap(), finding.fault.clone()))
            .collect();
        let expected = forged
            .iter()
            .map(|id| (*id, Fault::EntryUnsealed))
            .collect::<Vec<_>>();
        assert_eq!(found, expected);
        assert_eq!(report.entries, 20);
    }
    // Who lowers the horizon in the file, too, is told by the entries that were sealed.
    let file = String::from_utf8(file).unwrap();
    let (first, rest) = file.split_once('\n').unwrap();
    let mut header: serde_json::Value = serde_json::from_str(first).unwrap();
    header["header"]["horizon"] = 0.into();
    let report = verifier
        .verify(format!("{header}\n{rest}").as_bytes())
        .unwrap();
    assert_eq!(report.found, 2);
}
