//! Random changes of a log's file, and of the database: each is found, and found where it was made.

use serde_json::{Value, json};

use crate::{
    proof_files::{Dice, Files, of_kind, restore},
    seals::{record, seal_all, sealed, signer},
    support::House,
    verify::{export, report},
};
use tenancy_audit::{AuditEntryId, Fault, Finding, Sealer, Verifier};
use tenancy_core::{AuditSink as _, Event};

/// Changes one value somewhere below; false if there is none.
fn disturb(dice: &mut Dice, value: &mut Value) -> bool {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let key = map.keys().nth(dice.roll(map.len())).unwrap().clone();
            disturb(dice, &mut map[&key])
        }
        Value::Array(items) if !items.is_empty() => {
            let at = dice.roll(items.len());
            disturb(dice, &mut items[at])
        }
        Value::String(text) => {
            let at = dice.roll(text.len() + 1);
            // A digit, a letter, or one more of them: never another spelling of the same.
            match text.get(at..=at).and_then(|c| c.chars().next()) {
                Some(c) if c.is_ascii_alphanumeric() => {
                    let other = if c == '7' { "8" } else { "7" };
                    text.replace_range(at..=at, other);
                }
                _ => text.push('7'),
            }
            true
        }
        Value::Number(number) => {
            *value = match number.as_i64() {
                Some(whole) => json!(whole + 7),
                None => json!(number.as_f64().unwrap_or(0.0).trunc() + 7.0),
            };
            true
        }
        Value::Bool(flag) => {
            *flag = !*flag;
            true
        }
        Value::Null => {
            *value = json!("7");
            true
        }
        Value::Object(_) | Value::Array(_) => false,
    }
}

/// Where a mutation may show.
#[derive(Debug)]
enum Where {
    /// On this line, counted from zero.
    Line(usize),
    /// Of this entry.
    Entry(String),
    /// In this seal.
    Seal(u64),
    /// By this seal's absence.
    SealGone(u64),
    /// Of one of the entries that were removed.
    Removed,
}

impl Where {
    fn shows(&self, finding: &Finding) -> bool {
        match self {
            Self::Line(line) => finding.line == *line as u64 + 1,
            Self::Entry(id) => finding.entry.is_some_and(|entry| entry.to_string() == *id),
            Self::Seal(number) => finding.seal == Some(*number),
            Self::SealGone(number) => {
                matches!(finding.fault, Fault::SealsMissing(from, to) if (from..=to).contains(number))
            }
            Self::Removed => finding.fault == Fault::EntryMissing,
        }
    }
}

