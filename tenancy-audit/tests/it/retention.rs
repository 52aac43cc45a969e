//! What is removed on purpose leaves its proof, and a legal hold keeps it.

use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta, Utc};

use crate::{
    seals::{proofs, record, seal_all, signer},
    support::House,
    verify::report,
};
use tenancy_audit::{
    ActionFilter, AuditEntryId, AuditStore as _, Ed25519Signer, Fault, LogHolds, Retention,
    RetentionPolicies, RetentionRule, SealKeys, Sealer,
};
use tenancy_core::{AuditSink as _, Event};

pub(crate) struct Kept {
    pub(crate) house: House,
    pub(crate) sealer: Sealer,
    pub(crate) retention: Retention,
    pub(crate) keys: SealKeys,
}

impl Kept {
    pub(crate) async fn new() -> Self {
        let house = House::new().await;
        let (signer, keys): (Arc<Ed25519Signer>, _) = signer("one");
        Self {
            sealer: Sealer::new(house.db.worker.clone(), signer.clone()),
            retention: Retention::new(house.db.operator.clone(), signer, keys.clone()),
            house,
            keys,
        }
    }

    pub(crate) fn all_of_a(&self) -> RetentionRule {
        RetentionRule::new(
            self.house.a.tenant(),
            Utc::now() + TimeDelta::minutes(1),
            "past its time",
        )
    }

    pub(crate) fn policies(&self) -> RetentionPolicies {
        RetentionPolicies::new(self.house.db.operator.clone())
    }

