//! Seals that an anchor knew and a restored log does not have.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use chrono::{DateTime, TimeDelta, Utc};
use tenancy_audit::{Fault, Finding, OperatorProofs, Retention, RetentionRule, SealSigner as _};
use tenancy_core::TenantId;

use crate::{
    adoption::Moved,
    seals::{record, seal_all, signer},
};

/// The bytes of a field of a head that is signed.
fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A line of an anchor: the head of a seal of a history that is gone.
async fn head(moved: &Moved, tenant: TenantId, number: u64) -> String {
    let (seal, root, key) = ([7; 32], [8; 32], moved.signer.key_name());
    let bytes = [
        field(b"tenancy.audit.head.v1"),
        field(tenant.as_uuid().as_bytes()),
        field(&number.to_be_bytes()),
        field(&number.to_be_bytes()),
        field(&seal),
        field(&root),
        field(key.as_bytes()),
    ];
    let signature = moved.signer.sign(&bytes.concat()).await.unwrap();
    let head = serde_json::json!({
        "tenant_id": tenant, "number": number, "entries": number, "seal": BASE64.encode(seal),
        "log_root": BASE64.encode(root), "key": key, "signature": signature,
    });
    format!("{head}\n")
}

/// As many seals of A as that, behind the first, that no backup has.
async fn after_a_restore(lost: u64) -> (Moved, Vec<u8>) {
    let moved = Moved::new().await;
    record(&moved.house, &moved.house.a, 2).await;
    seal_all(&moved.house, &moved.sealer, 2).await;
    record(&moved.house, &moved.house.a, 3).await;
    let mut heads = moved.anchored();
    for number in 2..lost + 2 {
        heads.extend(head(&moved, moved.house.a.tenant(), number).await.bytes());
    }
    (moved, heads)
}

#[tokio::test]
async fn however_many_seals_are_lost_all_are_named_once() {
    let (moved, heads) = after_a_restore(10_005).await;
    let tenant = moved.house.a.tenant();
    let adopter = moved.adopter().with_anchor(&*heads).await.unwrap();
    let done = adopter.adopt("restored").await.unwrap();
    assert_eq!(done.lost, [(tenant, 10_005)]);
    assert_eq!((done.tenants, done.entries, done.passed_over), (1, 3, 0));
    record(&moved.house, &moved.house.a, 1).await;
    seal_all(&moved.house, &moved.sealer, 6).await;
    let report = moved.report_with(&heads).await;
    assert!(report.is_intact(), "{:?}", report.findings);
    let [adoption] = &report.adoptions[..] else {
        panic!("{:?}", report.adoptions)
    };
    assert_eq!((adoption.seals, adoption.entries), (1, 2));
    let ago = Utc::now() - adoption.adopted_at;
    assert!(ago.abs() < TimeDelta::minutes(10), "{ago}");
    assert_eq!((adoption.loose, adoption.lost), (3, 10_005));

    let first = moved.house.entries(&moved.house.a).await.pop().unwrap();
    let proofs = OperatorProofs::new(moved.house.db.operator.clone(), tenant);
    let proof = proofs.inclusion_file(first.id).await.unwrap();
    assert!(proof.len() < 10_000, "{}", proof.len());
    // What is named stays named.
    let again = moved.adopter().with_anchor(&*heads).await.unwrap();
    let done = again.adopt("restored once more").await.unwrap();
    assert!(done.lost.is_empty(), "{:?}", done.lost);
    // Nor does it take room.
    let few = moved.adopter().with_most_lost(100);
    assert!(few.with_anchor(&*heads).await.is_ok());
    let report = moved.report_with(&heads).await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!(report.adoptions[1].lost, 0);
    // But for what nobody signed for.
    moved
        .as_superuser("UPDATE tenancy.audit_adoptions SET reason = 'another' WHERE loose = 3")
        .await;
    let again = moved.adopter().with_anchor(&*heads).await.unwrap();
    let done = again.adopt("restored once more").await.unwrap();
    assert_eq!(done.lost, [(tenant, 10_000)]);
}

#[tokio::test]
async fn however_far_a_lost_history_had_come_what_is_anchored_since_counts() {
    let (moved, mut heads) = after_a_restore(0).await;
    let tenant = moved.house.a.tenant();
    for number in [10, 200_000] {
        heads.extend(head(&moved, tenant, number).await.bytes());
    }
    let adopter = moved.adopter().with_anchor(&*heads).await.unwrap();
    let done = adopter.adopt("restored").await.unwrap();
    assert_eq!(done.lost, [(tenant, 2)]);
    for all in [7, 9] {
        record(&moved.house, &moved.house.a, 2).await;
        seal_all(&moved.house, &moved.sealer, all).await;
    }
    let newer = moved.anchored().split_off(moved_to(&heads, &moved));
    // Somebody says a lost one once more.
    let again = head(&moved, tenant, 10).await;
    let heads = [heads, newer, again.into_bytes()].concat();
    let report = moved.report_with(&heads).await;
    assert!(report.is_intact(), "{:?}", report.findings);
    moved
        .as_superuser(
            "DELETE FROM tenancy.audit_logs l USING tenancy.audit_seals s
                WHERE s.number = 4 AND position(uuid_send(l.id) IN s.ids) > 0;
             DELETE FROM tenancy.audit_seals WHERE number = 4",
        )
        .await;
    let report = moved.report_with(&heads).await;
    assert_eq!(report.findings[0].fault, Fault::AnchorAhead(4));
}

