//! Verifying files: every mutation is found where it was made, and nothing else is.

use std::io::Write as _;

use crate::{
    proof_files::{Dice, Files, of_kind},
    seals::{proofs, record, seal_all, signer},
    support::House,
};
use tenancy_audit::{Ed25519Signer, Fault, ProofReport, SealKeys, Sealer, Verifier};
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

#[tokio::test]
async fn each_kind_of_mutation_has_its_word() {
    let files = Files::plain().await;
    let entries = of_kind(&files.ours, "entry");
    let faults = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = files.ours.clone();
        change(&mut lines);
        files
            .verify(&lines)
            .findings
            .into_iter()
            .map(|finding| finding.fault)
            .collect::<Vec<_>>()
    };
    let first = entries[0];
    // Of one seal.
    let together = entries
        .windows(2)
        .find(|pair| pair[1] == pair[0] + 1)
        .unwrap();
    let (one, second) = (together[0], together[1]);
    let edited = faults(&|lines| lines[first] = lines[first].replace("thing.made", "thing.gone"));
    assert_eq!(edited, [Fault::EntryChanged]);
    let detail =
        faults(&|lines| lines[first] = lines[first].replace("0@example.com", "1@example.com"));
    assert_eq!(detail, [Fault::DetailChanged("email".to_owned())]);
    assert_eq!(
        faults(&|lines| drop(lines.remove(second))),
        [Fault::EntryMissing]
    );
    assert_eq!(
        faults(&|lines| lines.swap(one, second)),
        [Fault::EntryMoved]
    );
    let added = faults(&|lines| lines.insert(second + 1, lines[second].clone()));
    assert_eq!(added, [Fault::EntryAdded]);
    assert_eq!(faults(&|lines| drop(lines.pop())), [Fault::Truncated]);
    let swapped =
        faults(&|lines| lines[second] = files.theirs[of_kind(&files.theirs, "entry")[1]].clone());
    assert!(
        matches!(swapped[..], [Fault::EntryForeign(_), Fault::EntryMissing]),
        "{swapped:?}"
    );
    let end = files.ours.len() - 1;
    let count = faults(&|lines| lines[end] = lines[end].replace("24", "23"));
    assert_eq!(count, [Fault::Truncated]);
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
    let theirs = Ed25519Signer::parse(&Ed25519Signer::generate_entry("one").unwrap()).unwrap();
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
    assert_eq!(
        faults,
        [(1, &Fault::AnchorForged), (2, &Fault::AnchorForged)]
    );
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
        ("1.5", "1.50000000000000000001"),
        ("1.5", "1e400"),
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
    same[first] = line.replacen("1.5", "15e-1", 1);
    assert!(
        files.verify(&same).is_intact(),
        "the same number in other words"
    );
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
async fn history_that_was_written_anew_differs_from_the_anchor() {
    let files = Files::plain().await;
    let other = Files::plain().await;
    // The same key can't be had by another log here: the other's anchor is of another tenant.
    let verifier = files.verifier().with_anchor(&*other.heads).unwrap();
    let report = verifier.verify(files.ours.join("\n").as_bytes()).unwrap();
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.fault == Fault::AnchorForged)
    );
    assert!(report.found > 0);
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
