//! A log of any size is adopted, sealed or not.

use chrono::NaiveDate;

use crate::{
    adoption::Moved,
    retention::old_month,
    seals::{record, seal_all, sealed, signer},
    support::House,
    verify::report,
};
use tenancy_audit::{Adopter, AuditQuery, ExportFormat, Fault, Retention, SealOptions, Sealer};

/// As in a cluster that had counted much further than this one when the entries were made that are not sealed.
const MOVED: &str = "SET LOCAL session_replication_role = replica;
    UPDATE tenancy.audit_logs l SET txid = ((l.txid::text::bigint + 4000000000000)::text)::xid8
    FROM tenancy.audit_sealer s WHERE (l.txid, l.tenant_id, l.id) > (s.at_txid, s.at_tenant, s.at_entry);
    UPDATE tenancy.audit_sealer SET cluster = cluster + 1, at_txid = CASE WHEN at_txid = '0' THEN at_txid
        ELSE ((at_txid::text::bigint + 4000000000000)::text)::xid8 END";

async fn move_away(house: &House) {
    let mut tx = house.superuser().await.begin().await.unwrap();
    sqlx::raw_sql(MOVED).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_no_seal_holds_is_read_in_pages_and_sealed_once() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer.clone());
    record(&house, &house.a, 5).await;
    record(&house, &house.b, 1).await;
    seal_all(&house, &sealer, 6).await;
    // Some bear the numbers of the old cluster, others those of this one, which lie below.
    record(&house, &house.a, 3).await;
    move_away(&house).await;
    for _ in 0..3 {
        record(&house, &house.a, 3).await;
        record(&house, &house.b, 2).await;
    }
    let adopter = Adopter::new(house.db.operator.clone(), signer, keys.clone());
    let done = adopter.with_batch(2).adopt("restored").await.unwrap();
    assert!(done.sealing);
    assert_eq!((done.tenants, done.entries), (2, 18));
    record(&house, &house.a, 1).await;
    record(&house, &house.b, 1).await;
    seal_all(&house, &sealer, 26).await;
    for (ctx, sealed, loose, seals) in [(&house.a, 18, 12, 1), (&house.b, 8, 6, 1)] {
        let report = report(&house, ctx, &keys).await;
        assert!(report.is_intact(), "{:?}", report.findings);
        let adoption = &report.adoptions[0];
        assert_eq!((report.entries, report.adoptions.len()), (sealed, 1));
        assert_eq!(
            (adoption.loose, adoption.seals),
            (loose, seals),
            "as it stood before"
        );
    }
}

#[tokio::test]
async fn what_a_sealer_had_still_before_it_is_sealed_however_old_it_is() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    // Months of before anybody sealed, of which a sealer has come through the first entry.
    record(&house, &house.a, 1).await;
    let superuser = house.superuser().await;
    let mut early = superuser.begin().await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()")
        .execute(&mut *early)
        .await
        .unwrap();
    old_month(&house).await;
    record(&house, &house.a, 3).await;
    let sealer = Sealer::new(house.db.worker.clone(), signer.clone());
    seal_all(&house, &sealer, 1).await;
    assert_eq!(sealed(&superuser).await, 1);
    early.rollback().await.unwrap();
    move_away(&house).await;
    // What somebody put in where the sealer has been is no part of it.
    let put_in =
        "INSERT INTO tenancy.audit_logs SELECT (jsonb_populate_record(l, jsonb_build_object(
             'id', '01956000-0009-7000-8000-000000000001', 'txid', '3'))).*
         FROM tenancy.audit_logs l ORDER BY l.txid DESC LIMIT 1";
    let mut tx = superuser.begin().await.unwrap();
    sqlx::raw_sql("SET LOCAL session_replication_role = replica")
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::raw_sql(put_in).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let adopter = Adopter::new(house.db.operator.clone(), signer, keys.clone());
    let done = adopter.adopt("restored").await.unwrap();
    assert_eq!((done.tenants, done.entries), (2, 7));
    let unsealed: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM tenancy.audit_logs l WHERE NOT EXISTS (SELECT FROM tenancy.audit_seals s
         WHERE s.tenant_id = l.tenant_id AND position(uuid_send(l.id) IN s.ids) > 0)",
    )
    .fetch_one(&superuser)
    .await
    .unwrap();
    assert_eq!(unsealed, 1);
    record(&house, &house.a, 1).await;
    seal_all(&house, &sealer, 9).await;
    let report = report(&house, &house.a, &keys).await;
    let [found] = &report.findings[..] else {
        panic!("{:?}", report.findings)
    };
    assert_eq!(found.fault, Fault::EntryUnsealed);
}