/// How much of the anchor's file was read before something was added to it by hand.
fn moved_to(read: &[u8], moved: &Moved) -> usize {
    let now = moved.anchored();
    now.iter().zip(read).take_while(|(a, b)| a == b).count()
}

#[tokio::test]
async fn what_can_not_be_kept_in_memory_is_refused_and_not_left_out() {
    let (moved, heads) = after_a_restore(3).await;
    let few = moved.adopter().with_most_lost(2);
    let refused = few.with_anchor(&*heads).await.unwrap_err();
    assert_eq!(refused.code(), "audit_lost_too_many");
    // Those that the log has, by any number of lines, are none of them.
    let much = [moved.anchored().repeat(10_000), heads.repeat(2)].concat();
    let enough = moved.adopter().with_most_lost(3);
    let adopter = enough.with_anchor(&*much).await.unwrap();
    let done = adopter.adopt("restored").await.unwrap();
    assert_eq!(done.lost, [(moved.house.a.tenant(), 3)]);
}

#[tokio::test]
async fn a_lost_seal_under_a_key_that_is_not_given_is_refused_and_one_that_is_there_is_not() {
    let (moved, heads) = after_a_restore(1).await;
    let other = tenancy_audit::Adopter::new(
        moved.house.db.operator.clone(),
        moved.signer.clone(),
        signer("two").1,
    );
    let refused = other.clone().with_anchor(&*heads).await.unwrap_err();
    assert_eq!(refused.code(), "audit_seal_key_unknown");
    let text = refused.to_string();
    assert!(
        text.contains("line 2 ") && text.contains("`one`"),
        "{refused}"
    );
    assert!(other.with_anchor(&*moved.anchored()).await.is_ok());
}

#[tokio::test]
async fn what_was_put_into_an_anchor_stops_no_adoption_and_another_file_is_refused() {
    let (moved, heads) = after_a_restore(1).await;
    let line = heads.split_inclusive(|byte| *byte == b'\n').next_back();
    let forged = String::from_utf8(line.unwrap().to_vec()).unwrap();
    let forged = forged.replace("\"entries\":2", "\"entries\":9");
    let torn = b"\n{\"tenant_id\n";
    let put_there = b"7\n{\"format\":1}\n";
    let with = async |file: &[u8]| moved.adopter().with_anchor(file).await;
    for file in [put_there, &torn[..]] {
        let refused = with(file).await.unwrap_err();
        assert_eq!(refused.code(), "audit_proof_format");
    }
    assert!(with(b"").await.is_ok());
    let heads = [&*moved.anchored(), torn, put_there, forged.as_bytes()].concat();
    let done = with(&heads).await.unwrap().adopt("restored").await.unwrap();
    assert_eq!((done.lost.len(), done.passed_over), (0, 3));
}

#[tokio::test]
async fn a_removal_from_a_lost_history_excuses_nothing_that_stands_in_its_places_now() {
    let moved = Moved::new().await;
    let (house, tenant) = (&moved.house, moved.house.a.tenant());
    let retention = Retention::new(
        house.db.operator.clone(),
        moved.signer.clone(),
        moved.keys.clone(),
    );
    for all in [2, 4] {
        record(house, &house.a, 2).await;
        seal_all(house, &moved.sealer, all).await;
    }
    let newest = house.entries(&house.a).await;
    let early = RetentionRule::new(tenant, newest[1].occurred_at(), "past its time");
    assert_eq!(retention.remove(&early).await.unwrap(), 2);
    let all = RetentionRule::new(tenant, Utc::now() + TimeDelta::minutes(1), "past its time");
    assert_eq!(retention.remove(&all).await.unwrap(), 2);
    // The backup has the first seal, and the first removal.
    moved
        .as_superuser(
            "CREATE TABLE public.removals AS SELECT * FROM tenancy.audit_removals;
             DELETE FROM tenancy.audit_seals WHERE number > 1; DELETE FROM tenancy.audit_anchored;
             DELETE FROM tenancy.audit_removals WHERE id = (SELECT max(id::text)::uuid FROM tenancy.audit_removals)",
        )
        .await;
    let adopter = moved.adopter();
    let adopter = adopter.with_anchor(&*moved.anchored()).await.unwrap();
    adopter.adopt("restored").await.unwrap();
    record(house, &house.a, 2).await;
    seal_all(house, &moved.sealer, 4).await;
    let report = moved.report().await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!((report.removed, report.entries), (2, 2));
    // Somebody takes the new entries, and puts the old removal back.
    moved
        .as_superuser(
            "DELETE FROM tenancy.audit_logs; DELETE FROM tenancy.audit_removals;
             INSERT INTO tenancy.audit_removals SELECT * FROM public.removals",
        )
        .await;
    let report = moved.report().await;
    assert_eq!(report.removed, 2);
    let missing = |place| {
        let gone =
            |found: &Finding| (&found.fault, found.place) == (&Fault::EntryMissing, Some(place));
        report.findings.iter().any(gone)
    };
    assert!(missing(3) && missing(4), "{:?}", report.findings);
    // One that is made now counts, of what is there.
    record(house, &house.a, 1).await;
    seal_all(house, &moved.sealer, 6).await;
    assert_eq!(retention.remove(&all).await.unwrap(), 2);
    assert_eq!(moved.report().await.removed, 4);
}

