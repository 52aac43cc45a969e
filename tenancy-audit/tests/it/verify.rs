//! Verifying files: every mutation is found where it was made, and nothing else is.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::{
    proof_files::{Dice, Files, of_kind},
    seals::{proofs, record, seal_all, signer},
    support::House,
};
use tenancy_audit::{Ed25519Signer, Fault, Finding, ProofReport, SealKeys, Sealer, Verifier};
use tenancy_core::TenantCtx;

pub(crate) async fn export(house: &House, ctx: &TenantCtx) -> Vec<u8> {
    let mut file = Vec::new();
    let mut export = proofs(house).export(ctx).await.unwrap();
    while let Some(lines) = export.next_lines().await.unwrap() {
        file.write_all(lines.as_bytes()).unwrap();
    }
    file
}

pub(crate) async fn report(house: &House, ctx: &TenantCtx, keys: &SealKeys) -> ProofReport {
    Verifier::new(ctx.tenant(), keys.clone())
        .verify(&*export(house, ctx).await)
        .unwrap()
}

/// A finding: line, seal, place, entry, and the word for it.
type Told = (u64, Option<u64>, Option<u64>, Option<String>, Fault);

/// Seal, place and entry of a line, in a file of which nothing was removed.
fn whereabouts(lines: &[String], line: usize) -> (Option<u64>, Option<u64>, Option<String>) {
    let parsed = |line: &String| serde_json::from_str::<Value>(line).unwrap();
    let seals = lines[..line].iter().rev().map(parsed);
    let seal = seals
        .map(|line| line["seal"]["seal"]["number"].as_u64())
        .find(Option::is_some);
    let entries = of_kind(lines, "entry");
    let place = entries.iter().position(|at| *at == line).unwrap() as u64 + 1;
    let id = parsed(&lines[line])["entry"]["record"]["id"].take();
    (
        seal.flatten(),
        Some(place),
        id.as_str().map(ToOwned::to_owned),
    )
}