type Mutation = Option<(&'static str, Vec<Where>)>;

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

fn entry_of(line: &str) -> Option<String> {
    let value: Value = serde_json::from_str(line).ok()?;
    let id = value["entry"]["record"]["id"].as_str();
    id.map(ToOwned::to_owned)
}

fn number_of(seal: &str) -> u64 {
    parsed(seal)["seal"]["seal"]["number"].as_u64().unwrap()
}

/// The head that a seal's line implies.
fn head_of(line: &str) -> Value {
    let seal = parsed(line)["seal"]["seal"].take();
    let seal: tenancy_audit::Seal = serde_json::from_value(seal).unwrap();
    serde_json::to_value(seal.head()).unwrap()
}

fn tenant_of(lines: &[String]) -> String {
    let tenant = parsed(&lines[0])["header"]["tenant_id"].take();
    tenant.as_str().unwrap().to_owned()
}

/// Changes one value of a line.
fn edit(dice: &mut Dice, line: &mut String, kind: &str) -> bool {
    let mut value = parsed(line);
    let done = disturb(dice, &mut value[kind]);
    *line = value.to_string();
    done
}

/// A change of the entries' lines.
fn mutate_entries(dice: &mut Dice, files: &Files, lines: &mut Vec<String>) -> Mutation {
    let entries = of_kind(lines, "entry");
    let at = dice.pick(&entries);
    let id = entry_of(&lines[at]).unwrap();
    Some(match dice.roll(9) {
        0..=2 => {
            if !edit(dice, &mut lines[at], "entry") {
                return None;
            }
            ("edit", vec![Where::Line(at), Where::Entry(id)])
        }
        3 => {
            lines.remove(at);
            ("delete", vec![Where::Entry(id)])
        }
        4 => {
            let place = dice.pick(&entries) + 1;
            let copy = if dice.roll(2) == 0 {
                lines[at].clone()
            } else {
                lines[at].replace(&id, &uuid::Uuid::now_v7().to_string())
            };
            lines.insert(place, copy);
            ("insert", [place, at, at + 1].map(Where::Line).into())
        }
        5 | 6 => {
            let other = dice.pick(&entries);
            if at == other {
                return None;
            }
            lines.swap(at, other);
            ("reorder", [at, other].map(Where::Line).into())
        }
        7 => {
            let theirs = dice.pick(&of_kind(&files.theirs, "entry"));
            lines[at].clone_from(&files.theirs[theirs]);
            if dice.roll(2) == 0 {
                lines[at] = lines[at].replace(&tenant_of(&files.theirs), &tenant_of(&files.ours));
            }
            ("swap between tenants", vec![Where::Line(at)])
        }
        _ => {
            lines[at] = json!({ "damaged": { "id": id, "parts": ["meta"] } }).to_string();
            ("entry said to be unreadable", vec![Where::Line(at)])
        }
    })
}

/// A change of the seals' lines.
fn mutate_seals(dice: &mut Dice, files: &Files, lines: &mut Vec<String>) -> Mutation {
    let (entries, seals) = (of_kind(lines, "entry"), of_kind(lines, "seal"));
    let seal = dice.pick(&seals);
    let number = number_of(&lines[seal]);
    Some(match dice.roll(6) {
        0 => {
            edit(dice, &mut lines[seal], "seal");
            ("edit of a seal", vec![Where::Line(seal)])
        }
        1 => {
            let next = seals.iter().copied().find(|at| *at > seal);
            lines.drain(seal..next.unwrap_or(entries.last()? + 1));
            (
                "a seal and its entries gone",
                vec![Where::Line(seal), Where::SealGone(number)],
            )
        }
        2 => {
            let other = dice.pick(&seals);
            if seal == other {
                return None;
            }
            lines.swap(seal, other);
            (
                "seals in another order",
                [seal, other].map(Where::Line).into(),
            )
        }
        3 => {
            let place = dice.pick(&entries) + 1;
            let copy = lines[seal].clone();
            lines.insert(place, copy);
            (
                "a seal twice",
                vec![Where::Line(place), Where::Seal(number)],
            )
        }
        4 => {
            let theirs = dice.pick(&of_kind(&files.theirs, "seal"));
            lines[seal].clone_from(&files.theirs[theirs]);
            ("another tenant's seal", vec![Where::Line(seal)])
        }
        _ => {
            // Everything behind a seal is gone, and the first line and the last say so.
            let cut = 1 + dice.roll(seals.len() - 1);
            let mut header = parsed(&lines[0]);
            header["header"]["head"] = head_of(&lines[seals[cut - 1]]);
            lines[0] = header.to_string();
            lines.truncate(seals[cut]);
            let count = of_kind(lines, "entry").len();
            lines.push(json!({ "end": { "seals": cut, "entries": count } }).to_string());
            (
                "tail gone from the database",
                vec![Where::Line(lines.len()), Where::Removed],
            )
        }
    })
}

/// A change of what stands around the seals and their entries.
fn mutate_frame(dice: &mut Dice, files: &Files, lines: &mut Vec<String>) -> Mutation {
    let (removals, adoptions) = (of_kind(lines, "removal"), of_kind(lines, "adoption"));
    let end = lines.len() - 1;
    Some(match dice.roll(9) {
        0 => {
            let left = 1 + dice.roll(lines.len() - 1);
            lines.truncate(left);
            ("truncate", vec![Where::Line(left)])
        }
        1 => {
            let mut header = parsed(&lines[0]);
            disturb(dice, &mut header["header"]["head"]);
            lines[0] = header.to_string();
            ("edit of the head", vec![Where::Line(0)])
        }
        2 => {
            lines[0] = lines[0].replace(&tenant_of(&files.ours), &tenant_of(&files.theirs));
            ("another tenant's header", vec![Where::Line(0)])
        }
        3 => {
            edit(dice, &mut lines[end], "end");
            ("edit of the end", vec![Where::Line(end)])
        }
        4 => {
            let place = 1 + dice.roll(end - 1);
            let last = lines.remove(end);
            lines.insert(place, last);
            ("the end before the end", vec![Where::Line(place + 1)])
        }
        5 => {
            let removal = dice.pick(&removals);
            if dice.roll(2) == 0 {
                edit(dice, &mut lines[removal], "removal");
                ("edit of a removal", vec![Where::Line(removal)])
            } else {
                lines.remove(removal);
                ("a removal gone", vec![Where::Removed])
            }
        }
        6 => {
            let theirs = of_kind(&files.theirs, "removal");
            let removal = dice.pick(&removals);
            lines.insert(removal, files.theirs[dice.pick(&theirs)].clone());
            ("another tenant's removal", vec![Where::Line(removal)])
        }
        7 => {
            let adoption = dice.pick(&adoptions);
            let lost = parsed(&lines[adoption])["adoption"]["lost"][0]["number"].as_u64()?;
            if dice.roll(2) == 0 {
                edit(dice, &mut lines[adoption], "adoption");
                ("edit of an adoption", vec![Where::Line(adoption)])
            } else {
                lines.remove(adoption);
                ("an adoption gone", vec![Where::Seal(lost)])
            }
        }
        _ => {
            let place = removals[0];
            let unsealed = json!({ "unsealed": { "id": uuid::Uuid::now_v7(), "transaction": 1 } });
            lines.insert(place, unsealed.to_string());
            ("an entry put in later", vec![Where::Line(place)])
        }
    })
}

#[tokio::test]
async fn random_mutations_are_found_where_they_were_made() {
    let files = Files::lived().await;
    let whole = files.verify(&files.ours);
    assert!(whole.is_intact(), "{:?}", whole.findings);
    assert_eq!((whole.removed, whole.restores.len()), (4, 1));
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
    while done < rounds {
        let mut lines = files.ours.clone();
        let mutate = match dice.roll(8) {
            0..=3 => mutate_entries,
            4 | 5 => mutate_seals,
            _ => mutate_frame,
        };
        let Some((kind, expected)) = mutate(&mut dice, &files, &mut lines) else {
            continue;
        };
        if lines == files.ours {
            continue;
        }
        done += 1;
        let Ok(report) = files.try_verify(&lines) else {
            assert_eq!(
                kind, "edit of the head",
                "only the first line makes it no file"
            );
            continue;
        };
        assert!(
            !report.is_intact(),
            "{kind} was not found (seed {seed}, {done})"
        );
        let located = |place: &Where| report.findings.iter().any(|finding| place.shows(finding));
        assert!(
            expected.iter().any(located),
            "{kind} was not located (seed {seed}, {done}): {expected:?} {:?}",
            report.findings
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