/// How many rows of the log and of its seals it reads, one after the other and by an index, to begin an adoption.
async fn read_to_begin(house: &House) -> (bool, i64, i64) {
    let mut owner = house.db.operator.owner().await.unwrap();
    let begun = sqlx::query_scalar("SELECT begun FROM tenancy.audit_adopt_start()")
        .fetch_one(&mut *owner)
        .await
        .unwrap();
    let (all, by_index): (i64, i64) = sqlx::query_as(
        "SELECT sum(seq_tup_read)::bigint, sum(idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables
         WHERE schemaname = 'tenancy' AND relname ~ '^audit_(logs|seals)'",
    )
    .fetch_one(&mut *owner)
    .await
    .unwrap();
    (begun, all, by_index)
}

#[tokio::test]
async fn to_begin_no_more_is_read_than_what_the_sealer_had_still_before_it() {
    let house = House::new().await;
    for _ in 0..20 {
        record(&house, &house.a, 1_000).await;
    }
    assert_eq!(read_to_begin(&house).await, (false, 0, 0));
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0);
    seal_all(&house, &sealer, 20_000).await;
    record(&house, &house.a, 5).await;
    // Nobody has vacuumed or analysed what a restore just wrote.
    let (begun, all, by_index) = read_to_begin(&house).await;
    assert!(begun);
    assert_eq!(all, 0);
    assert!((5..50).contains(&by_index), "{by_index}");
}

