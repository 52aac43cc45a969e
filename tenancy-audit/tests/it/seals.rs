//! Sealing: what is final, in an order that does not change, once.

use std::{sync::Arc, time::Duration};

use crate::support::House;
use tenancy_audit::{
    AuditEntryId, AuditProofs, Ed25519Signer, FileAnchor, InclusionProof, SealHead, SealKeys,
    SealOptions, Sealer,
};
use tenancy_core::{AuditSink as _, Event, TenantCtx, testing::FakeAuthorizer};

/// A key, and what verifies with it.
pub(crate) fn signer(name: &str) -> (Arc<Ed25519Signer>, SealKeys) {
    let key = Ed25519Signer::generate(name).unwrap();
    let signer = Ed25519Signer::parse(key.expose()).unwrap();
    let keys = SealKeys::new([signer.public_key()]);
    (Arc::new(signer), keys)
}

pub(crate) fn proofs(house: &House) -> AuditProofs {
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    AuditProofs::new(
        house.db.app.clone(),
        authorizer,
        Arc::new(house.audit.clone()),
    )
}

/// Seals until so many entries are sealed in all: transactions of other tests hold the horizon up.
pub(crate) async fn seal_all(house: &House, sealer: &Sealer, entries: i64) {
    let superuser = house.superuser().await;
    for _ in 0..600 {
        sealer.seal().await.unwrap();
        if sealed(&superuser).await >= entries {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{entries} entries are not sealed");
}

pub(crate) async fn sealed(superuser: &sqlx::PgPool) -> i64 {
    let sum = "SELECT coalesce(sum(entries), 0)::bigint FROM tenancy.audit_seals";
    sqlx::query_scalar(sum).fetch_one(superuser).await.unwrap()
}

pub(crate) async fn record(house: &House, ctx: &TenantCtx, count: usize) {
    let mut tx = house.db.app.write(ctx).await.unwrap();
    let events = (0..count)
        .map(|at| Event::new("thing.made").meta("at", at))
        .collect();
    house.audit.record_batch_in(&mut tx, events).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_commits_late_never_slips_behind_a_seal() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    record(&house, &house.a, 3).await;
    let mut early = house.db.app.write(&house.a).await.unwrap();
    house
        .audit
        .record_in(&mut early, Event::new("early.begun"))
        .await
        .unwrap();
    for _ in 0..5 {
        record(&house, &house.a, 2).await;
        record(&house, &house.b, 2).await;
        sealer.seal().await.unwrap();
    }
    let superuser = house.superuser().await;
    assert!(
        sealed(&superuser).await <= 3,
        "what began after a transaction that runs is not final"
    );
    early.commit().await.unwrap();
    seal_all(&house, &sealer, 24).await;
    assert_eq!(sealed(&superuser).await, 24, "each once");
    let proofs = proofs(&house);
    for ctx in [&house.a, &house.b] {
        for entry in house.entries(ctx).await {
            let proof = proofs.inclusion(ctx, entry.id).await.unwrap();
            assert!(proof.verify(&entry, &keys), "{}", entry.action);
        }
    }
    let dense: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT number, first_entry + entries - lead(first_entry, 1, first_entry + entries) OVER w
         FROM tenancy.audit_seals WINDOW w AS (PARTITION BY tenant_id ORDER BY number)",
    )
    .fetch_all(&superuser)
    .await
    .unwrap();
    assert!(dense.iter().all(|(_, gap)| *gap == 0), "{dense:?}");
}

#[tokio::test]
async fn a_transaction_that_was_rolled_back_leaves_nothing_and_holds_nothing_up() {
    let house = House::new().await;
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0);
    let mut lost = house.db.app.write(&house.a).await.unwrap();
    house
        .audit
        .record_in(&mut lost, Event::new("lost.begun"))
        .await
        .unwrap();
    record(&house, &house.a, 1).await;
    drop(lost);
    seal_all(&house, &sealer, 1).await;
    assert_eq!(sealed(&house.superuser().await).await, 1);
    let health = sealer.health().await.unwrap();
    assert_eq!(
        (health.waiting_since, health.sealing, health.restored),
        (None, true, false)
    );
    record(&house, &house.a, 1).await;
    assert!(sealer.health().await.unwrap().waiting_since.is_some());
}

