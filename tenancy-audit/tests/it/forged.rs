//! What no known key signed proves nothing to whoever removes entries, or erases details of them.

use chrono::{DateTime, NaiveDate};

use crate::{
    retention::{Kept, old_month, past_the_net},
    seals::{record, seal_all, signer},
};
use tenancy_audit::{DetailRule, Retention};

fn march() -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 3, 1).unwrap()
}

/// Nothing of A's log is removed or erased, and it is told why.
async fn refuses_all(kept: &Kept, retention: &Retention, why: &str) {
    let house = &kept.house;
    let before = house.entries(&house.a).await;
    let newest = DetailRule::new(house.a.tenant(), [before[0].id], "asked for");
    let removed = retention.remove(&kept.all_of_a()).await;
    let dropped = retention.drop_month(march(), "24 months").await;
    let erased = retention.erase_details(&newest).await;
    for refused in [removed.map(drop), dropped.map(drop), erased.map(drop)] {
        let refused = refused.map_err(|error| error.code());
        assert_eq!(refused, Err("audit_removal_unproven"), "{why}");
    }
    assert_eq!(house.entries(&house.a).await, before, "{why}");
}

#[tokio::test]
async fn a_seal_that_no_known_key_signed_proves_no_entry() {
    for set in [
        "signature = sha256('x') || sha256('y')",
        "signature = decode(repeat('00', 64), 'hex')",
        // A key that nobody knows.
        "key_name = 'two'",
        // Signed for what the log was with one seal less.
        "log_root = previous",
    ] {
        let kept = Kept::new().await;
        let house = &kept.house;
        old_month(house).await;
        record(house, &house.a, 2).await;
        seal_all(house, &kept.sealer, 6).await;
        let sql: &'static str =
            format!("UPDATE tenancy.audit_seals SET {set} WHERE tenant_id = $1").leak();
        past_the_net(house, sqlx::query(sql).bind(house.a.tenant())).await;
        refuses_all(&kept, &kept.retention, set).await;
    }
}

#[tokio::test]
async fn a_seal_of_another_key_of_the_same_name_proves_no_entry() {
    let kept = Kept::new().await;
    let house = &kept.house;
    old_month(house).await;
    record(house, &house.a, 2).await;
    seal_all(house, &kept.sealer, 6).await;
    let (other, keys) = signer("one");
    let strangers = Retention::new(house.db.operator.clone(), other, keys);
    refuses_all(&kept, &strangers, "signed by somebody else").await;
    assert_eq!(kept.retention.remove(&kept.all_of_a()).await.unwrap(), 4);
}

/// What somebody makes of A's removal who has the database and no key.
const FORGED: [&str; 7] = [
    "UPDATE tenancy.audit_removals SET signature = sha256('x') || sha256('y') WHERE tenant_id = $1",
    "UPDATE tenancy.audit_removals SET key_name = 'two' WHERE tenant_id = $1",
    "UPDATE tenancy.audit_removals SET ranges = ranges || '{3,3}' WHERE tenant_id = $1",
    "UPDATE tenancy.audit_removals SET reason = 'another' WHERE tenant_id = $1",
    "UPDATE tenancy.audit_removals SET removed_at = removed_at + interval '1 s' WHERE tenant_id = $1",
    // Another tenant's, which names the same place.
    "UPDATE tenancy.audit_removals r SET (id, ranges, reason, removed_at, key_name, signature) =
         (SELECT o.id, o.ranges, o.reason, o.removed_at, o.key_name, o.signature
          FROM tenancy.audit_removals o WHERE o.tenant_id <> $1)
     WHERE r.tenant_id = $1",
    "DELETE FROM tenancy.audit_removals WHERE tenant_id = $1",
];

#[tokio::test]
async fn a_gap_in_a_month_is_explained_only_by_a_removal_that_was_signed_for_it() {
    let kept = Kept::new().await;
    let house = &kept.house;
    old_month(house).await;
    seal_all(house, &kept.sealer, 4).await;
    for ctx in [&house.a, &house.b] {
        // The first of two, which is a millisecond older.
        let mut first = kept.all_of_a();
        first.tenant = ctx.tenant();
        first.before = DateTime::from_timestamp_millis(0x0195_6000_0002).unwrap();
        assert_eq!(kept.retention.remove(&first).await.unwrap(), 1);
    }
    let plain = |sql: &'static str| past_the_net(house, sqlx::query(sql));
    plain("CREATE TABLE public.kept AS SELECT * FROM tenancy.audit_removals").await;
    for forged in FORGED {
        past_the_net(house, sqlx::query(forged).bind(house.a.tenant())).await;
        let refused = kept.retention.drop_month(march(), "24 months").await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), "audit_removal_unproven", "{forged}");
        let why = "are gone without a removal";
        assert!(refused.to_string().contains(why), "{forged}: {refused}");
        plain("DELETE FROM tenancy.audit_removals").await;
        plain("INSERT INTO tenancy.audit_removals SELECT * FROM public.kept").await;
    }
    let dropped = kept.retention.drop_month(march(), "24 months").await;
    assert_eq!(dropped.unwrap().entries, 2);
}
