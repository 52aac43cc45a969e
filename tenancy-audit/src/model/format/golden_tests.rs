//! The bytes of every format, compared with files that stay as they are, and OCSF held to its schema.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta};
use serde_json::json;
use tenancy_core::{Outcome, RequestId, Subject, Target, TenantId, UserId};
use uuid::Uuid;

use super::*;
use crate::model::{
    Personal, SealedDetails,
    entry::{AuditEntryId, Record, RecordedActor, SCHEMA_VERSION, resource_of},
};

fn uuid(at: u128) -> Uuid {
    Uuid::from_u128(0x0195_6000_0001_7000_8000_0000_0000_0000 | at)
}

fn record(at: u128, action: &str, actor: (&str, String), targets: Vec<Target>) -> Record {
    let (kind, id) = actor;
    Record {
        id: AuditEntryId::from_uuid(uuid(at)),
        tenant: TenantId::from_uuid(uuid(0x7e_4a47)),
        actor: RecordedActor {
            user: (kind == "user").then(|| UserId::from_uuid(uuid(0xa1))),
            kind: kind.to_owned(),
            id,
            on_behalf_of: None,
        },
        action: action.to_owned(),
        resource: resource_of(&targets),
        outcome: Outcome::Allowed,
        targets,
        context: Map::new(),
        personal: Map::new(),
        commitments: Map::new(),
        request: None,
        meta: Map::new(),
        redacted: false,
        truncated: false,
        schema_version: SCHEMA_VERSION,
        content_hash: [0; 32],
        damaged: Vec::new(),
        shown: Vec::new(),
    }
}

/// A user, with everything that an entry can have in clear.
fn by_a_user() -> Record {
    let targets = vec![
        Target::new("template", "=1+1"),
        Target::new("user", uuid(0xa2)),
    ];
    let mut record = record(
        1,
        "template.updated",
        ("user", uuid(0xa1).to_string()),
        targets,
    );
    let mut personal = Personal::new(record.tenant, record.id);
    personal.add("ip", json!("192.0.2.7"), [1; 16]);
    personal.add("user_agent", json!("=cmd|' /C calc'!A0, \"x\""), [2; 16]);
    personal.add("email", json!("ann@example.com"), [3; 16]);
    record.outcome = Outcome::Denied;
    record.request = Some(RequestId::from_uuid(uuid(0xe7)));
    record.context = Map::from_iter([("trace_id".to_owned(), json!("4bf92f3577b34da6"))]);
    (record.personal, record.commitments) = (personal.values, personal.commitments);
    record.meta = Map::from_iter([
        ("z".to_owned(), json!(-0.5)),
        (
            "a".to_owned(),
            json!({ "y": "line\nbreak", "x": [1, null, true] }),
        ),
        ("ключ".to_owned(), json!("Ünïcode \u{1f600}")),
        ("large".to_owned(), json!(u64::MAX)),
    ]);
    record.truncated = true;
    record
}

/// A service, for a user, with sealed details and an address that is none.
fn by_a_service() -> Record {
    let mut record = record(
        2,
        "invoice.frobnicated",
        ("service", "billing".to_owned()),
        Vec::new(),
    );
    record.actor.on_behalf_of = Some(UserId::from_uuid(uuid(0xa2)));
    let subject = Subject::from(UserId::from_uuid(uuid(0xa2)));
    let sealed = tenancy_core::SealedText::from_stored("s1.c2VhbGVk".to_owned());
    let sealed = SealedDetails::new(&subject, vec!["phone".to_owned()], &sealed);
    let commitment = sealed.commitment(record.tenant, record.id, "*");
    record.commitments = Map::from_iter([("*".to_owned(), commitment.into())]);
    record.personal = Map::from_iter([("*".to_owned(), sealed.to_json())]);
    let mut personal = Personal::new(record.tenant, record.id);
    personal.add("ip", json!("192.0.2.7:8080"), [4; 16]);
    record.personal.extend(personal.values);
    record.commitments.extend(personal.commitments);
    record.outcome = Outcome::Error;
    record.redacted = true;
    record.context = Map::from_iter([("schema".to_owned(), json!(3))]);
    record.meta = Map::from_iter([("token".to_owned(), json!("[redacted]"))]);
    record
}

/// A key, with nothing more than what every entry has.
fn by_a_key() -> Record {
    let target = Target::new("document", "a,b\r\nc");
    record(
        3,
        "document.read",
        ("api_key", uuid(0xa3).to_string()),
        vec![target],
    )
}

fn fixed() -> Vec<Entry> {
    let stored = DateTime::from_timestamp_micros(1_741_000_000_123_456).unwrap();
    let entries = [by_a_user(), by_a_service(), by_a_key()];
    let entries = entries.into_iter().zip(0..).map(|(mut record, at)| {
        record.content_hash = record.hash();
        assert!(record.verify().is_intact(), "{}", record.action);
        Entry::new(record, stored + TimeDelta::seconds(at))
    });
    entries.collect()
}

fn written(entries: &[Entry], format: ExportFormat) -> String {
    let mut text = format.head().to_owned();
    for entry in entries {
        format.write(entry, &mut text).unwrap();
    }
    text
}

fn golden(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden", name]
        .iter()
        .collect()
}