#[tokio::test]
async fn a_removal_of_after_an_adoption_counts_whatever_the_clocks_say() {
    let (moved, heads) = after_a_restore(1).await;
    let adopter = moved.adopter().with_anchor(&*heads).await.unwrap();
    adopter.adopt("restored").await.unwrap();
    // As if the machine of the adoption had been an hour ahead.
    let (id, at, lost): (uuid::Uuid, DateTime<Utc>, Vec<u8>) = sqlx::query_as(
        "SELECT id, adopted_at + interval '1 hour', lost_hashes FROM tenancy.audit_adoptions WHERE tenant_id = $1",
    )
    .bind(moved.house.a.tenant())
    .fetch_one(&moved.house.superuser().await)
    .await
    .unwrap();
    let numbers = [1_u64, 2, 3].map(|number| field(&number.to_be_bytes()));
    let bytes = [
        field(b"tenancy.audit.adoption.v1"),
        field(id.as_bytes()),
        field(moved.house.a.tenant().as_uuid().as_bytes()),
        numbers.concat(),
        field(b"restored"),
        field(&at.timestamp_micros().to_be_bytes()),
        field(moved.signer.key_name().as_bytes()),
        1_u32.to_be_bytes().to_vec(),
        field(&2_u64.to_be_bytes()),
        field(&lost),
    ];
    let signature = moved.signer.sign(&bytes.concat()).await.unwrap();
    let signed = format!(
        "UPDATE tenancy.audit_adoptions SET adopted_at = '{}', signature = '\\x{}' WHERE id = '{id}'",
        at.to_rfc3339(),
        hex(signature.as_bytes()),
    );
    moved.as_superuser(signed.leak()).await;
    assert!(moved.report_with(&heads).await.is_intact());
    let retention = Retention::new(
        moved.house.db.operator.clone(),
        moved.signer.clone(),
        moved.keys.clone(),
    );
    let soon = Utc::now() + TimeDelta::minutes(1);
    let all = RetentionRule::new(moved.house.a.tenant(), soon, "past its time");
    assert_eq!(retention.remove(&all).await.unwrap(), 5);
    let report = moved.report_with(&heads).await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!((report.removed, report.adoptions[0].lost), (5, 1));

    // The backup has the adoption, and not that removal; the clocks are right now. Somebody puts the removal back.
    moved
        .as_superuser(
            "CREATE TABLE public.removals AS SELECT * FROM tenancy.audit_removals; DELETE FROM tenancy.audit_removals;
             DELETE FROM tenancy.audit_seals WHERE number > 1; DELETE FROM tenancy.audit_anchored",
        )
        .await;
    let heads = [&*heads, moved.anchored().as_slice()].concat();
    let adopter = moved.adopter().with_anchor(&*heads).await.unwrap();
    adopter.adopt("restored once more").await.unwrap();
    record(&moved.house, &moved.house.a, 2).await;
    seal_all(&moved.house, &moved.sealer, 4).await;
    moved
        .as_superuser(
            "DELETE FROM tenancy.audit_logs; INSERT INTO tenancy.audit_removals SELECT * FROM public.removals",
        )
        .await;
    let report = moved.report_with(&heads).await;
    let missing = report.findings.iter().map(|found| &found.fault);
    let missing = missing.filter(|fault| **fault == Fault::EntryMissing);
    assert!(missing.count() >= 2, "{:?}", report.findings);
}

fn hex(bytes: &[u8]) -> String {
    let add = |text: String, byte: &u8| text + &format!("{byte:02x}");
    bytes.iter().fold(String::new(), add)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_adopt_at_once_each_entry_is_sealed_once() {
    let (moved, heads) = after_a_restore(2).await;
    let one = moved.adopter().with_anchor(&*heads).await.unwrap();
    let two = moved.adopter().with_batch(1).with_anchor(&*heads).await;
    let two = two.unwrap();
    let both = futures_util::future::join(one.adopt("restored"), two.adopt("restored"));
    let (one, two) = both.await;
    let mut entries = 0;
    for done in [&one, &two] {
        match done {
            Ok(done) => entries += done.entries,
            Err(error) => assert_eq!(error.code(), "audit_log_busy"),
        }
    }
    assert_eq!(entries, 3, "{one:?} {two:?}");
    record(&moved.house, &moved.house.a, 1).await;
    seal_all(&moved.house, &moved.sealer, 6).await;
    let report = moved.report_with(&heads).await;
    assert!(report.is_intact(), "{:?}", report.findings);
}
