//! Proofs that were handed out keep their worth, whatever is erased or removed later.

use std::sync::Arc;

use crate::{
    seals::{proofs, record, seal_all, signer},
    support::House,
    verify::export,
};
use tenancy_audit::{
    ActionFilter, AuditLog, DetailRule, Retention, RetentionRule, Sealer, Verifier,
};
use tenancy_core::{
    AuditSink as _, Event, Subject,
    testing::{FakeAuthorizer, FakeSubjectCipher},
};

#[tokio::test]
async fn what_was_handed_out_before_an_erasure_verifies_after_it() {
    let house = House::new().await;
    let cipher = Arc::new(FakeSubjectCipher::new());
    let audit = house.audit.clone().with_cipher(cipher.clone());
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let log = AuditLog::new(house.db.app.clone(), authorizer, Arc::new(audit.clone()));
    let log = log.with_cipher(cipher);
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer.clone());
    let lead = Subject::parse("lead:7").unwrap();
    let invited = Event::new("lead.invited")
        .about(lead.clone())
        .personal("email", "ann@example.com");
    audit.record(&house.a, invited).await.unwrap();
    let plain = Event::new("thing.made").personal("phone", "+49 30 7");
    house.audit.record(&house.a, plain).await.unwrap();
    house
        .audit
        .record(&house.a, Event::new("login.begun"))
        .await
        .unwrap();
    seal_all(&house, &sealer, 3).await;
    record(&house, &house.a, 3).await;
    seal_all(&house, &sealer, 6).await;

    let proofs = proofs(&house);
    let mut handed_out = Vec::new();
    for entry in house.entries(&house.a).await {
        let proof = proofs.inclusion(&house.a, entry.id).await.unwrap();
        handed_out.push((entry, proof));
    }
    let grown = proofs.consistency(&house.a, 1, 2).await.unwrap();
    let file = export(&house, &house.a).await;

    log.erase_subject(&house.a, &lead).await.unwrap();
    let retention = Retention::new(house.db.operator.clone(), signer, keys.clone());
    let ids: Vec<_> = handed_out
        .iter()
        .filter(|(entry, _)| entry.action == "thing.made" && !entry.commitments.is_empty())
        .map(|(entry, _)| entry.id)
        .collect();
    let by_hand = DetailRule::new(house.a.tenant(), ids, "asked for");
    assert_eq!(retention.erase_details(&by_hand).await.unwrap(), 1);
    let soon = chrono::Utc::now() + chrono::TimeDelta::minutes(1);
    let logins = RetentionRule::new(house.a.tenant(), soon, "past its time")
        .with_action(ActionFilter::prefix("login.").unwrap());
    assert_eq!(retention.remove(&logins).await.unwrap(), 1);

    assert!(grown.verify(&keys));
    for (entry, proof) in &handed_out {
        assert!(proof.verify(entry, &keys), "as it was: {}", entry.action);
    }
    for entry in house.entries(&house.a).await {
        if let Some((_, proof)) = handed_out.iter().find(|(old, _)| old.id == entry.id) {
            assert!(proof.verify(&entry, &keys), "as it is: {}", entry.action);
        }
    }
    let report = Verifier::new(house.a.tenant(), keys.clone())
        .verify(&*file)
        .unwrap();
    assert!(report.is_intact(), "{:?}", report.findings);
    let before = crate::seals::sealed(&house.superuser().await).await;
    record(&house, &house.a, 1).await;
    seal_all(&house, &sealer, before + 1).await;
    let grown = proofs.consistency(&house.a, 1, 3).await.unwrap();
    assert!(
        grown.verify(&keys),
        "and the log still goes on from what it was"
    );
}
