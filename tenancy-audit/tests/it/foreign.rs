//! What was signed for another tenant's log vouches for nothing in this one, whoever put it there.

use crate::{
    adoption::Moved,
    proof_files::{of_kind, restore},
    retention::{Kept, past_the_net, take_away},
    seals::{proofs, record, seal_all},
    support::House,
    verify::export,
};
use tenancy_audit::{Fault, OperatorProofs, ProofReport, Verifier};
use tenancy_core::TenantCtx;

/// What is found of A's log through the database, as the tenant and as the operator, and in a file.
async fn everywhere(house: &House, verifier: &Verifier) -> Vec<ProofReport> {
    let operator = OperatorProofs::new(house.db.operator.clone(), house.a.tenant());
    let file = export(house, &house.a).await;
    vec![
        proofs(house).verify(&house.a, verifier).await.unwrap(),
        operator.verify(verifier).await.unwrap(),
        verifier.verify(&*file).unwrap(),
    ]
}

/// A's file with B's first line of a kind in the place of its own.
async fn with_theirs(house: &House, kind: &str) -> String {
    let lines = async |ctx: &TenantCtx| -> Vec<String> {
        let file = String::from_utf8(export(house, ctx).await).unwrap();
        file.lines().map(ToOwned::to_owned).collect()
    };
    let (mut ours, theirs) = (lines(&house.a).await, lines(&house.b).await);
    let (at, from) = (of_kind(&ours, kind)[0], of_kind(&theirs, kind)[0]);
    ours[at].clone_from(&theirs[from]);
    ours.join("\n")
}

fn faults(report: &ProofReport) -> Vec<&Fault> {
    report.findings.iter().map(|found| &found.fault).collect()
}

#[tokio::test]
async fn a_removal_of_another_tenants_entries_explains_no_gap() {
    const COPIED: &str = "INSERT INTO tenancy.audit_removals
            (tenant_id, id, ranges, reason, removed_at, key_name, signature)
        SELECT $1, id, ranges, reason, removed_at, key_name, signature
        FROM tenancy.audit_removals WHERE tenant_id = $2";
    let kept = Kept::new().await;
    let house = &kept.house;
    record(house, &house.a, 3).await;
    record(house, &house.b, 3).await;
    seal_all(house, &kept.sealer, 6).await;
    let mut theirs = kept.all_of_a();
    theirs.tenant = house.b.tenant();
    assert_eq!(kept.retention.remove(&theirs).await.unwrap(), 3);
    for entry in house.entries(&house.a).await {
        take_away(house, entry.id).await;
    }
    // It names the places of just the entries that are gone here.
    let copied = sqlx::query(COPIED)
        .bind(house.a.tenant())
        .bind(house.b.tenant());
    past_the_net(house, copied).await;

    let verifier = Verifier::new(house.a.tenant(), kept.keys.clone());
    let mut reports = everywhere(house, &verifier).await;
    let verbatim = with_theirs(house, "removal").await;
    reports.push(verifier.verify(verbatim.as_bytes()).unwrap());
    let (forged, missing) = (Fault::RemovalForged, Fault::EntryMissing);
    for report in reports {
        assert_eq!(faults(&report), [&forged, &missing, &missing, &missing]);
        assert_eq!(report.removed, 0);
    }
    let theirs = Verifier::new(house.b.tenant(), kept.keys.clone());
    let report = theirs.verify(&*export(house, &house.b).await).unwrap();
    assert!(
        report.is_intact() && report.removed == 3,
        "where it belongs"
    );
}

#[tokio::test]
async fn an_adoption_of_another_tenants_log_is_none() {
    const GONE: &str = "DELETE FROM tenancy.audit_adoptions WHERE tenant_id = $1";
    const COPIED: &str = "INSERT INTO tenancy.audit_adoptions (tenant_id, id, number, entries, loose,
            lost_numbers, lost_hashes, reason, adopted_at, key_name, signature)
        SELECT $1, id, number, entries, loose, lost_numbers, lost_hashes, reason, adopted_at, key_name, signature
        FROM tenancy.audit_adoptions WHERE tenant_id = $2";
    let moved = Moved::new().await;
    let house = &moved.house;
    for all in [4, 8] {
        record(house, &house.a, 2).await;
        record(house, &house.b, 2).await;
        seal_all(house, &moved.sealer, all).await;
    }
    restore(house, house.b.tenant()).await;
    let adopter = moved
        .adopter()
        .with_anchor(&*moved.anchored())
        .await
        .unwrap();
    let done = adopter.adopt("restored").await.unwrap();
    assert_eq!(done.lost, [(house.b.tenant(), 1)]);
    let verifier = moved.verifier();
    for report in everywhere(house, &verifier).await {
        assert!(report.is_intact(), "{:?}", report.findings);
        assert_eq!(report.adoptions[0].lost, 0, "its own");
    }

    let verbatim = with_theirs(house, "adoption").await;
    past_the_net(house, sqlx::query(GONE).bind(house.a.tenant())).await;
    let copied = sqlx::query(COPIED)
        .bind(house.a.tenant())
        .bind(house.b.tenant());
    past_the_net(house, copied).await;
    let mut reports = everywhere(house, &verifier).await;
    reports.push(verifier.verify(verbatim.as_bytes()).unwrap());
    for report in reports {
        assert_eq!(faults(&report), [&Fault::AdoptionForged]);
        assert!(report.adoptions.is_empty(), "{:?}", report.adoptions);
    }
}
