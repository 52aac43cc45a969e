//! An entry's id says when it was made, by the writer's clock: it may not be far from the database's.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    seals::record,
    support::{House, sqlstate},
};
use tenancy_audit::{AuditEntryId, AuditStore as _, Error, ErrorKind};

/// An id of this instant.
fn id_at(at: DateTime<Utc>, random: Uuid) -> AuditEntryId {
    let millis = u128::try_from(at.timestamp_millis()).unwrap();
    let random = random.as_u128() & ((1 << 80) - 1);
    AuditEntryId::from_uuid(Uuid::from_u128(millis << 80 | random))
}

/// What a writer is told whose clock is wrong by so much.
async fn appended(house: &House, wrong: TimeDelta) -> Result<(), Error> {
    let mut record = house.entries(&house.a).await.remove(0).into_record();
    record.id = id_at(Utc::now() + wrong, record.id.as_uuid());
    record.content_hash = record.hash();
    let appended = house.store().append(&house.a, &[record.into()]).await;
    appended.map(drop)
}

#[tokio::test]
async fn a_writer_whose_clock_is_days_off_is_told_so() {
    let house = House::new().await;
    record(&house, &house.a, 1).await;
    for right in [
        TimeDelta::hours(-23),
        TimeDelta::zero(),
        TimeDelta::hours(23),
    ] {
        appended(&house, right).await.unwrap();
    }
    for wrong in [-400, -2, 2, 400] {
        let refused = appended(&house, TimeDelta::days(wrong)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ClockSkew, "{wrong} days");
        assert_eq!(refused.code(), "audit_clock_skew");
        assert!(!refused.retry().is_retryable());
    }
    assert_eq!(house.entries(&house.a).await.len(), 4);
}

/// To the millisecond, and for ids of another version, too.
#[tokio::test]
async fn an_id_is_within_a_day_of_the_time_at_which_it_was_stored() {
    const DAY: i64 = 86_400_000;
    let house = House::new().await;
    record(&house, &house.a, 1).await;
    let superuser = house.superuser().await;
    let at = DateTime::from_timestamp_millis(Utc::now().timestamp_millis()).unwrap();
    let insert = "INSERT INTO tenancy.audit_logs (tenant_id, id, actor_user_id, actor_kind, actor_id, action, outcome,
            schema_version, content_hash, created_at)
        SELECT tenant_id, $1, actor_user_id, actor_kind, actor_id, action, outcome, schema_version, content_hash, $2
        FROM tenancy.audit_logs LIMIT 1";
    let stored = async |id: Uuid, created: DateTime<Utc>| {
        let inserted = sqlx::query(insert).bind(id).bind(created);
        let inserted = inserted.execute(&superuser).await;
        inserted.map(drop).map_err(|error| sqlstate(&error))
    };
    let of = |offset: i64, random: u128| {
        let random = Uuid::from_u128(7 << 76 | random);
        id_at(at + TimeDelta::milliseconds(offset), random).as_uuid()
    };
    let (lowest, highest) = (0, (1 << 76) - 1);
    for (offset, random) in [(-DAY, lowest), (0, lowest), (0, highest), (DAY, highest)] {
        let done = stored(of(offset, random), at).await;
        assert_eq!(done, Ok(()), "{offset} ms");
    }
    // Whatever the microseconds are.
    let late = at + TimeDelta::microseconds(999);
    assert_eq!(stored(of(1, lowest), late).await, Ok(()));
    let refused = Err("23514".to_owned());
    for (offset, random) in [(-DAY - 2, highest), (DAY + 2, lowest), (30 * DAY, lowest)] {
        let done = stored(of(offset, random), at).await;
        assert_eq!(done, refused, "{offset} ms");
    }
    let long_ago = at - TimeDelta::days(40_000);
    assert_eq!(stored(of(0, lowest + 1), long_ago).await, refused);
    let of_version_4 = Uuid::from_u128(of(0, lowest).as_u128() ^ 3 << 76);
    assert_eq!(of_version_4.get_version_num(), 4);
    assert_eq!(stored(of_version_4, at).await, refused);
}
