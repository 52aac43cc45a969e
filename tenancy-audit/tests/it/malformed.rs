//! Rows that make no sense: refused where they come in, and told where they are.

use crate::{
    seals::{proofs, record, seal_all, signer},
    support::{House, sqlstate},
    verify::{export, report},
};
use tenancy_audit::{AuditQuery, Change, ExportFormat, Fault, Sealer, Verdict, Verifier};

#[tokio::test]
async fn what_readers_can_not_make_sense_of_is_refused() {
    let house = House::new().await;
    record(&house, &house.a, 1).await;
    for (column, value) in [
        ("targets", "'[1]'"),
        ("targets", "'[{}]'"),
        ("targets", r#"'[{"kind":"a","id":7}]'"#),
        ("targets", r#"'[[{"kind":"a","id":"b"}]]'"#),
        ("targets", "'[null]'"),
        ("targets", r#"'["kind"]'"#),
        ("targets", r#"'{"kind":"a","id":"b"}'"#),
        ("targets", r#"'[{"kind":"a","id":"b"},7]'"#),
        ("targets", r#"'[{"kind":"a","id":"b"},{"kind":"a"}]'"#),
        (
            "targets",
            r#"'[{"kind":"a","id":"b"},[{"kind":"a","id":"b"}]]'"#,
        ),
        (
            "targets",
            "(SELECT jsonb_agg(jsonb_build_object('kind', 'a', 'id', n::text)) FROM generate_series(1, 9000) n)",
        ),
        (
            "meta",
            "jsonb_build_object('a', jsonb_build_array(('1' || repeat('0', 400))::numeric))",
        ),
        (
            "meta",
            "jsonb_build_object('a', ('-1' || repeat('0', 400))::numeric)",
        ),
        // The least that is too large, in the shortest object.
        (
            "meta",
            "jsonb_build_object('', ('17976931348623159' || repeat('0', 292))::numeric)",
        ),
        ("meta", "jsonb_build_object('a', repeat('x', 2000000))"),
        ("context", "jsonb_build_object('a', repeat('x', 20000))"),
        ("personal", "jsonb_build_object('a', repeat('x', 2000000))"),
        (
            "personal",
            "jsonb_build_object('a', ('1' || repeat('0', 400))::numeric)",
        ),
        (
            "commitments",
            "jsonb_build_object('a', repeat('x', 300000))",
        ),
    ] {
        let columns = ["targets", "context", "personal", "commitments", "meta"];
        let values = columns.map(|name| if name == column { value } else { name });
        let insert: &'static str = format!(
            "INSERT INTO tenancy.audit_logs (tenant_id, id, actor_user_id, actor_kind, actor_id, action, outcome,
                 schema_version, content_hash, {})
             SELECT tenant_id, overlay(id::text placing '000000000000' from 25 for 12)::uuid, actor_user_id, actor_kind,
                 actor_id, action, outcome, schema_version, content_hash, {} FROM tenancy.audit_logs",
            columns.join(", "),
            values.join(", "),
        )
        .leak();
        let refused = house.as_app(&house.a, insert).await;
        assert_eq!(refused, Err("23514".to_owned()), "{column} = {value}");
    }
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_told_and_the_others_are_read() {
    let house = House::new().await;
    record(&house, &house.a, 12).await;
    record(&house, &house.b, 1).await;
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    seal_all(&house, &sealer, 13).await;
    // Somebody who may do everything takes the checks away.
    house
        .as_owner(
            "ALTER TABLE tenancy.audit_logs DISABLE TRIGGER audit_append_only,
                 DROP CONSTRAINT audit_logs_targets_shape, DROP CONSTRAINT audit_logs_numbers,
                 DROP CONSTRAINT audit_logs_id_time, DROP CONSTRAINT audit_logs_outcome_check,
                 DROP CONSTRAINT audit_logs_meta_check, DROP CONSTRAINT audit_logs_context_check,
                 DROP CONSTRAINT audit_logs_content_hash_check",
        )
        .await;
    let superuser = house.superuser().await;
    let entries = house.entries(&house.a).await;
    let cases = [
        ("targets", "targets = '[1]'"),
        ("targets", r#"targets = '[{"kind":"a","id":"b","more":1}]'"#),
        (
            "meta",
            "meta = jsonb_build_object('a', ('1' || repeat('0', 400))::numeric)",
        ),
        ("meta", "meta = '{\"at\": 3.0000000000000000000001}'"),
        (
            "meta",
            "meta = (repeat('[', 500) || repeat(']', 500))::jsonb",
        ),
        ("meta", "meta = '7'"),
        ("context", "context = '[]'"),
        ("outcome", "outcome = 'perhaps'"),
        ("content_hash", "content_hash = '\\x00'"),
        ("created_at", "created_at = 'infinity'"),
        ("created_at", "created_at = '-infinity'"),
    ];
    for ((part, set), entry) in cases.iter().zip(&entries) {
        let update: &'static str =
            format!("UPDATE tenancy.audit_logs SET {set} WHERE id = $1").leak();
        let done = sqlx::query(update).bind(entry.id).execute(&superuser).await;
        assert!(done.is_ok(), "{part}: {}", sqlstate(&done.unwrap_err()));
    }
    let shown = house.entries(&house.a).await;
    assert_eq!(shown.len(), 12);
    for ((part, _), entry) in cases.iter().zip(&shown) {
        assert_eq!(entry.damaged, [part.to_owned()]);
        let change = Change::Unreadable((*part).to_owned());
        assert_eq!(entry.verify(), Verdict::Changed(change));
    }
    assert_eq!(shown[11].verify(), Verdict::Intact);
    assert!(house.log.get(&house.a, entries[0].id).await.is_ok());
    let found = house
        .log
        .verify(&house.a, &AuditQuery::new())
        .await
        .unwrap();
    assert_eq!((found.checked, found.changed), (12, 11));
    let mut plain = house
        .log
        .export(&house.a, &AuditQuery::new(), ExportFormat::Ndjson)
        .await
        .unwrap();
    let lines = plain.next_lines().await.unwrap().unwrap();
    assert!(lines.lines().count() >= 12, "each has its line");
    assert_eq!(
        lines.matches(r#""damaged":[""#).count(),
        11,
        "which says so"
    );

    let whole = report(&house, &house.a, &keys).await;
    let mut told: Vec<_> = whole
        .findings
        .iter()
        .map(|finding| (finding.entry.unwrap(), finding.fault.clone()))
        .collect();
    told.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    let expected: Vec<_> = cases
        .iter()
        .zip(&entries)
        .map(|((part, _), entry)| (entry.id, Fault::EntryUnreadable((*part).to_owned())))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(whole.entries, 1);
    assert!(report(&house, &house.b, &keys).await.is_intact());
}

#[tokio::test]
async fn a_seal_that_makes_no_sense_counts_as_missing() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    for all in [2, 4, 6] {
        record(&house, &house.a, 2).await;
        seal_all(&house, &sealer, all).await;
    }
    house
        .as_owner("ALTER TABLE tenancy.audit_seals DISABLE TRIGGER audit_append_only")
        .await;
    let superuser = house.superuser().await;
    sqlx::query("UPDATE tenancy.audit_seals SET sealed_at = 'infinity' WHERE number = 2")
        .execute(&superuser)
        .await
        .unwrap();
    let file = export(&house, &house.a).await;
    let found = Verifier::new(house.a.tenant(), keys)
        .verify(&*file)
        .unwrap();
    assert_eq!(
        found.findings[0].fault,
        Fault::SealsMissing(2, 2),
        "{:?}",
        found.findings
    );
    assert_eq!(found.entries, 4);
    let entries = house.entries(&house.a).await;
    let made = entries.iter().filter(|entry| entry.action == "thing.made");
    let lost = made.map(|entry| entry.id).nth(2).unwrap();
    let refused = proofs(&house).inclusion(&house.a, lost).await.unwrap_err();
    assert_eq!(refused.code(), "audit_entry_not_sealed");
}
