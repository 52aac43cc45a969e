//! A single proof as a file: what a tenant, or the operator, hands to somebody who has nothing but the public key.

use std::sync::Arc;

use crate::{
    layer::Broken,
    seals::{proofs, record, seal_all, signer},
    support::House,
};
use serde_json::json;
use tenancy_audit::{
    AuditEntryId, AuditProofs, ErrorKind, OperatorProofs, SealKeys, Sealer, Verifier, perm,
};
use tenancy_core::{
    AuditSink as _, Event, Permission as _, PlatformEventKind, PlatformEvents, PlatformQuery,
    testing::FakeAuthorizer,
};

/// A house with two seals of A's.
async fn sealed() -> (House, SealKeys) {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    let made = Event::new("thing.made")
        .target("thing", 7)
        .meta("price", 1.5)
        .personal("email", "ann@example.com");
    house.audit.record(&house.a, made).await.unwrap();
    seal_all(&house, &sealer, 1).await;
    record(&house, &house.a, 3).await;
    seal_all(&house, &sealer, 4).await;
    (house, keys)
}

#[tokio::test]
async fn a_tenants_file_verifies_with_the_public_key_alone_and_with_no_byte_changed() {
    let (house, keys) = sealed().await;
    let verifier = Verifier::new(house.a.tenant(), keys);
    let proofs = proofs(&house);
    let mut entries = house.entries(&house.a).await;
    let entry = entries.pop().unwrap();
    for file in [
        proofs.inclusion_file(&house.a, entry.id).await.unwrap(),
        proofs.consistency_file(&house.a, 1, 2).await.unwrap(),
    ] {
        let report = verifier.verify(file.as_bytes()).unwrap();
        assert!(report.is_intact(), "{:?}", report.findings);
        // The last byte is the end of the line.
        for at in 0..file.len() - 1 {
            let mut changed = file.clone().into_bytes();
            changed[at] ^= 1;
            let found = verifier.verify(&*changed);
            assert!(
                found.is_err() || found.is_ok_and(|report| !report.is_intact()),
                "byte {at} of {file}"
            );
        }
        // Another key of this name.
        let other = Verifier::new(house.a.tenant(), signer("one").1);
        assert!(!other.verify(file.as_bytes()).unwrap().is_intact());
    }
}

#[tokio::test]
async fn a_proof_that_a_tenant_hands_out_is_recorded_first() {
    let (house, _) = sealed().await;
    let proofs = proofs(&house);
    let entry = house.entries(&house.a).await.pop().unwrap();
    proofs.inclusion_file(&house.a, entry.id).await.unwrap();
    let exported = house.entries(&house.a).await.remove(0);
    assert_eq!(exported.action, "audit.exported");
    let targets: Vec<_> = exported.targets.iter().map(|of| of.kind.as_str()).collect();
    assert_eq!(targets, ["audit_log", "audit_entry"]);
    assert_eq!(exported.targets[1].id, entry.id.to_string());
    assert_eq!(exported.meta["format"], "proof");

    proofs.consistency_file(&house.a, 1, 2).await.unwrap();
    let exported = house.entries(&house.a).await.remove(0);
    assert_eq!(
        (&exported.meta["from_seal"], &exported.meta["to_seal"]),
        (&json!(1), &json!(2))
    );

    // Of what is not there nothing is handed out, and nothing is recorded.
    let before = house.entries(&house.a).await.len();
    let unknown = proofs.inclusion_file(&house.a, AuditEntryId::new()).await;
    assert_eq!(unknown.unwrap_err().code(), "audit_entry_not_sealed");
    let unknown = proofs.consistency_file(&house.a, 2, 1).await;
    assert_eq!(unknown.unwrap_err().code(), "audit_seal_unknown");
    let foreign = proofs.inclusion_file(&house.b, entry.id).await;
    assert_eq!(foreign.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(house.entries(&house.a).await.len(), before);
}

#[tokio::test]
async fn a_proof_is_not_handed_out_without_the_permission_or_the_record() {
    let (house, _) = sealed().await;
    let entry = house.entries(&house.a).await.remove(0);
    let authorizer = FakeAuthorizer::new();
    authorizer.grant(&house.a, perm::AuditRead::KEY);
    let with = |authorizer: FakeAuthorizer, unrecorded: bool| {
        let db = house.db.app.clone();
        if unrecorded {
            AuditProofs::new(db, Arc::new(authorizer), Arc::new(Broken))
        } else {
            AuditProofs::new(db, Arc::new(authorizer), Arc::new(house.audit.clone()))
        }
    };
    let reads = with(authorizer.clone(), false);
    assert!(reads.inclusion(&house.a, entry.id).await.is_ok());
    let denied = reads.inclusion_file(&house.a, entry.id).await;
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::Denied);
    let denied = reads.consistency_file(&house.a, 1, 2).await;
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::Denied);

    authorizer.grant(&house.a, perm::AuditExport::KEY);
    let unrecorded = with(authorizer, true);
    let file = unrecorded.inclusion_file(&house.a, entry.id).await;
    assert_eq!(file.unwrap_err().code(), "planted");
    let file = unrecorded.consistency_file(&house.a, 1, 2).await;
    assert_eq!(file.unwrap_err().code(), "planted");
}

#[tokio::test]
async fn what_the_operator_hands_out_is_in_the_platforms_log() {
    let (house, keys) = sealed().await;
    let operator = house.db.operator.clone();
    let proofs = OperatorProofs::new(operator.clone(), house.a.tenant());
    let verifier = Verifier::new(house.a.tenant(), keys);
    let recorded = async || {
        let query = PlatformQuery::new().with_kind(PlatformEventKind::LogExported);
        let events = PlatformEvents::new(operator.clone());
        let found = events.list(&query).await.unwrap();
        assert!(found.iter().all(|of| of.tenant == Some(house.a.tenant())));
        assert!(found.iter().all(|of| {
            let who = of.actor.as_deref().unwrap_or_default();
            who.starts_with("operator:")
        }));
        found
            .into_iter()
            .rev()
            .map(|entry| entry.code)
            .collect::<Vec<_>>()
    };
    // Looking is no handing out, and nor is what fails.
    assert!(proofs.verify(&verifier).await.unwrap().is_intact());
    assert!(proofs.inclusion_file(AuditEntryId::new()).await.is_err());
    assert!(recorded().await.is_empty());

    let entry = house.entries(&house.a).await.pop().unwrap();
    let file = proofs.inclusion_file(entry.id).await.unwrap();
    assert!(verifier.verify(file.as_bytes()).unwrap().is_intact());
    let file = proofs.consistency_file(1, 2).await.unwrap();
    assert!(verifier.verify(file.as_bytes()).unwrap().is_intact());
    let export = proofs.export().await.unwrap();
    assert_eq!(
        recorded().await,
        ["proof_of_entry", "proof_of_states", "proof_of_log"],
        "before the first line"
    );
    drop(export);
}
