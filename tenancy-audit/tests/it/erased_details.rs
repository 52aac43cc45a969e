//! Details that lie in clear: who strips them has changed the entry, and only an operator's erasure is signed for.

use crate::{
    erasure::{Sealing, invited, stored},
    seals::{proofs, seal_all, sealed, signer},
    support::House,
    verify::report,
};
use tenancy_audit::{
    AuditEntryId, AuditQuery, DetailRule, Fault, Retention, SealOptions, Sealer, Verdict,
};
use tenancy_core::{AuditSink as _, Event, Subject};

pub(crate) async fn update(house: &House, sql: &'static str) {
    house
        .as_owner("ALTER TABLE tenancy.audit_logs DISABLE TRIGGER audit_append_only")
        .await;
    sqlx::query(sql)
        .execute(&house.superuser().await)
        .await
        .unwrap();
    house
        .as_owner("ALTER TABLE tenancy.audit_logs ENABLE TRIGGER audit_append_only")
        .await;
}

#[tokio::test]
async fn details_that_are_stripped_count_as_changed() {
    let sealing = Sealing::new().await;
    let (house, lead) = (&sealing.house, Subject::parse("lead:7").unwrap());
    sealing.record(&house.a, invited(&lead)).await;
    let plain = Event::new("thing.made").personal("phone", "+49 30 7");
    house.audit.record(&house.a, plain).await.unwrap();
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    seal_all(house, &sealer, 2).await;
    let net = sqlx::query("UPDATE tenancy.audit_logs SET personal = '{}'")
        .execute(&house.superuser().await)
        .await;
    assert_eq!(crate::support::sqlstate(&net.unwrap_err()), "42501");
    update(house, "UPDATE tenancy.audit_logs SET personal = '{}'").await;
    let mut faults: Vec<_> = report(house, &house.a, &keys)
        .await
        .findings
        .into_iter()
        .map(|finding| finding.fault)
        .collect();
    faults.sort_by_key(ToString::to_string);
    let stripped = ["email", "phone"].map(|name| Fault::DetailStripped(name.to_owned()));
    assert_eq!(faults, stripped);
    let found = house
        .log
        .verify(&house.a, &AuditQuery::new())
        .await
        .unwrap();
    assert_eq!((found.changed, found.erased), (2, 0));
    // Somebody's own word for it, without the key, is none.
    let erased = serde_json::json!({ "*erased": [{
        "names": ["phone", "email", "ip"], "reason": "x", "erased_at": 1, "key": "one",
        "signature": "A".repeat(86),
    }] });
    let forged =
        format!("UPDATE tenancy.audit_logs SET personal = '{erased}' WHERE commitments <> '{{}}'")
            .leak();
    update(house, forged).await;
    assert_eq!(report(house, &house.a, &keys).await.found, 2);
    let log = house.log.clone().with_seal_keys(keys);
    let found = log.verify(&house.a, &AuditQuery::new()).await.unwrap();
    assert_eq!((found.changed, found.erased), (2, 0));
}