#[tokio::test]
async fn each_kind_of_mutation_has_its_word_at_its_place() {
    let files = Files::plain().await;
    let entries = of_kind(&files.ours, "entry");
    let told = |change: &dyn Fn(&mut Vec<String>)| -> Vec<Told> {
        let mut lines = files.ours.clone();
        change(&mut lines);
        let findings = files.verify(&lines).findings.into_iter();
        findings
            .map(|found| {
                let entry = found.entry.map(|entry| entry.to_string());
                (found.line, found.seal, found.place, entry, found.fault)
            })
            .collect()
    };
    // What is found on this line, counted from 1, about the entry that stood on that one, counted from 0.
    let about = |line: usize, of: usize, fault: Fault| -> Told {
        let (seal, place, entry) = whereabouts(&files.ours, of);
        (line as u64, seal, place, entry, fault)
    };
    let alone = |line: usize, fault: Fault| -> Told { (line as u64, None, None, None, fault) };
    let first = entries[0];
    // Of one seal, and not the first of it.
    let together = entries
        .windows(3)
        .find(|three| three[2] == three[0] + 2)
        .unwrap();
    let (one, second) = (together[1], together[2]);
    let behind = |of: usize| {
        (of..=of + entries.len())
            .find(|at| !entries.contains(at))
            .unwrap()
    };
    let edited = told(&|lines| lines[first] = lines[first].replace("thing.made", "thing.gone"));
    assert_eq!(edited, [about(first + 1, first, Fault::EntryChanged)]);
    let detail =
        told(&|lines| lines[first] = lines[first].replace("0@example.com", "1@example.com"));
    let changed = Fault::DetailChanged("email".to_owned());
    assert_eq!(detail, [about(first + 1, first, changed)]);
    assert_eq!(
        told(&|lines| drop(lines.remove(second))),
        // One line less: what came next is where the absence shows.
        [about(behind(second), second, Fault::EntryMissing)]
    );
    assert_eq!(
        told(&|lines| lines.swap(one, second)),
        [about(second + 1, one, Fault::EntryMoved)]
    );
    let added = told(&|lines| lines.insert(second + 1, lines[second].clone()));
    assert_eq!(added, [about(second + 2, second, Fault::EntryAdded)]);
    let id = whereabouts(&files.ours, second).2;
    let damaged = json!({ "damaged": { "id": id, "parts": ["meta"] } }).to_string();
    let unreadable = Fault::EntryUnreadable("meta".to_owned());
    assert_eq!(
        told(&|lines| lines[second].clone_from(&damaged)),
        [about(second + 1, second, unreadable)]
    );
    let end = files.ours.len() - 1;
    assert_eq!(
        told(&|lines| drop(lines.pop())),
        [alone(end + 1, Fault::Truncated)]
    );
    let count = told(&|lines| lines[end] = lines[end].replace("24", "23"));
    assert_eq!(count, [alone(end + 1, Fault::Truncated)]);

    let theirs = of_kind(&files.theirs, "entry")[1];
    let stranger = whereabouts(&files.theirs, theirs).2;
    let swapped = told(&|lines| lines[second].clone_from(&files.theirs[theirs]));
    let [foreign, missing] = &swapped[..] else {
        panic!("{swapped:?}")
    };
    let (seal, ..) = whereabouts(&files.ours, second);
    assert!(matches!(foreign.4, Fault::EntryForeign(tenant) if tenant != files.tenant));
    assert_eq!(
        (foreign.0, foreign.1, foreign.2, &foreign.3),
        (second as u64 + 1, seal, None, &stranger)
    );
    let gone = about(behind(second) + 1, second, Fault::EntryMissing);
    assert_eq!(*missing, gone);

    let late = uuid::Uuid::now_v7();
    let unsealed = json!({ "unsealed": { "id": late, "transaction": 1 } }).to_string();
    let late = Some(late.to_string());
    assert_eq!(
        told(&|lines| lines.insert(end, unsealed.clone())),
        [(end as u64 + 1, None, None, late, Fault::EntryUnsealed)]
    );
    let seals = of_kind(&files.ours, "seal");
    assert_eq!(
        told(&|lines| drop(lines.drain(seals[1]..seals[2]))),
        [alone(seals[1] + 1, Fault::SealsMissing(2, 2))]
    );
    let twice = told(&|lines| lines.insert(seals[1], lines[seals[0]].clone()));
    let moved = (seals[1] as u64 + 1, Some(1), None, None, Fault::SealMoved);
    assert_eq!(twice[0], moved);
    // The entries of the seal that is there twice don't come twice: they are missed where the next begins.
    assert!(twice[1..].iter().zip(1..).all(|(of, place)| {
        (of.0, of.1, of.2) == (seals[1] as u64 + 2, Some(1), Some(place))
            && of.4 == Fault::EntryMissing
    }));
    assert_eq!(twice.len(), seals[1] - seals[0]);
}

#[tokio::test]
async fn files_of_any_kind_get_an_answer() {
    let files = Files::plain().await;
    let verifier = files.verifier();
    let huge = vec![b'x'; 20 * 1024 * 1024];
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for bad in [
        &b""[..],
        b"\n",
        b"\0\xff\xfe",
        b"{}",
        b"{\"header\":{}}",
        b"PK\x03\x04",
        &huge,
        deep.as_bytes(),
    ] {
        assert_eq!(
            verifier.verify(bad).unwrap_err().code(),
            "audit_proof_format"
        );
    }
    for bad in [
        &b"\0\xff"[..],
        b"{\"entry\":1}",
        b"{\"seal\":{}}",
        &huge,
        deep.as_bytes(),
        b"",
        b"{\"header\":{}}",
    ] {
        let mut file = files.ours[..3].join("\n").into_bytes();
        file.push(b'\n');
        file.extend_from_slice(bad);
        file.push(b'\n');
        file.extend_from_slice(files.ours[3..].join("\n").as_bytes());
        let report = verifier.verify(&*file).unwrap();
        let [found] = &report.findings[..] else {
            panic!("{:?}", report.findings)
        };
        assert_eq!((found.line, &found.fault), (4, &Fault::Malformed));
    }
    let theirs = Ed25519Signer::parse(Ed25519Signer::generate("one").unwrap().expose()).unwrap();
    let other = Verifier::new(files.tenant, SealKeys::new([theirs.public_key()]));
    let report = other.verify(files.ours.join("\n").as_bytes()).unwrap();
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.fault == Fault::HeadForged)
    );
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.fault == Fault::SealChanged)
    );
    let named = Verifier::new(files.tenant, signer("two").1)
        .verify(files.ours.join("\n").as_bytes())
        .unwrap();
    assert!(
        named
            .findings
            .iter()
            .all(|finding| finding.fault == Fault::KeyUnknown("one".to_owned()))
    );
    let junk = files.verifier().with_anchor(&b"\0junk\n{}"[..]).unwrap();
    let report = junk.verify(files.ours.join("\n").as_bytes()).unwrap();
    let faults: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.line, &finding.fault))
        .collect();
    assert_eq!(faults, [(2, &Fault::AnchorForged)]);
    assert_eq!(report.torn, 1, "what is no JSON at all");
}

