use proptest::{prelude::*, strategy::ValueTree as _};
use serde_json::{Map, Value, from_slice, json};
use tenancy_core::{RequestId, Target};

use super::*;
use crate::{
    Entry, RecordedActor,
    model::{
        Personal, ProofLine, canonical::tests::any_json, number::normal_integer, personal::gone,
        resource_of,
    },
};

fn any_object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::hash_map("[a-cé\"]{0,3}", any_json(), 0..4)
        .prop_map(|map| map.into_iter().collect())
}

prop_compose! {
    fn any_entry()(
        meta in any_object(),
        context in any_object(),
        targets in prop::collection::vec(("[a-z]{1,4}", "[a-z\"é]{0,5}"), 0..3),
        details in prop_oneof![Just(Vec::new()), prop::collection::vec(("[a-c]{1,2}", any_json()), 0..3)],
        erases in 0..4_usize,
        changes in 0..6_usize,
        (user, request, flags) in (any::<Option<u128>>(), any::<Option<u128>>(), any::<[bool; 2]>()),
    ) -> (Record, SealedAs) {
        let (tenant, id) = (TenantId::new(), AuditEntryId::new());
        let mut personal = Personal::new(tenant, id);
        for (name, value) in details {
            personal.add(&name, value, [7; 16]);
        }
        let targets: Vec<Target> = targets.into_iter().map(|(kind, id)| Target::new(kind, id)).collect();
        let user = user.map(|user| UserId::from_uuid(Uuid::from_u128(user)));
        let mut record = Record {
            id,
            tenant,
            actor: RecordedActor {
                kind: "user".to_owned(), id: "ann".to_owned(), user, on_behalf_of: user,
            },
            action: "thing.made".to_owned(),
            resource: resource_of(&targets),
            outcome: Outcome::Denied,
            targets,
            context,
            personal: personal.values,
            commitments: personal.commitments,
            request: request.map(|request| RequestId::from_uuid(Uuid::from_u128(request))),
            meta,
            redacted: flags[0],
            truncated: flags[1],
            schema_version: SCHEMA_VERSION,
            content_hash: [0; 32],
            damaged: Vec::new(),
            shown: Vec::new(),
        };
        record.content_hash = record.hash();
        match erases {
            0 => record.personal.clear(),
            1 => drop(record.personal.remove("a")),
            _ => {}
        }
        match changes {
            0 => record.truncated = !record.truncated,
            1 => drop(record.personal.insert("b".to_owned(), json!(["", 1]))),
            2 => record.content_hash[7] ^= 1,
            _ => {}
        }
        let created_at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        (record, SealedAs { created_at, transaction: 4711 })
    }
}

fn line_of(record: &Record, stored: SealedAs) -> Vec<u8> {
    let (mut line, entry) = (String::new(), Entry::new(record.clone(), stored.created_at));
    ProofLine::write_entry(&entry, stored, &mut line).unwrap();
    line.trim_end().as_bytes().to_vec()
}

/// What the parser of JSON makes of the line.
fn parsed(line: &[u8]) -> Option<EntrySeen> {
    match from_slice::<ProofLine<'_>>(line).ok()? {
        ProofLine::Entry(entry) => {
            let (record, stored) = entry.into_entry()?;
            Some(EntrySeen::of(&record, stored, &SealKeys::new([])))
        }
        _ => None,
    }
}

/// Whether every number in it is a whole one that is not too long.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Number(number) => normal_integer(&number.to_string()).is_some(),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(map) => map.values().all(is_plain),
        _ => true,
    }
}

fn scanned(line: &[u8]) -> Option<EntrySeen> {
    EntrySeen::scan(line, &mut Scratch::new())
}

proptest! {
    #[test]
    fn a_line_of_an_export_is_seen_as_the_entry_it_was_made_of((record, stored) in any_entry()) {
        let line = line_of(&record, stored);
        let seen = scanned(&line);
        let objects = [&record.context, &record.meta, &record.personal];
        let none = (Vec::new(), Vec::new());
        let plain = gone(record.tenant, record.id, &record.personal, &record.commitments) == Ok(none)
            && objects.into_iter().all(|object| object.values().all(is_plain));
        // What the scanner takes is neither less than it should be nor another thing.
        prop_assert_eq!(seen.is_some(), plain);
        if plain {
            prop_assert_eq!(&seen, &parsed(&line));
            prop_assert_eq!(seen, Some(EntrySeen::of(&record, stored, &SealKeys::new([]))));
        }
    }

    #[test]
    fn what_is_scanned_at_all_is_what_the_parser_says(
        (record, stored) in any_entry(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut line = line_of(&record, stored);
        for (at, byte, how) in edits {
            let at = at.index(line.len());
            match how {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                _ => drop(line.remove(at)),
            }
        }
        if let Some(seen) = scanned(&line) {
            prop_assert_eq!(Some(seen), parsed(&line));
        }
    }

    #[test]
    fn no_bytes_break_the_scanner(line in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(scanned(&line), None);
    }
}

#[test]
fn two_keys_of_one_name_are_left_to_the_parser() {
    let (mut record, stored) = {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        any_entry().new_tree(&mut runner).unwrap().current()
    };
    record.context.clear();
    record.personal.clear();
    record.commitments.clear();
    record.meta = Map::from_iter([("zz".to_owned(), json!(1))]);
    let line = String::from_utf8(line_of(&record, stored)).unwrap();
    assert!(scanned(line.as_bytes()).is_some());
    for meta in [
        r#"{"zz":1,"zz":2}"#.to_owned(),
        r#"{"zz":1,"a":2}"#.to_owned(),
        r#"{"zz":1.0}"#.to_owned(),
        r#"{"zz":01}"#.to_owned(),
        r#"{"zz": 1}"#.to_owned(),
        format!(r#"{{"zz":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000)),
    ] {
        let other = line.replace(r#"{"zz":1}"#, &meta);
        assert_eq!(scanned(other.as_bytes()), None, "{meta:.40}");
    }
}

/// Other programs would read another thing, or nothing.
#[test]
fn a_list_of_the_values_of_an_object_is_not_the_object() {
    let (mut record, stored) = {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        any_entry().new_tree(&mut runner).unwrap().current()
    };
    record.targets = vec![Target::new("note", 7)];
    record.actor.kind = "user".to_owned();
    let line: Value = from_slice(&line_of(&record, stored)).unwrap();
    let reads = |line: &Value| serde_json::from_str::<ProofLine<'_>>(&line.to_string()).is_ok();
    assert!(reads(&line));
    for (path, fields) in [
        ("/entry", &["transaction", "record"][..]),
        (
            "/entry/record",
            &[
                "schema_version",
                "id",
                "tenant_id",
                "occurred_at",
                "created_at",
                "actor",
                "action",
                "outcome",
                "resource",
                "targets",
                "request_id",
                "context",
                "personal",
                "commitments",
                "meta",
                "redacted",
                "truncated",
                "content_hash",
            ],
        ),
        (
            "/entry/record/actor",
            &["kind", "id", "user_id", "on_behalf_of"],
        ),
        ("/entry/record/targets/0", &["kind", "id"]),
    ] {
        let mut other = line.clone();
        let object = other.pointer_mut(path).unwrap();
        let values: Vec<Value> = fields.iter().map(|field| object[field].take()).collect();
        *object = values.into();
        assert!(!reads(&other), "{path}");
    }
    for list in [
        json!({ "end": [1, 2] }),
        json!({ "unsealed": [record.id, 7] }),
    ] {
        assert!(!reads(&list), "{list}");
    }
    assert!(reads(&json!({ "end": { "seals": 1, "entries": 2 } })));
}