    async fn hold(&self, sql: &'static str) {
        sqlx::query(sql)
            .bind(self.house.a.tenant())
            .execute(&self.house.superuser().await)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_action_of_a_tenant_goes_and_the_rest_still_verifies() {
    let kept = Kept::new().await;
    let house = &kept.house;
    for ctx in [&house.a, &house.b] {
        for action in ["login.begun", "thing.made", "login.ended", "thing.made"] {
            house.audit.record(ctx, Event::new(action)).await.unwrap();
        }
    }
    seal_all(house, &kept.sealer, 8).await;
    house
        .audit
        .record(&house.a, Event::new("login.unsealed"))
        .await
        .unwrap();
    let logins = kept
        .all_of_a()
        .with_action(ActionFilter::prefix("login.").unwrap());
    let mut early = logins.clone();
    early.before = Utc::now() - TimeDelta::hours(1);
    assert_eq!(kept.retention.remove(&early).await.unwrap(), 0);
    assert_eq!(
        kept.retention.remove(&logins).await.unwrap(),
        2,
        "what is not sealed stays"
    );
    assert_eq!(kept.retention.remove(&logins).await.unwrap(), 0);
    let ours = report(house, &house.a, &kept.keys).await;
    assert!(ours.is_intact(), "{:?}", ours.findings);
    assert_eq!(
        (
            ours.removed,
            report(house, &house.b, &kept.keys).await.removed
        ),
        (2, 0)
    );
    let left = house.entries(&house.a).await;
    for entry in left.iter().filter(|entry| entry.action == "thing.made") {
        let proof = proofs(house).inclusion(&house.a, entry.id).await.unwrap();
        assert!(proof.verify(entry, &kept.keys));
    }
    // Whoever takes the record of the removal away turns it into a gap.
    house
        .as_owner("DROP TRIGGER audit_append_only ON tenancy.audit_removals")
        .await;
    sqlx::query("DELETE FROM tenancy.audit_removals")
        .execute(&house.superuser().await)
        .await
        .unwrap();
    let gap = report(house, &house.a, &kept.keys).await;
    let faults: Vec<_> = gap
        .findings
        .iter()
        .map(|finding| (finding.place, &finding.fault))
        .collect();
    assert_eq!(
        faults,
        [
            (Some(1), &Fault::EntryMissing),
            (Some(3), &Fault::EntryMissing)
        ]
    );
}

#[tokio::test]
async fn a_removal_that_another_key_signed_explains_nothing() {
    let kept = Kept::new().await;
    let house = &kept.house;
    record(house, &house.a, 3).await;
    seal_all(house, &kept.sealer, 3).await;
    let (other, _) = signer("one");
    let forged = Retention::new(house.db.operator.clone(), other, kept.keys.clone());
    assert_eq!(forged.remove(&kept.all_of_a()).await.unwrap(), 3);
    let found = report(house, &house.a, &kept.keys).await;
    assert_eq!((found.removed, found.found), (0, 4));
    assert!(
        found
            .findings
            .iter()
            .any(|finding| finding.fault == Fault::RemovalForged)
    );
}

#[tokio::test]
async fn a_legal_hold_keeps_entries_and_months() {
    let kept = Kept::new().await;
    let house = &kept.house;
    old_month(house).await;
    record(house, &house.a, 2).await;
    seal_all(house, &kept.sealer, 6).await;
    kept.hold("INSERT INTO tenancy.tenant_holds (tenant_id, reference) VALUES ($1, 'case 7')")
        .await;
    let held = kept.retention.remove(&kept.all_of_a()).await.unwrap_err();
    assert_eq!(held.code(), "audit_held");
    let month = NaiveDate::from_ymd_opt(2025, 3, 9).unwrap();
    assert_eq!(
        kept.retention
            .drop_month(month, "24 months")
            .await
            .unwrap_err()
            .code(),
        "audit_held"
    );
    kept.hold("DELETE FROM tenancy.tenant_holds WHERE tenant_id = $1")
        .await;
    assert_eq!(kept.retention.remove(&kept.all_of_a()).await.unwrap(), 4);
    assert_eq!(
        kept.retention
            .drop_month(month, "24 months")
            .await
            .unwrap()
            .entries,
        2
    );
}

/// Two entries of each tenant in March 2025, as they would have been recorded then.
pub(crate) async fn old_month(house: &House) {
    house
        .as_owner(
            "ALTER TABLE tenancy.audit_logs DROP CONSTRAINT audit_logs_id_time;
             CREATE TABLE tenancy.audit_logs_y2025m03 PARTITION OF tenancy.audit_logs
                 FOR VALUES FROM ('01954f00-b000-0000-0000-000000000000') TO ('0195eea5-d400-0000-0000-000000000000');",
        )
        .await;
    for ctx in [&house.a, &house.b] {
        for at in 1..=2_u128 {
            house
                .audit
                .record(ctx, Event::new("thing.made"))
                .await
                .unwrap();
            let mut record = house.entries(ctx).await.remove(0).into_record();
            take_away(house, record.id).await;
            let random = record.id.as_uuid().as_u128() & ((1 << 80) - 1);
            let march = uuid::Uuid::from_u128((0x0195_6000_0000 + at) << 80 | random);
            record.id = AuditEntryId::from_uuid(march);
            record.content_hash = record.hash();
            let mut tx = house.db.app.write(ctx).await.unwrap();
            house
                .store()
                .append_in(&mut tx, &[record.into()])
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
    }
}

/// As somebody does who has the database.
pub(crate) async fn take_away(house: &House, entry: AuditEntryId) {
    let sql = "DELETE FROM tenancy.audit_logs WHERE id = $1";
    past_the_net(house, sqlx::query(sql).bind(entry)).await;
}

/// Without triggers.
pub(crate) async fn past_the_net(
    house: &House,
    query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
) {
    let mut tx = house.superuser().await.begin().await.unwrap();
    sqlx::query("SET LOCAL session_replication_role = replica")
        .execute(&mut *tx)
        .await
        .unwrap();
    query.execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// Changes the entry of `thing.made` that is the tenant's first.
async fn edit(house: &House, set: &str) -> AuditEntryId {
    let id = house.entries(&house.a).await.last().unwrap().id;
    let sql: &'static str = format!("UPDATE tenancy.audit_logs SET {set} WHERE id = $1").leak();
    past_the_net(house, sqlx::query(sql).bind(id)).await;
    id
}

#[tokio::test]
async fn an_entry_that_was_edited_is_not_removed_in_the_place_of_the_one_that_was_sealed() {
    for set in [
        "meta = '{}'",
        "created_at = created_at + interval '1 s'",
        // What does not stay long takes the evidence along.
        "action = 'login.ended'",
        "personal = '{}'",
        "content_hash = sha256('x')",
    ] {
        let kept = Kept::new().await;
        let house = &kept.house;
        let event = Event::new("thing.made")
            .meta("at", 1)
            .personal("email", "ann@example.com");
        house.audit.record(&house.a, event).await.unwrap();
        record(house, &house.a, 2).await;
        record(house, &house.b, 1).await;
        seal_all(house, &kept.sealer, 4).await;
        let id = edit(house, set).await;
        let refused = kept.retention.remove(&kept.all_of_a()).await.unwrap_err();
        assert_eq!(refused.code(), "audit_removal_unproven", "{set}");
        assert!(refused.to_string().contains(&id.to_string()), "{refused}");
        assert_eq!(house.entries(&house.a).await.len(), 3, "nothing went");
        let found = report(house, &house.a, &kept.keys).await;
        assert_eq!(
            found.findings[0].entry,
            Some(id),
            "{set}: {:?}",
            found.findings
        );
        let mut other = kept.all_of_a();
        other.tenant = house.b.tenant();
        assert_eq!(kept.retention.remove(&other).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn very_many_entries_go_batch_by_batch() {
    let kept = Kept::new().await;
    let house = &kept.house;
    for _ in 0..3 {
        record(house, &house.a, 900).await;
        record(house, &house.b, 1).await;
    }
    seal_all(house, &kept.sealer, 2_703).await;
    assert_eq!(
        kept.retention.remove(&kept.all_of_a()).await.unwrap(),
        2_700
    );
    let found = report(house, &house.a, &kept.keys).await;
    assert!(found.is_intact(), "{:?}", found.findings);
    assert_eq!((found.removed, found.entries), (2_700, 0));
}

#[tokio::test]
async fn a_month_with_an_entry_edited_added_or_gone_stays() {
    let month = NaiveDate::from_ymd_opt(2025, 3, 1).unwrap();
    for (what, why) in [
        ("edited", "are not as they were sealed"),
        ("gone", "are gone without a removal"),
        ("added", "are in no seal"),
        ("seal", "are in a seal that was changed"),
    ] {
        let kept = Kept::new().await;
        let house = &kept.house;
        old_month(house).await;
        seal_all(house, &kept.sealer, 4).await;
        let oldest = house.entries(&house.a).await.last().unwrap().id;
        match what {
            "edited" => drop(edit(house, "outcome = 'denied'").await),
            "gone" => take_away(house, oldest).await,
            "added" => past_the_net(house, sqlx::query(FORGED).bind(oldest)).await,
            _ => {
                let sql = "UPDATE tenancy.audit_seals SET root = sha256('x') WHERE tenant_id = $1";
                past_the_net(house, sqlx::query(sql).bind(house.a.tenant())).await;
            }
        }
        let refused = kept
            .retention
            .drop_month(month, "24 months")
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "audit_removal_unproven", "{what}");
        assert!(refused.to_string().contains(why), "{what}: {refused}");
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.audit_logs_y2025m03")
            .fetch_one(&house.superuser().await)
            .await
            .unwrap();
        assert!(left >= 3, "{what}");
    }
}

/// A second entry beside one, with all but its id.
const FORGED: &str = "INSERT INTO tenancy.audit_logs
    SELECT (jsonb_populate_record(l, jsonb_build_object('id',
        overlay(l.id::text placing left(md5(random()::text), 12) from 25 for 12)))).*
    FROM tenancy.audit_logs l WHERE id = $1";

#[tokio::test]
async fn the_log_of_a_tenant_that_is_gone_can_be_held() {
    let kept = Kept::new().await;
    let house = &kept.house;
    record(house, &house.a, 2).await;
    seal_all(house, &kept.sealer, 2).await;
    let (tenant, holds) = (house.a.tenant(), LogHolds::new(house.db.operator.clone()));
    let refused = holds.place(tenant, "case 7").await.unwrap_err();
    assert_eq!(refused.code(), "audit_tenant_not_gone", "core holds it");
    let gone = "DELETE FROM tenancy.tenants WHERE id = $1";
    past_the_net(house, sqlx::query(gone).bind(tenant)).await;
    assert!(holds.place(tenant, "case 7").await.unwrap());
    assert!(!holds.place(tenant, "case 7").await.unwrap());
    let silent = holds.place(tenant, "").await.unwrap_err();
    assert_eq!(silent.code(), "audit_reference_invalid");
    let held = kept.retention.remove(&kept.all_of_a()).await.unwrap_err();
    assert_eq!(held.code(), "audit_held");
    assert!(holds.lift(tenant, "case 7").await.unwrap());
    assert!(!holds.lift(tenant, "case 7").await.unwrap());
    assert_eq!(kept.retention.remove(&kept.all_of_a()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_month_goes_as_a_whole_with_a_record_for_each_tenant() {
    let kept = Kept::new().await;
    let house = &kept.house;
    old_month(house).await;
    record(house, &house.a, 3).await;
    let month = NaiveDate::from_ymd_opt(2025, 3, 1).unwrap();
    seal_all(house, &kept.sealer, 7).await;
    let dropped = kept
        .retention
        .drop_month(month, "kept for 12 months")
        .await
        .unwrap();
    assert_eq!((dropped.tenants, dropped.entries), (2, 4));
    for (ctx, entries) in [(&house.a, 3), (&house.b, 0)] {
        let report = report(house, ctx, &kept.keys).await;
        assert!(report.is_intact(), "{:?}", report.findings);
        assert_eq!((report.removed, report.entries), (2, entries));
    }
    let again = kept.retention.drop_month(month, "again").await.unwrap_err();
    assert_eq!(again.code(), "audit_month_unknown");
    let recent = kept
        .retention
        .drop_month(Utc::now().date_naive(), "too early")
        .await
        .unwrap_err();
    assert_eq!(recent.code(), "audit_month_recent");
    let silent = kept.retention.drop_month(month, "").await.unwrap_err();
    assert_eq!(silent.code(), "audit_reason_invalid");
}

#[tokio::test]
async fn a_month_that_waits_for_its_seal_stays() {
    let kept = Kept::new().await;
    let house = &kept.house;
    record(house, &house.b, 1).await;
    seal_all(house, &kept.sealer, 1).await;
    old_month(house).await;
    let month = NaiveDate::from_ymd_opt(2025, 3, 1).unwrap();
    let waits = kept
        .retention
        .drop_month(month, "12 months")
        .await
        .unwrap_err();
    assert_eq!(waits.code(), "audit_month_unsealed");
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.audit_logs")
        .fetch_one(&house.superuser().await)
        .await
        .unwrap();
    assert_eq!(left, 5);
}

#[tokio::test]
async fn a_log_that_was_never_sealed_loses_a_month_without_a_record() {
    let kept = Kept::new().await;
    old_month(&kept.house).await;
    let month = NaiveDate::from_ymd_opt(2025, 3, 31).unwrap();
    let dropped = kept.retention.drop_month(month, "12 months").await.unwrap();
    assert_eq!(dropped.entries, 4);
}

#[tokio::test]
async fn what_a_stream_has_not_told_of_is_kept_for_it_and_not_for_ever() {
    let kept = Kept::new().await;
    let house = &kept.house;
    // Of all tenants, of one, and of another one.
    sqlx::raw_sql(
        "INSERT INTO tenancy.audit_streams (name, only_tenant, at_txid)
         SELECT 'siem', NULL::uuid, '0'::xid8 UNION ALL
         SELECT 'of_' || row_number() OVER (ORDER BY id), id, '0'::xid8 FROM tenancy.tenants",
    )
    .execute(&house.superuser().await)
    .await
    .unwrap();
    record(house, &house.a, 4).await;
    seal_all(house, &kept.sealer, 4).await;
    let error = kept.retention.remove(&kept.all_of_a()).await.unwrap_err();
    assert_eq!(error.code(), "audit_undelivered");
    assert!(error.to_string().contains("`siem` (4)"), "{error}");
    assert_eq!(house.entries(&house.a).await.len(), 4);

    // The streams tell of two.
    let told = "UPDATE tenancy.audit_streams s SET at_txid = l.txid, at_tenant = l.tenant_id, at_entry = l.id
        FROM (SELECT txid, tenant_id, id FROM tenancy.audit_logs ORDER BY txid, id OFFSET 1 LIMIT 1) l";
    sqlx::query(told)
        .execute(&house.superuser().await)
        .await
        .unwrap();
    let error = kept.retention.remove(&kept.all_of_a()).await.unwrap_err();
    assert!(error.to_string().contains("`siem` (2)"), "{error}");
    assert_eq!(house.entries(&house.a).await.len(), 2);
    let mut early = kept.all_of_a();
    early.before = Utc::now() - TimeDelta::hours(1);
    assert_eq!(kept.retention.remove(&early).await.unwrap(), 0);

    // One that stays away loses them, and somebody is told.
    let impatient = kept.retention.clone().with_stream_days(0);
    assert_eq!(impatient.remove(&kept.all_of_a()).await.unwrap(), 2);
    assert!(house.entries(&house.a).await.is_empty());
    let report = report(house, &house.a, &kept.keys).await;
    assert!(report.is_intact() && report.removed == 4);
}

#[tokio::test]
async fn a_stream_of_a_name_that_was_there_before_has_a_fence_of_its_own() {
    let house = House::new().await;
    let pool = house.db.worker.pool();
    let mut last = 0;
    for _ in 0..3 {
        sqlx::query("SELECT tenancy.audit_stream_open('siem', NULL, true)")
            .execute(pool)
            .await
            .unwrap();
        for _ in 0..2 {
            let fence: i64 = sqlx::query_scalar(
                "SELECT fence FROM tenancy.audit_stream_hold('siem', 0, 60) WHERE state = 'held'",
            )
            .fetch_one(pool)
            .await
            .unwrap();
            assert!(fence > last, "{fence} after {last}");
            last = fence;
            sqlx::query("SELECT tenancy.audit_stream_release('siem', $1)")
                .bind(fence)
                .execute(pool)
                .await
                .unwrap();
        }
        sqlx::query("SELECT tenancy.audit_stream_drop('siem')")
            .execute(pool)
            .await
            .unwrap();
    }
}