#[tokio::test]
async fn a_line_that_can_be_read_in_two_ways_is_malformed() {
    let files = Files::plain().await;
    let first = of_kind(&files.ours, "entry")[0];
    let line = &files.ours[first];
    assert!(line.contains(r#""n":[0,1.5]"#) && line.contains(r#""action":"thing.made""#));
    for (from, to) in [
        // Other readers take the first of two, and show what was never recorded.
        (r#""at":{"n""#, r#""at":{"n":7,"n""#),
        (r#""meta":{"#, r#""meta":{"at":0,"#),
        (r#""meta":{"#, r#""meta":{},"meta":{"#),
        (r#""personal":{"#, r#""personal":{"email":["x","y"],"#),
        (r#""commitments":{"#, r#""commitments":{"email":"x","#),
        (r#"{"entry":{"#, r#"{"entry":{"transaction":"7","#),
        (r#""action":"#, r#""action":"thing.gone","action":"#),
        // A float reads these as 1.5, and as what it can't hold.
        ("[0,1.5]", "[0,1.50000000000000000001]"),
        ("[0,1.5]", "[0,1e400]"),
    ] {
        let mut lines = files.ours.clone();
        lines[first] = line.replacen(from, to, 1);
        assert_ne!(lines[first], *line, "{from}");
        let report = files.verify(&lines);
        let told: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            told[0],
            format!("malformed line {}", first + 1),
            "{to}: {told:?}"
        );
    }
    let mut same = files.ours.clone();
    same[first] = line.replacen("[0,1.5]", "[0,15e-1]", 1);
    assert!(
        files.verify(&same).is_intact(),
        "the same number in other words"
    );
}

#[tokio::test]
async fn half_of_a_surrogate_pair_is_malformed_wherever_it_stands() {
    let files = Files::lived().await;
    let report = files.verify(&files.ours);
    assert!(report.is_intact(), "{:?}", report.findings);
    let halves = [
        r"\ud800",
        r"\udfff",
        r"\ud800\u0041",
        r"\ud83d\ud83d",
        r"\ud800x",
    ];
    for (which, half) in halves.into_iter().enumerate() {
        for kind in ["seal", "entry", "removal", "adoption", "end"] {
            let at = of_kind(&files.ours, kind)[0];
            let line = &files.ours[at];
            // Into each text of the line, keys and values; of all but the first half into some.
            let quotes: Vec<usize> = line.match_indices('"').map(|(at, _)| at + 1).collect();
            for place in quotes.into_iter().step_by(1 + 9 * which) {
                let mut lines = files.ours.clone();
                lines[at].insert_str(place, half);
                let findings = files.verify(&lines).findings;
                let told = findings
                    .iter()
                    .any(|found| (found.line, &found.fault) == (at as u64 + 1, &Fault::Malformed));
                assert!(told, "{kind} {place}: {findings:?}");
            }
        }
        let mut lines = files.ours.clone();
        lines[0] = lines[0].replacen("tenancy-audit-proof", half, 1);
        let refused = files.try_verify(&lines).unwrap_err();
        assert_eq!(refused.code(), "audit_proof_format");
        let heads = String::from_utf8(files.heads.clone()).unwrap();
        let key = r#""key":"one""#;
        assert!(heads.lines().all(|head| head.contains(key)), "{heads}");
        let heads = heads.replacen(key, &format!(r#""key":"{half}""#), 1);
        let anchored = Verifier::new(files.tenant, files.keys.clone())
            .with_anchor(heads.as_bytes())
            .unwrap();
        let file = files.ours.join("\n");
        let report = anchored.verify(file.as_bytes()).unwrap();
        assert_eq!(report.findings[0].fault, Fault::AnchorForged);
        assert_eq!(report.findings[0].line, 1);
    }
}

#[tokio::test]
async fn another_tenants_log_is_not_the_one_that_was_asked_for() {
    let files = Files::plain().await;
    let theirs = files.theirs.join("\n");
    let report = files.verifier().verify(theirs.as_bytes()).unwrap();
    let Fault::LogForeign(tenant) = report.findings[0].fault else {
        panic!("{:?}", report.findings)
    };
    assert_ne!(tenant, files.tenant);
    let theirs_by_name = Verifier::new(tenant, files.keys.clone());
    assert!(
        theirs_by_name
            .verify(theirs.as_bytes())
            .unwrap()
            .is_intact()
    );
    // Under a first line that says so it is found out by its seals.
    let mut mixed = files.theirs.clone();
    mixed[0].clone_from(&files.ours[0]);
    let report = files.verify(&mixed);
    let foreign = |fault: &Fault| matches!(fault, Fault::SealForeign(_));
    assert!(
        report
            .findings
            .iter()
            .any(|finding| foreign(&finding.fault))
    );
}

#[tokio::test]
async fn bytes_that_were_damaged_at_random_get_an_answer() {
    let files = Files::plain().await;
    let (file, verifier) = (files.ours.join("\n").into_bytes(), files.verifier());
    let mut dice = Dice(0x1234_5678_9abc_def1);
    for _ in 0..500 {
        let mut damaged = file.clone();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(damaged.len());
            match dice.roll(4) {
                0 => damaged.truncate(at + 1),
                1 => damaged.insert(at, u8::try_from(dice.roll(256)).unwrap()),
                2 => drop(damaged.remove(at)),
                _ => damaged[at] = u8::try_from(dice.roll(256)).unwrap(),
            }
        }
        match verifier.verify(&*damaged) {
            Ok(report) => assert!(report.entries <= 24),
            Err(error) => assert_eq!(error.code(), "audit_proof_format"),
        }
    }
}

#[tokio::test]
async fn what_an_anchor_kept_of_another_tenant_says_nothing_of_this_one() {
    let (files, other) = (Files::plain().await, Files::plain().await);
    // Under a key that is not known here, too: who verifies that tenant's log finds it.
    let verifier = files.verifier().with_anchor(&*other.heads).unwrap();
    let report = verifier.verify(files.ours.join("\n").as_bytes()).unwrap();
    assert!(report.is_intact(), "{:?}", report.findings);
    let heads = String::from_utf8(other.heads).unwrap();
    let said = heads.replace(&other.tenant.to_string(), &files.tenant.to_string());
    let verifier = files.verifier().with_anchor(said.as_bytes()).unwrap();
    let report = verifier.verify(files.ours.join("\n").as_bytes()).unwrap();
    let forged = |finding: &Finding| finding.fault == Fault::AnchorForged;
    assert!(report.found > 0 && report.findings.iter().all(forged));
}

#[tokio::test]
async fn what_an_attacker_with_the_database_does_is_found() {
    let house = House::new().await;
    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    record(&house, &house.a, 6).await;
    seal_all(&house, &sealer, 6).await;
    let superuser = house.superuser().await;
    house
        .as_owner("DROP TRIGGER audit_append_only ON tenancy.audit_logs")
        .await;
    let entries = house.entries(&house.a).await;
    for (sql, id) in [
        (
            "UPDATE tenancy.audit_logs SET meta = '{}' WHERE id = $1",
            entries[0].id,
        ),
        (
            "UPDATE tenancy.audit_logs SET created_at = created_at + interval '1 s' WHERE id = $1",
            entries[1].id,
        ),
        (
            "DELETE FROM tenancy.audit_logs WHERE id = $1",
            entries[2].id,
        ),
    ] {
        sqlx::query(sql).bind(id).execute(&superuser).await.unwrap();
    }
    let report = report(&house, &house.a, &keys).await;
    let mut found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.entry.unwrap(), finding.fault.clone()))
        .collect();
    found.sort_by_key(|(id, _)| *id);
    let mut expected = vec![
        (entries[0].id, Fault::EntryChanged),
        (entries[1].id, Fault::EntryChanged),
        (entries[2].id, Fault::EntryMissing),
    ];
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(found, expected);
}