#[tokio::test]
async fn details_recorded_in_clear_are_erased_by_the_operator_and_signed_for() {
    let house = House::new().await;
    for ctx in [&house.a, &house.b] {
        let mut event = Event::new("thing.made")
            .personal("phone", "+49 30 7")
            .personal("n", 1.5);
        event.origin.ip = Some("192.0.2.77".to_owned());
        house.audit.record(ctx, event).await.unwrap();
    }
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer.clone());
    seal_all(&house, &sealer, 2).await;
    let operator = house.db.operator.clone();
    let retention = Retention::new(operator.clone(), signer, keys.clone());
    let (a, id) = (&house.a, house.entries(&house.a).await[0].id);
    let phone = DetailRule::new(a.tenant(), [id], "asked for").with_names(["phone".to_owned()]);
    assert_eq!(retention.erase_details(&phone).await.unwrap(), 1);
    assert_eq!(
        retention.erase_details(&phone).await.unwrap(),
        0,
        "nothing is left of it"
    );
    let entry = house.entries(a).await.remove(0);
    let erased = Verdict::Erased(vec!["phone".to_owned()]);
    assert_eq!(entry.verify_with(&keys), erased);
    let others = crate::seals::signer("one").1;
    assert!(!entry.verify_with(&others).is_intact());
    assert_eq!(entry.personal_detail("n").unwrap(), 1.5);
    let whole = report(&house, a, &keys).await;
    assert_eq!((whole.found, whole.erased), (0, 1), "{:?}", whole.findings);
    let all = DetailRule::new(a.tenant(), [id, id], "asked for");
    assert_eq!(retention.erase_details(&all).await.unwrap(), 1);
    let whole = report(&house, a, &keys).await;
    assert_eq!((whole.found, whole.erased), (0, 1), "{:?}", whole.findings);
    let text = String::from_utf8(stored(&house).await).unwrap();
    assert_eq!(text.matches("192.0.2.77").count(), 1, "the other tenant's");
    let mut entries = house.entries(a).await;
    let entry = entries.pop().unwrap();
    let proof = proofs(&house).inclusion(a, entry.id).await.unwrap();
    assert!(proof.verify(&entry, &keys));
    assert_eq!(entry.erasures().len(), 2);

    let log = house.log.clone().with_seal_keys(keys.clone());
    let found = log.verify(a, &AuditQuery::new()).await.unwrap();
    assert_eq!((found.changed, found.erased), (0, 1));
    let unknown = DetailRule::new(house.b.tenant(), [id], "another tenant's");
    let refused = retention.erase_details(&unknown).await.unwrap_err();
    assert_eq!(refused.code(), "audit_entry_not_sealed");
    let theirs = house.entries(&house.b).await[0].id;
    let rule = DetailRule::new(house.b.tenant(), [theirs], "asked for");
    let holds = "INSERT INTO tenancy.tenant_holds (tenant_id, reference) VALUES ($1, 'case 7')";
    let place = sqlx::query(holds).bind(house.b.tenant());
    place.execute(&house.superuser().await).await.unwrap();
    let held = retention.erase_details(&rule).await.unwrap_err();
    assert_eq!(held.code(), "audit_held");
    let none = DetailRule::new(a.tenant(), [], "asked for");
    assert_eq!(
        retention.erase_details(&none).await.unwrap_err().code(),
        "audit_entries_invalid"
    );
}

#[tokio::test]
async fn details_of_an_entry_that_waits_for_its_seal_stay() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let retention = Retention::new(house.db.operator.clone(), signer.clone(), keys.clone());
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let event = || Event::new("thing.made").personal("phone", "+49 30 7");
    let events = (0..5).map(|_| event()).collect();
    let mut ids = house.audit.record_batch_in(&mut tx, events).await.unwrap();
    tx.commit().await.unwrap();
    ids.sort_unstable();
    let rule =
        |ids: &[AuditEntryId]| DetailRule::new(house.a.tenant(), ids.iter().copied(), "asked for");
    let refused = async |ids: &[AuditEntryId]| {
        let refused = retention.erase_details(&rule(ids)).await.unwrap_err();
        assert_eq!(refused.code(), "audit_entry_not_sealed");
        for entry in house.entries(&house.a).await {
            assert_eq!(entry.personal_detail("phone").unwrap(), "+49 30 7");
        }
    };
    refused(&ids[..1]).await;
    refused(&ids).await;
    // One round, which takes a part of the transaction.
    let (some, superuser) = (
        SealOptions::default().with_batch(2),
        house.superuser().await,
    );
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    let sealer = sealer.with_options(some);
    while sealed(&superuser).await < 2 {
        sealer.run(async {}).await;
    }
    assert_eq!(sealed(&superuser).await, 2);
    for id in &ids[2..] {
        refused(&[*id]).await;
        refused(&[ids[0], *id]).await;
    }
    assert_eq!(retention.erase_details(&rule(&ids[..2])).await.unwrap(), 2);
    seal_all(&house, &sealer, 5).await;
    assert_eq!(retention.erase_details(&rule(&ids)).await.unwrap(), 3);
    let whole = report(&house, &house.a, &keys).await;
    assert_eq!((whole.found, whole.erased), (0, 5), "{:?}", whole.findings);
}