#[tokio::test]
async fn many_sealers_seal_each_entry_once() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let options = SealOptions::default().with_batch(37);
    let sealers: Vec<_> = (0..4)
        .map(|_| Sealer::new(house.db.worker.clone(), signer.clone()).with_options(options.clone()))
        .collect();
    for _ in 0..10 {
        record(&house, &house.a, 60).await;
        record(&house, &house.b, 40).await;
        let (one, two, three, four) = tokio::join!(
            sealers[0].seal(),
            sealers[1].seal(),
            sealers[2].seal(),
            sealers[3].seal()
        );
        for done in [one, two, three, four] {
            done.unwrap();
        }
    }
    seal_all(&house, &sealers[0], 1_000).await;
    let superuser = house.superuser().await;
    assert_eq!(sealed(&superuser).await, 1_000);
    let twice: i64 = sqlx::query_scalar(
        "SELECT count(*) - count(DISTINCT (tenant_id, substr(ids, at * 16 + 1, 16)))
         FROM tenancy.audit_seals, generate_series(0, entries - 1) AS at",
    )
    .fetch_one(&superuser)
    .await
    .unwrap();
    assert_eq!(twice, 0);
    let report = crate::verify::report(&house, &house.a, &keys).await;
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.entries, 600);
}

#[tokio::test]
async fn a_sealer_that_died_in_the_middle_left_nothing() {
    let house = House::new().await;
    record(&house, &house.a, 5).await;
    let mut dying = house.db.worker.pool().begin().await.unwrap();
    for _ in 0..100 {
        let found: Vec<String> =
            sqlx::query_scalar("SELECT state FROM tenancy.audit_seal_begin(100)")
                .fetch_all(&mut *dying)
                .await
                .unwrap();
        if !found.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0);
    assert!(sealer.seal().await.unwrap().busy, "one at a time");
    drop(dying);
    seal_all(&house, &sealer, 5).await;
    assert_eq!(sealed(&house.superuser().await).await, 5);
}

#[tokio::test]
async fn keys_change_heads_are_anchored_and_the_log_is_consistent() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads");
    let anchor = Arc::new(FileAnchor::new(&path));
    let ((old, _), (new, _)) = (signer("old"), signer("new"));
    let keys = SealKeys::new([old.public_key(), new.public_key()]);
    for (round, signer) in [old, new].into_iter().enumerate() {
        let sealer = Sealer::new(house.db.worker.clone(), signer).with_anchor(anchor.clone());
        for some in 1..4 {
            record(&house, &house.a, 2).await;
            let expected = i64::try_from(round * 6 + some * 2).unwrap();
            seal_all(&house, &sealer, expected).await;
        }
    }
    let lines = std::fs::read_to_string(&path).unwrap();
    let heads: Vec<SealHead> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<u64> = heads.iter().map(|head| head.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(
        (
            heads[2].key.as_str(),
            heads[3].key.as_str(),
            heads[5].entries
        ),
        ("old", "new", 12)
    );
    let proofs = proofs(&house);
    for from in 1..=6 {
        let proof = proofs.consistency(&house.a, from, 6).await.unwrap();
        assert!(proof.verify(&keys), "{from}");
        assert_eq!(proof.from, heads[usize::try_from(from).unwrap() - 1]);
        let mut forged = proof;
        forged.from.log_root[0] ^= 1;
        assert!(!forged.verify(&keys));
    }
    assert_eq!(proofs.head(&house.a).await.unwrap().as_ref(), heads.last());
    let unknown = proofs.consistency(&house.a, 6, 7).await.unwrap_err();
    assert_eq!(unknown.code(), "audit_seal_unknown");
}