#[tokio::test]
async fn one_old_entry_makes_nobody_read_all_that_was_sealed_since() {
    let house = House::new().await;
    old_month(&house).await;
    let tenant = house.a.tenant();
    let copies = |entries: &str| {
        format!(
            "SET LOCAL session_replication_role = replica;
             INSERT INTO tenancy.audit_logs SELECT (jsonb_populate_record(o.l, jsonb_build_object('id',
                 ('01956001-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'txid', pg_current_xact_id()::text))).*
             FROM (SELECT l FROM tenancy.audit_logs l WHERE tenant_id = '{tenant}' LIMIT 1) o, generate_series({entries}) n"
        )
    };
    let superuser = house.superuser().await;
    let insert = async |entries: &str| {
        let mut tx = superuser.begin().await.unwrap();
        let sql = sqlx::AssertSqlSafe(copies(entries));
        sqlx::raw_sql(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    insert("1, 5000").await;
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0);
    let sealer = sealer.with_options(SealOptions::default().with_batch(250));
    seal_all(&house, &sealer, 5_004).await;
    insert("0, 0").await;
    record(&house, &house.a, 1).await;
    let mut owner = house.db.operator.owner().await.unwrap();
    let found: Vec<i32> = sqlx::query_scalar(
        "SELECT octet_length(p.records) FROM tenancy.audit_adopt_start() s CROSS JOIN LATERAL (
             SELECT * FROM tenancy.audit_adopt_page(s.oldest, s.recent, s.at_txid, s.at_tenant, s.at_entry, 100)
             UNION ALL SELECT * FROM tenancy.audit_adopt_page(s.recent, NULL, '0', $1, $1, 100)) p",
    )
    .bind(uuid::Uuid::nil())
    .fetch_all(&mut *owner)
    .await
    .unwrap();
    let record = 16 + 32 + 8 + 8;
    assert_eq!(found, [record, record]);
    let read: Vec<i64> = sqlx::query_scalar(
        "SELECT sum(s.seq_tup_read + coalesce(s.idx_tup_fetch, 0))::bigint FROM pg_stat_xact_all_tables s
         WHERE s.schemaname = 'tenancy' AND s.relname ~ '^audit_logs'
             OR s.relid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'tenancy.audit_seals'::regclass)
         GROUP BY s.schemaname ORDER BY s.schemaname DESC",
    )
    .fetch_all(&mut *owner)
    .await
    .unwrap();
    let [of_log, of_what_seals_hold] = read[..] else {
        panic!("{read:?}")
    };
    assert!((1..20).contains(&of_log), "{read:?}");
    // One seal reaches over it, of twenty.
    assert!(of_what_seals_hold < 500, "{read:?}");
}

#[tokio::test]
async fn a_page_has_no_more_than_it_is_asked_for_and_passes_over_what_is_sealed() {
    let house = House::new().await;
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0);
    record(&house, &house.a, 6).await;
    seal_all(&house, &sealer, 6).await;
    record(&house, &house.a, 5).await;
    let mut owner = house.db.operator.owner().await.unwrap();
    let (mut behind, mut pages) = (
        ("0".to_owned(), uuid::Uuid::nil(), uuid::Uuid::nil()),
        vec![],
    );
    loop {
        let page: Option<(String, uuid::Uuid, uuid::Uuid, i32)> = sqlx::query_as(
            "SELECT to_txid, to_tenant, to_entry, coalesce(octet_length(records), 0)
             FROM tenancy.audit_adopt_page($4, NULL, $1, $2, $3, 4)",
        )
        .bind(behind.0)
        .bind(behind.1)
        .bind(behind.2)
        .bind(uuid::Uuid::nil())
        .fetch_optional(&mut *owner)
        .await
        .unwrap();
        let Some((txid, tenant, entry, bytes)) = page else {
            break;
        };
        behind = (txid, tenant, entry);
        pages.push(bytes / 64);
    }
    assert_eq!(pages, [0, 2, 3]);
}

#[tokio::test]
async fn a_log_that_was_never_sealed_goes_on_and_is_sealed_by_whoever_begins_to() {
    let house = House::new().await;
    old_month(&house).await;
    record(&house, &house.a, 3).await;
    move_away(&house).await;
    let (signer, keys) = signer("one");
    let all = AuditQuery::new();
    let refused = house.log.export(&house.a, &all, ExportFormat::Ndjson).await;
    assert_eq!(refused.unwrap_err().code(), "audit_log_restored");

    let operator = house.db.operator.clone();
    let adopter = Adopter::new(operator.clone(), signer.clone(), keys.clone());
    let done = adopter.adopt("upgraded").await.unwrap();
    assert!(!done.sealing);
    assert_eq!((done.tenants, done.entries), (0, 0));
    let sealer = Sealer::new(house.db.worker.clone(), signer.clone());
    let health = sealer.health().await.unwrap();
    assert!(!health.restored && !health.sealing);
    record(&house, &house.a, 2).await;
    let mut export = house
        .log
        .export(&house.a, &all, ExportFormat::Ndjson)
        .await
        .unwrap();
    let lines = export.next_lines().await.unwrap().unwrap();
    assert_eq!(lines.lines().count(), 7, "{lines}");
    // Nobody has to begin to seal to be rid of a month.
    let march = NaiveDate::from_ymd_opt(2025, 3, 1).unwrap();
    let retention = Retention::new(operator, signer, keys.clone());
    let dropped = retention.drop_month(march, "12 months").await.unwrap();
    assert_eq!(dropped.entries, 4);

    // Five of A's, and the one that says that they were exported.
    seal_all(&house, &sealer, 6).await;
    record(&house, &house.a, 1).await;
    seal_all(&house, &sealer, 7).await;
    let report = report(&house, &house.a, &keys).await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!((report.entries, report.adoptions.len()), (7, 0));
}

#[tokio::test]
async fn seals_that_an_anchor_knew_are_lost_also_where_the_log_has_none_left() {
    let moved = Moved::new().await;
    for all in [2, 4] {
        record(&moved.house, &moved.house.a, 2).await;
        seal_all(&moved.house, &moved.sealer, all).await;
    }
    // A backup from before the first of them.
    let restore = "DELETE FROM tenancy.audit_logs; DELETE FROM tenancy.audit_seals; DELETE FROM tenancy.audit_anchored;
        UPDATE tenancy.audit_sealer SET at_txid = '0', at_tenant = '00000000-0000-0000-0000-000000000000',
            at_entry = '00000000-0000-0000-0000-000000000000'";
    moved.as_superuser(restore).await;
    let adopter = moved
        .adopter()
        .with_anchor(&*moved.anchored())
        .await
        .unwrap();
    let done = adopter.adopt("restored").await.unwrap();
    assert_eq!(done.lost, [(moved.house.a.tenant(), 2)]);
    assert_eq!((done.sealing, done.tenants), (false, 1));
    for all in [2, 4, 6] {
        record(&moved.house, &moved.house.a, 2).await;
        seal_all(&moved.house, &moved.sealer, all).await;
    }
    let report = moved.report().await;
    assert!(report.is_intact(), "{:?}", report.findings);
    let adoption = &report.adoptions[0];
    assert_eq!((adoption.seals, adoption.lost), (0, 2));
    moved
        .as_superuser("DELETE FROM tenancy.audit_adoptions")
        .await;
    let found = moved.report().await;
    let differs = |fault: &Fault| matches!(fault, Fault::AnchorDiffers | Fault::AnchorForked);
    assert!(found.findings.iter().any(|found| differs(&found.fault)));
}
