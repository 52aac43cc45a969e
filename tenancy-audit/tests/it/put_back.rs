//! What was erased, or is sealed, and stands in clear again: somebody put it there.

use serde_json::Value;

use crate::{
    erased_details::update,
    erasure::{Sealing, invited},
    seals::{seal_all, signer},
    support::House,
    verify::report,
};
use tenancy_audit::{AuditQuery, Change, DetailRule, Fault, Retention, Sealer};
use tenancy_core::{AuditSink as _, Event, Subject};

#[tokio::test]
async fn what_was_erased_and_put_back_is_found_and_so_is_an_erasure_of_nothing() {
    let house = House::new().await;
    let event = Event::new("thing.made").personal("phone", "+49 30 7");
    let event = event.personal("name", "Ann");
    house.audit.record(&house.a, event).await.unwrap();
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer.clone());
    seal_all(&house, &sealer, 1).await;
    let retention = Retention::new(house.db.operator.clone(), signer, keys.clone());
    let keep = "CREATE TABLE public.kept AS SELECT id, personal FROM tenancy.audit_logs";
    sqlx::query(keep)
        .execute(&house.superuser().await)
        .await
        .unwrap();
    let (tenant, id) = (house.a.tenant(), house.entries(&house.a).await[0].id);
    let log = house.log.clone().with_seal_keys(keys.clone());
    let changed = async || {
        let found = report(&house, &house.a, &keys).await.findings;
        let faults: Vec<_> = found.into_iter().map(|finding| finding.fault).collect();
        let checked = log.verify(&house.a, &AuditQuery::new()).await.unwrap();
        (faults, checked.changed)
    };
    // In parts, which is no change.
    for name in ["phone", "name"] {
        let rule = DetailRule::new(tenant, [id], "asked for").with_names([name.to_owned()]);
        assert_eq!(retention.erase_details(&rule).await.unwrap(), 1);
        assert_eq!(changed().await, (Vec::new(), 0), "{name}");
    }
    for personal in [
        "l.personal || k.personal",
        "l.personal || jsonb_build_object('phone', k.personal -> 'phone')",
        "jsonb_build_object('*erased', (l.personal -> '*erased') || (l.personal -> '*erased'))",
        "k.personal || '{\"*erased\": []}'",
    ] {
        let sql = "CREATE TABLE public.now AS SELECT id, personal FROM tenancy.audit_logs";
        sqlx::query(sql)
            .execute(&house.superuser().await)
            .await
            .unwrap();
        let sql = format!(
            "UPDATE tenancy.audit_logs l SET personal = {personal} FROM public.kept k WHERE k.id = l.id"
        );
        update(&house, sql.leak()).await;
        let expected = vec![Fault::DetailChanged("*erased".to_owned())];
        assert_eq!(changed().await, (expected, 1), "{personal}");
        let refused = DetailRule::new(tenant, [id], "once more");
        let refused = retention.erase_details(&refused).await.unwrap_err();
        assert_eq!(refused.code(), "audit_removal_unproven", "{personal}");
        let back = "UPDATE tenancy.audit_logs l SET personal = n.personal FROM public.now n WHERE n.id = l.id";
        update(&house, back).await;
        update(&house, "DROP TABLE public.now").await;
    }
    assert_eq!(changed().await, (Vec::new(), 0), "as it was");
}

#[tokio::test]
async fn what_was_sealed_and_is_stored_in_clear_is_found() {
    let sealing = Sealing::new().await;
    let (house, lead) = (&sealing.house, Subject::parse("lead:7").unwrap());
    sealing.record(&house.a, invited(&lead)).await;
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    seal_all(house, &sealer, 1).await;
    let shown = sealing.revealed(&house.a, "lead.invited").await;
    sealing.log.erase_subject(&house.a, &lead).await.unwrap();
    // Somebody has kept what was shown before, with its salt.
    let clear = Value::from_iter([("email", shown.personal["email"].clone())]);
    for (personal, fault) in [
        (format!("personal || '{clear}'"), "email"),
        (format!("(personal - '*') || '{clear}'"), "*"),
    ] {
        let sql = format!(
            "UPDATE tenancy.audit_logs SET personal = {personal} WHERE action = 'lead.invited'"
        );
        update(house, sql.leak()).await;
        let found = report(house, &house.a, &keys).await.findings;
        let faults: Vec<_> = found.iter().map(|finding| &finding.fault).collect();
        assert_eq!(faults, [&Fault::DetailChanged(fault.to_owned())]);
        let log = house.log.clone().with_seal_keys(keys.clone());
        let found = log.verify(&house.a, &AuditQuery::new()).await.unwrap();
        let change = Change::Personal(fault.to_owned());
        assert_eq!(found.changes.first().map(|of| &of.1), Some(&change));
    }
}