#[tokio::test]
async fn a_log_of_many_seals_is_consistent_from_each_to_each() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let options = SealOptions::default().with_batch(1);
    let sealer = Sealer::new(house.db.worker.clone(), signer).with_options(options);
    record(&house, &house.a, 45).await;
    record(&house, &house.b, 5).await;
    seal_all(&house, &sealer, 50).await;
    let proofs = proofs(&house);
    for (from, to) in (1..=45)
        .flat_map(|to| (1..=to).map(move |from| (from, to)))
        .step_by(7)
    {
        let proof = proofs.consistency(&house.a, from, to).await.unwrap();
        assert!(proof.verify(&keys), "{from} to {to}");
        assert!(proof.path.len() <= 7, "{}", proof.path.len());
    }
    for (from, to) in [(0, 5), (7, 5), (5, 46), (5, u64::MAX)] {
        let unknown = proofs.consistency(&house.a, from, to).await.unwrap_err();
        assert_eq!(unknown.code(), "audit_seal_unknown");
    }
}

#[tokio::test]
async fn a_proof_holds_for_its_entry_tenant_and_key_only() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    record(&house, &house.a, 5).await;
    record(&house, &house.b, 1).await;
    seal_all(&house, &sealer, 6).await;
    let (proofs, entries) = (proofs(&house), house.entries(&house.a).await);
    let proof = proofs.inclusion(&house.a, entries[0].id).await.unwrap();
    let text = serde_json::to_string(&proof).unwrap();
    let proof: InclusionProof = serde_json::from_str(&text).unwrap();
    assert!(proof.verify(&entries[0], &keys));
    assert!(!proof.verify(&entries[1], &keys));
    assert!(
        !proof.verify(&entries[0], &crate::seals::signer("one").1),
        "another key of this name"
    );
    let mut altered = entries[0].clone().into_record();
    altered.action = "thing.unmade".to_owned();
    altered.content_hash = altered.hash();
    assert!(!proof.verify(&altered, &keys), "with a hash that fits");
    for alter in [
        (|p: &mut InclusionProof| p.transaction += 1) as fn(&mut InclusionProof),
        |p| p.created_at += chrono::TimeDelta::microseconds(1),
        |p| p.index += 1,
        |p| p.path[0][0] ^= 1,
        |p| p.seal.count += 1,
        |p| p.seal.first += 1,
        |p| p.seal.log_root[0] ^= 1,
    ] {
        let mut altered = proof.clone();
        alter(&mut altered);
        assert!(!altered.verify(&entries[0], &keys));
    }
    for unknown in [AuditEntryId::new(), house.entries(&house.b).await[0].id] {
        let error = proofs.inclusion(&house.a, unknown).await.unwrap_err();
        assert_eq!(error.code(), "audit_entry_not_sealed");
    }
}

#[tokio::test]
async fn a_running_sealer_follows_and_stops_cleanly() {
    let house = House::new().await;
    let options = SealOptions::default().with_interval(Duration::from_millis(10));
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0).with_options(options);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        sealer.run(async { drop(stopped.await) }).await;
    });
    record(&house, &house.a, 3).await;
    let superuser = house.superuser().await;
    for _ in 0..600 {
        if sealed(&superuser).await == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sealed(&superuser).await, 3);
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(sealed(&superuser).await, 3);
}

#[tokio::test]
async fn in_another_cluster_sealing_stops_with_a_reason() {
    let house = House::new().await;
    record(&house, &house.a, 1).await;
    let moved = "UPDATE tenancy.audit_sealer SET cluster = cluster + 1";
    sqlx::query(moved)
        .execute(&house.superuser().await)
        .await
        .unwrap();
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0);
    assert_eq!(
        sealer.seal().await.unwrap_err().code(),
        "audit_log_restored"
    );
    assert!(sealer.health().await.unwrap().restored);
}

