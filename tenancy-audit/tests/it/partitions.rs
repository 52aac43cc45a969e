//! Months are made ahead of time, by whoever is asked to.

use crate::{seals::signer, support::House};
use tenancy_audit::{COMPONENT, MonthMade, PartitionState, Partitions, Sealer};
use tenancy_core::{AuditSink as _, Event};

#[tokio::test]
async fn entries_go_to_their_month_and_the_default_partition_stays_empty() {
    let house = House::new().await;
    house
        .audit
        .record(&house.a, Event::new("thing.made"))
        .await
        .unwrap();
    let partitions = Partitions::of_worker(house.db.worker.clone())
        .list()
        .await
        .unwrap();
    assert!(
        partitions.len() >= 15,
        "last month, this one, twelve to come, and the default"
    );
    let default = partitions.last().unwrap();
    assert_eq!((default.is_default, default.bytes), (true, 0));
    assert_eq!(default.month, None);
    let filled: Vec<_> = partitions
        .iter()
        .filter(|p| p.bytes > 0)
        .map(|p| p.name.as_str())
        .collect();
    assert_eq!(
        filled,
        [chrono::Utc::now().format("audit_logs_y%Ym%m").to_string()]
    );
}

#[tokio::test]
async fn worker_and_operator_make_more_months_and_making_twice_changes_nothing() {
    let house = House::new().await;
    let worker = Partitions::of_worker(house.db.worker.clone());
    let operator = Partitions::of_operator(house.db.operator.clone());
    let count = |months: &[MonthMade], state| {
        let such = months.iter().filter(|made| made.state == state);
        such.count()
    };
    let before = worker.list().await.unwrap().len();
    let (one, two) = tokio::join!(worker.make(15), operator.make(15));
    let (one, two) = (one.unwrap(), two.unwrap());
    let made = count(&one, PartitionState::Made) + count(&two, PartitionState::Made);
    assert!(made >= 3, "{one:?} {two:?}");
    assert_eq!(worker.list().await.unwrap().len(), before + made);
    let again = worker.make(15).await.unwrap();
    assert_eq!(count(&again, PartitionState::There), 17);
    let listed = worker.list().await.unwrap();
    let months = listed.iter().filter_map(|partition| partition.month);
    let asked = again.iter().map(|made| made.month);
    assert!(months.eq(asked), "each by its month, oldest first");

    let attack = "SELECT * FROM tenancy.audit_logs_default";
    assert_eq!(
        house.as_app(&house.a, attack).await,
        Err("42501".to_owned())
    );
    let unprotected: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE inhparent = 'tenancy.audit_logs'::regclass
           AND NOT (relrowsecurity AND relforcerowsecurity AND coalesce(relacl::text, '') !~ 'tenancy_app|tenancy_worker')",
    )
    .fetch_one(&house.superuser().await)
    .await
    .unwrap();
    assert_eq!(unprotected, 0);
}

#[tokio::test]
async fn a_month_with_entries_in_the_default_partition_is_named_and_stops_no_other() {
    let house = House::new().await;
    house
        .audit
        .record(&house.a, Event::new("thing.made"))
        .await
        .unwrap();
    let this_month = chrono::Utc::now().format("audit_logs_y%Ym%m").to_string();
    let detach: &'static str =
        format!("ALTER TABLE tenancy.audit_logs DETACH PARTITION tenancy.{this_month}; ALTER TABLE tenancy.{this_month} RENAME TO parked").leak();
    house.as_owner(detach).await;
    house
        .audit
        .record(&house.a, Event::new("thing.made"))
        .await
        .unwrap();
    let partitions = Partitions::of_worker(house.db.worker.clone());
    let made = partitions.make(13).await.unwrap();
    let state = |name: &str| {
        made.iter()
            .find(|made| made.name == name)
            .map(|made| made.state)
    };
    assert_eq!(state(&this_month), Some(PartitionState::Blocked));
    assert_eq!(made.last().unwrap().state, PartitionState::Made);
    assert!(
        partitions.list().await.unwrap().last().unwrap().bytes > 0,
        "and can be watched"
    );
    assert_eq!(house.entries(&house.a).await.len(), 1, "the log works on");
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0);
    assert!(
        sealer.health().await.unwrap().stray_entries,
        "and health says so"
    );
}

#[tokio::test]
async fn nothing_refers_to_the_log_and_entries_outlive_user_and_tenant() {
    let house = House::new().await;
    house
        .audit
        .record(&house.a, Event::new("thing.made"))
        .await
        .unwrap();
    let superuser = house.superuser().await;
    let keys: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f'
         AND (conrelid = 'tenancy.audit_logs'::regclass OR confrelid = 'tenancy.audit_logs'::regclass)",
    )
    .fetch_one(&superuser)
    .await
    .unwrap();
    assert_eq!(keys, 0);
    for sql in [
        "DELETE FROM tenancy.memberships",
        "DELETE FROM tenancy.tenants",
    ] {
        sqlx::query(sql).execute(&superuser).await.unwrap();
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.audit_logs")
        .fetch_one(&superuser)
        .await
        .unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn the_component_names_what_it_needs() {
    assert_eq!(COMPONENT.requires, ["core"]);
    assert_eq!(COMPONENT.permissions.len(), 2);
    let house = House::new().await;
    house.db.app.verify(&[&COMPONENT]).await.unwrap();
}
