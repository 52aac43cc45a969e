//! Random changes of a log's file, and of the database: each is found, and found where it was made.

use std::collections::BTreeMap;

use crate::{
    mutating::{KINDS, mutate},
    proof_files::{Dice, Files, of_kind, restore},
    seals::{record, seal_all, sealed, signer},
    support::House,
    verify::{export, report},
};
use tenancy_audit::{AuditEntryId, Fault, Finding, Sealer, Verifier};
use tenancy_core::{AuditSink as _, Event};

#[tokio::test]
async fn random_mutations_are_found_where_they_were_made() {
    let files = Files::lived().await;
    let whole = files.verify(&files.ours);
    assert!(whole.is_intact(), "{:?}", whole.findings);
    assert_eq!((whole.removed, whole.adoptions.len()), (4, 1));
    assert!(whole.erased >= 1);
    let given = |name| {
        std::env::var(name)
            .ok()
            .and_then(|given| given.parse().ok())
    };
    let seed = given("TENANCY_SEED").unwrap_or((u64::from(std::process::id()) * 0x9e37_79b9) | 1);
    let rounds = given("TENANCY_MUTATIONS").unwrap_or(500);
    println!("seed {seed}, {rounds} mutations");
    let (mut dice, mut done) = (Dice(seed), 0);
    let mut drawn = BTreeMap::<&str, u64>::new();
    while done < rounds {
        let mut lines = files.ours.clone();
        let Some(mutation) = mutate(&mut dice, &files, &mut lines) else {
            continue;
        };
        if lines == files.ours {
            continue;
        }
        done += 1;
        *drawn.entry(mutation.kind).or_default() += 1;
        let Ok(report) = files.try_verify(&lines) else {
            assert_eq!(
                mutation.kind, "edit of the head",
                "only the first line makes it no file"
            );
            continue;
        };
        if let Err(wrong) = mutation.judge(&report) {
            let found = &report.findings;
            panic!(
                "{} {wrong} (seed {seed}, {done}): {mutation:?} {found:?}",
                mutation.kind
            );
        }
    }
    println!("{drawn:?}");
    if rounds >= 500 {
        assert!(
            drawn.keys().eq(&KINDS),
            "not each kind was drawn: {drawn:?}"
        );
    }
}

#[tokio::test]
async fn a_seal_of_another_history_does_not_follow() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    for all in [2, 4] {
        record(&house, &house.a, 2).await;
        seal_all(&house, &sealer, all).await;
    }
    let lines = |file: Vec<u8>| -> Vec<String> {
        let file = String::from_utf8(file).unwrap();
        file.lines().map(ToOwned::to_owned).collect()
    };
    let before = lines(export(&house, &house.a).await);
    // The second seal is made anew over other entries, and a third one follows that.
    restore(&house, house.a.tenant()).await;
    for _ in 0..2 {
        let all = sealed(&house.superuser().await).await;
        record(&house, &house.a, 2).await;
        seal_all(&house, &sealer, all + 2).await;
    }
    let after = lines(export(&house, &house.a).await);
    let verify = |lines: &[String]| {
        let verifier = Verifier::new(house.a.tenant(), keys.clone());
        verifier.verify(lines.join("\n").as_bytes()).unwrap()
    };
    assert!(verify(&before).is_intact() && verify(&after).is_intact());
    let (old, new) = (of_kind(&before, "seal"), of_kind(&after, "seal"));
    let mut mixed = after[..new[1]].to_vec();
    mixed.extend_from_slice(&before[old[1]..old[1] + 3]);
    let third = mixed.len() as u64 + 1;
    mixed.extend_from_slice(&after[new[2]..]);
    let [found] = &verify(&mixed).findings[..] else {
        panic!("{:?}", verify(&mixed).findings)
    };
    assert_eq!(
        (&found.fault, found.line, found.seal),
        (&Fault::SealUnlinked, third, Some(3)),
        "every signature holds, and still the third does not go on from this second"
    );
    let mut doubled = after.clone();
    doubled.splice(new[2]..new[2], after[new[1]..new[2]].to_vec());
    let again = &verify(&doubled).findings[0];
    assert_eq!(
        (&again.fault, again.line, again.seal),
        (&Fault::SealMoved, new[2] as u64 + 1, Some(2))
    );
}

/// What somebody can do to an entry who has the database: each keeps the row one that Postgres takes.
const CHANGES: [&str; 17] = [
    "action = action || '_x'",
    "actor_id = actor_id || 'x'",
    "actor_kind = 'service'",
    "actor_user_id = NULL",
    "on_behalf_of = tenant_id",
    "resource = resource || '7'",
    "outcome = 'denied'",
    "targets = '[]'",
    "context = context || '{\"x\": 1}'",
    "personal = '{}'",
    "commitments = '{}'",
    "request_id = tenant_id",
    "meta = meta || '{\"at\": 7}'",
    "redacted = NOT redacted",
    "truncated = NOT truncated",
    "txid = (txid::text::bigint - 1)::text::xid8",
    "created_at = created_at - interval '1 microsecond'",
];

#[tokio::test]
async fn every_change_of_any_column_in_the_database_is_found() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    for at in 0..12 {
        let event = Event::new("thing.made")
            .target("thing", at)
            .personal("email", "ann@example.com");
        house.audit.record(&house.a, event).await.unwrap();
    }
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    seal_all(&house, &sealer, 12).await;
    let superuser = house.superuser().await;
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT id FROM tenancy.audit_logs ORDER BY id")
        .fetch_all(&superuser)
        .await
        .unwrap();
    let run = async |sql: &'static str, id: uuid::Uuid| {
        let mut tx = superuser.begin().await.unwrap();
        sqlx::raw_sql("SET LOCAL session_replication_role = replica")
            .execute(&mut *tx)
            .await
            .unwrap();
        let done = sqlx::query(sql).bind(id).execute(&mut *tx).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{sql}");
        tx.commit().await.unwrap();
    };
    sqlx::raw_sql("CREATE TABLE public.kept AS SELECT * FROM tenancy.audit_logs")
        .execute(&superuser)
        .await
        .unwrap();
    let updates = CHANGES.map(|set| -> &'static str {
        format!("UPDATE tenancy.audit_logs SET {set} WHERE id = $1").leak()
    });
    let delete = "DELETE FROM tenancy.audit_logs WHERE id = $1";
    for (at, sql) in updates.into_iter().chain([delete]).enumerate() {
        let id = ids[at % ids.len()];
        run(sql, id).await;
        // Mostly nothing else shows: an entry whose transaction is another one may stand elsewhere, too.
        let found = report(&house, &house.a, &keys).await.findings;
        let entry = |finding: &Finding| finding.entry.map(AuditEntryId::as_uuid);
        assert!(!found.is_empty(), "{sql}");
        assert!(
            found.iter().all(|finding| entry(finding) == Some(id)),
            "{sql}: {found:?}"
        );
        if sql != delete {
            run(delete, id).await;
        }
        run(
            "INSERT INTO tenancy.audit_logs SELECT * FROM public.kept WHERE id = $1",
            id,
        )
        .await;
    }
    assert!(
        report(&house, &house.a, &keys).await.is_intact(),
        "as it was"
    );
}