#[tokio::test]
async fn the_app_reads_its_own_seals_and_changes_none() {
    let house = House::new().await;
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0);
    record(&house, &house.a, 1).await;
    record(&house, &house.b, 1).await;
    seal_all(&house, &sealer, 2).await;
    assert_eq!(
        house
            .as_app(&house.a, "SELECT * FROM tenancy.audit_seals")
            .await,
        Ok(1)
    );
    for attack in [
        "UPDATE tenancy.audit_seals SET first_entry = 7",
        "DELETE FROM tenancy.audit_seals",
        "DELETE FROM tenancy.audit_removals",
        "INSERT INTO tenancy.audit_removals SELECT tenant_id, id, '{1,1}', 'x', now(), 'k', decode(repeat('00', 64), 'hex') FROM tenancy.audit_logs",
        "SELECT * FROM tenancy.audit_sealer",
        "SELECT * FROM tenancy.audit_seal_begin(1)",
        "SELECT * FROM tenancy.audit_seal_health()",
        "SELECT tenancy.audit_is_held(util.current_tenant())",
        "SELECT tenancy.audit_hold(util.current_tenant(), 'x', false)",
        "SELECT tenancy.audit_erase_details(util.current_tenant(), '{}', '{}', '{}')",
        "SELECT tenancy.audit_lock_month('2020-01-01')",
        "SELECT tenancy.audit_take_told(util.current_tenant(), NULL, now(), now(), 1)",
        "SELECT tenancy.audit_drop_month('2020-01-01')",
    ] {
        assert_eq!(
            house.as_app(&house.a, attack).await,
            Err("42501".to_owned()),
            "{attack}"
        );
    }
    let worker = house.db.worker.pool();
    for attack in [
        "SELECT tenancy.audit_take_told(gen_random_uuid(), NULL, now(), now(), 1)",
        "SELECT * FROM tenancy.audit_seals",
        "DELETE FROM tenancy.audit_logs",
    ] {
        let refused = sqlx::query(attack).execute(worker).await.unwrap_err();
        assert_eq!(crate::support::sqlstate(&refused), "42501", "{attack}");
    }
}

#[tokio::test]
async fn the_second_net_holds_against_a_login_with_grants() {
    let house = House::new().await;
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0);
    record(&house, &house.a, 1).await;
    seal_all(&house, &sealer, 1).await;
    let superuser = house.superuser().await;
    let attacks = [
        "UPDATE tenancy.audit_logs SET action = 'nothing.happened'",
        "DELETE FROM tenancy.audit_logs",
        "TRUNCATE tenancy.audit_logs",
        "UPDATE tenancy.audit_seals SET first_entry = 7",
        "DELETE FROM tenancy.audit_seals",
        "TRUNCATE tenancy.audit_seals",
        "TRUNCATE tenancy.audit_removals",
    ];
    for attack in attacks {
        let refused = sqlx::query(attack).execute(&superuser).await.unwrap_err();
        assert_eq!(crate::support::sqlstate(&refused), "42501", "{attack}");
    }
    let this_month: String =
        sqlx::query_scalar("SELECT tableoid::regclass::text FROM tenancy.audit_logs")
            .fetch_one(&superuser)
            .await
            .unwrap();
    tenancy_audit::Partitions::of_worker(house.db.worker.clone())
        .make(14)
        .await
        .unwrap();
    let partitions: Vec<String> = sqlx::query_scalar(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'tenancy.audit_logs'::regclass",
    )
    .fetch_all(&superuser)
    .await
    .unwrap();
    assert!(
        partitions.len() >= 17,
        "with two that were made later: {partitions:?}"
    );
    for partition in partitions {
        let attack: &'static str = format!("TRUNCATE {partition}").leak();
        let refused = sqlx::query(attack).execute(&superuser).await.unwrap_err();
        assert_eq!(crate::support::sqlstate(&refused), "42501", "{attack}");
    }
    house
        .as_owner("DROP TRIGGER audit_append_only ON tenancy.audit_logs")
        .await;
    let done = sqlx::query(attacks[0]).execute(&superuser).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "without it the attack succeeds");
    let net: &'static str = format!("DROP TRIGGER audit_append_only_all ON {this_month}").leak();
    house.as_owner(net).await;
    let attack: &'static str = format!("TRUNCATE {this_month}").leak();
    sqlx::query(attack).execute(&superuser).await.unwrap();
    assert_eq!(
        house.entries(&house.a).await.len(),
        0,
        "and so does this one"
    );
}