/// Who changes a format on purpose sets `TENANCY_BLESS`, and looks at what became of the files.
#[test]
fn every_format_gives_the_bytes_that_it_always_gave() {
    for format in ExportFormat::ALL {
        let text = written(&fixed(), format);
        let ending = if format == ExportFormat::Csv {
            "csv"
        } else {
            "ndjson"
        };
        let path = golden(&format!("export.{format}.{ending}"));
        if std::env::var_os("TENANCY_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            text, kept,
            "{format}: the bytes of old entries are others now"
        );
    }
}

#[cfg(feature = "schema")]
fn schema_of_ocsf() -> jsonschema::Validator {
    let text = std::fs::read_to_string(golden("ocsf-1.3.0-api_activity.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    jsonschema::options()
        .offline()
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(&schema)
        .unwrap()
}

#[cfg(feature = "schema")]
fn as_ocsf(record: &Record) -> Value {
    let entry = Entry::new(record.clone(), DateTime::UNIX_EPOCH);
    serde_json::from_str(&written(&[entry], ExportFormat::Ocsf)).unwrap()
}

#[cfg(feature = "schema")]
#[test]
fn every_event_of_ocsf_fits_the_schema_of_its_class() {
    let schema = schema_of_ocsf();
    let addresses = [
        None,
        Some("192.0.2.7"),
        Some("2001:db8::7"),
        Some("::ffff:192.0.2.7"),
        Some("0000:0000:0000:0000:0000:ffff:192.168.100.228"),
        Some("192.0.2.7:8080"),
        Some("unknown"),
        Some(""),
    ];
    let actions = [
        "a.created",
        "a.read",
        "a.updated",
        "a.deleted",
        "a.frobnicated",
        "a",
    ];
    for base in [by_a_user(), by_a_service(), by_a_key()] {
        for outcome in [Outcome::Allowed, Outcome::Denied, Outcome::Error] {
            for (address, action) in addresses.into_iter().flat_map(|a| actions.map(|b| (a, b))) {
                let mut record = base.clone();
                (record.outcome, record.action) = (outcome, action.to_owned());
                record.personal.remove("ip");
                if let Some(address) = address {
                    let pair = json!(["c2FsdA", address]);
                    record.personal.insert("ip".to_owned(), pair);
                }
                let event = as_ocsf(&record);
                let wrong: Vec<String> = schema
                    .iter_errors(&event)
                    .map(|error| format!("{} {error}", error.instance_path()))
                    .collect();
                assert!(wrong.is_empty(), "{wrong:?}: {event}");
            }
        }
    }
}

/// A schema that takes anything would show nothing.
#[cfg(feature = "schema")]
#[test]
fn the_schema_of_ocsf_refuses_what_is_not_of_the_class() {
    let schema = schema_of_ocsf();
    let event = as_ocsf(&by_a_user());
    assert!(schema.is_valid(&event));
    let without = |at: &str, key: &str| {
        let mut event = event.clone();
        let object = event.pointer_mut(at).unwrap().as_object_mut().unwrap();
        assert!(object.remove(key).is_some(), "{at} {key}");
        event
    };
    for (at, key) in [
        ("", "activity_id"),
        ("", "actor"),
        ("", "api"),
        ("", "category_uid"),
        ("", "class_uid"),
        ("", "metadata"),
        ("", "severity_id"),
        ("", "src_endpoint"),
        ("", "time"),
        ("", "type_uid"),
        ("/api", "operation"),
        ("/api/request", "uid"),
        ("/metadata", "product"),
        ("/metadata", "version"),
        ("/metadata/product", "vendor_name"),
        // The one of those of which there has to be at least one.
        ("/actor", "user"),
        ("/src_endpoint", "ip"),
        ("/metadata/product", "name"),
    ] {
        assert!(!schema.is_valid(&without(at, key)), "{at} without {key}");
    }
    for (at, key, value) in [
        ("", "outcome", json!("denied")),
        ("", "class_uid", json!(6_002)),
        ("", "type_uid", json!(600_305)),
        ("", "activity_id", json!(5)),
        ("", "time", json!("2025-03-03T00:00:00Z")),
        ("", "severity_id", json!(7)),
        ("/metadata", "version", json!("1.2.0")),
        ("/actor", "kind", json!("user")),
        ("/actor/user", "type_id", json!(7)),
        ("/src_endpoint", "ip", json!("192.0.2.7:8080")),
        ("/resources/0", "kind", json!("template")),
    ] {
        let mut event = event.clone();
        event.pointer_mut(at).unwrap()[key] = value;
        assert!(!schema.is_valid(&event), "{at} with another {key}");
    }
}

#[test]
fn the_list_has_every_format() {
    // A new format does not compile here, and has to stand in the list as well.
    let place = |format| match format {
        ExportFormat::CloudEvents => 0,
        ExportFormat::Csv => 1,
        ExportFormat::Ndjson => 2,
        ExportFormat::Ocsf => 3,
        ExportFormat::WorkOs => 4,
    };
    assert!(ExportFormat::ALL.into_iter().map(place).eq(0..=4));
    let names = ExportFormat::ALL.map(ExportFormat::as_str);
    assert!(names.is_sorted(), "{names:?}");
    for name in names {
        assert_eq!(name.parse::<ExportFormat>().unwrap().as_str(), name);
        let unknown = "xml".parse::<ExportFormat>().unwrap_err();
        assert!(
            unknown.to_string().contains(&format!("`{name}`")),
            "{unknown}"
        );
    }
}
