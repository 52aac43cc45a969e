use chrono::DateTime;
use serde_json::json;
use tenancy_core::{Outcome, Target, TenantId, UserId};
use uuid::Uuid;

use super::*;
use crate::model::entry::{AuditEntryId, Record, RecordedActor, SCHEMA_VERSION, resource_of};

fn uuid(at: u128) -> Uuid {
    Uuid::from_u128(0x018f_0000_0001_7000_8000_0000_0000_0000 | at)
}

fn entry() -> Entry {
    let targets = vec![Target::new("template", "=1+1"), Target::new("user", 2)];
    let record = Record {
        id: AuditEntryId::from_uuid(uuid(1)),
        tenant: TenantId::from_uuid(uuid(2)),
        actor: RecordedActor {
            kind: "user".to_owned(),
            id: uuid(3).to_string(),
            user: Some(UserId::from_uuid(uuid(3))),
            on_behalf_of: None,
        },
        action: "template.updated".to_owned(),
        resource: resource_of(&targets),
        outcome: Outcome::Denied,
        targets,
        context: Map::from_iter([("trace_id".to_owned(), json!("4bf9"))]),
        personal: Map::from_iter([
            ("ip".to_owned(), json!(["c2FsdA", "192.0.2.7"])),
            (
                "user_agent".to_owned(),
                json!(["c2FsdA", "=cmd|' /C calc'!A0"]),
            ),
        ]),
        commitments: Map::new(),
        request: None,
        meta: Map::from_iter([
            ("z".to_owned(), json!(1.5)),
            (
                "a".to_owned(),
                json!({ "y": "line\nbreak", "x": [1, null] }),
            ),
        ]),
        redacted: false,
        truncated: true,
        schema_version: SCHEMA_VERSION,
        content_hash: [7; 32],
        damaged: Vec::new(),
        shown: Vec::new(),
    };
    Entry::new(
        record,
        DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
    )
}

fn written(format: ExportFormat) -> String {
    let mut out = format.head().to_owned();
    format.write(&entry(), &mut out).unwrap();
    out
}

/// As it is told where the whole of it does not fit.
fn written_short(entry: &Entry, format: ExportFormat) -> String {
    let mut out = String::new();
    format.write_short(entry, &mut out).unwrap();
    out
}

/// An object that has all of these keys, maybe some of those, and no other.
fn has_keys(value: &Value, all: &[&str], some: &[&str]) {
    let object = value.as_object().expect("an object");
    let known = |key: &str| all.contains(&key) || some.contains(&key);
    let unknown: Vec<_> = object.keys().filter(|key| !known(key)).collect();
    let missing: Vec<_> = all
        .iter()
        .filter(|key| !object.contains_key(**key))
        .collect();
    assert!(
        unknown.is_empty() && missing.is_empty(),
        "{unknown:?} {missing:?}: {value}"
    );
}

fn is_time(value: &Value) {
    let text = value.as_str().expect("a text");
    assert!(DateTime::parse_from_rfc3339(text).is_ok(), "{text}");
}

/// What somebody who knows the line of an entry, and nothing else, asks for.
fn is_a_line(line: &Value) {
    let all = [
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
    ];
    has_keys(line, &all, &["damaged", "omitted"]);
    has_keys(
        &line["actor"],
        &["kind", "id", "user_id", "on_behalf_of"],
        &[],
    );
    for target in line["targets"].as_array().unwrap() {
        has_keys(target, &["kind", "id"], &[]);
    }
    for part in ["context", "personal", "commitments", "meta"] {
        assert!(line[part].is_object(), "{part}");
    }
    is_time(&line["occurred_at"]);
    is_time(&line["created_at"]);
    assert!(line["redacted"].is_boolean() && line["truncated"].is_boolean());
}

/// What the class API Activity asks for, and what it allows: a strict receiver takes no unknown attribute.
fn is_ocsf(event: &Value) {
    let all = [
        "activity_id",
        "actor",
        "api",
        "category_uid",
        "class_uid",
        "metadata",
        "severity_id",
        "src_endpoint",
        "time",
        "type_uid",
    ];
    let some = [
        "activity_name",
        "http_request",
        "resources",
        "status",
        "status_detail",
        "status_id",
        "unmapped",
    ];
    has_keys(event, &all, &some);
    let id = |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("{name}"));
    assert_eq!((id("class_uid"), id("category_uid")), (6_003, 6));
    assert_eq!(id("type_uid"), 600_300 + id("activity_id"));
    assert!(matches!(id("activity_id"), 1..=4 | 99) && matches!(id("severity_id"), 1..=6));
    assert!(event["time"].is_i64());
    has_keys(&event["api"], &["operation"], &["request"]);
    let all = [
        "log_name",
        "logged_time",
        "product",
        "tenant_uid",
        "uid",
        "version",
    ];
    has_keys(&event["metadata"], &all, &["correlation_uid"]);
    assert_eq!(event["metadata"]["version"], "1.3.0");
    has_keys(&event["metadata"]["product"], &["name", "vendor_name"], &[]);
    // At least one of these constraints of the schema's objects.
    has_keys(&event["src_endpoint"], &[], &["ip", "name", "svc_name"]);
    assert!(!event["src_endpoint"].as_object().unwrap().is_empty());
    has_keys(&event["actor"], &[], &["app_name", "user"]);
    assert!(!event["actor"].as_object().unwrap().is_empty());
    for resource in event["resources"].as_array().unwrap() {
        has_keys(resource, &["type", "uid"], &[]);
    }
    assert!(event["unmapped"].is_object());
}

/// What `CloudEvents` asks for: four attributes, and names of others in small letters and digits, with plain values.
fn is_a_cloud_event(event: &Value) {
    for name in ["id", "source", "specversion", "type"] {
        let text = event[name].as_str();
        assert!(text.is_some_and(|text| !text.is_empty()), "{name}");
    }
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["datacontenttype"], "application/json");
    is_time(&event["time"]);
    for (name, value) in event.as_object().unwrap() {
        let plain = value.is_string() || value.is_boolean() || value.is_i64();
        assert!(plain || name == "data", "{name}");
        let named = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        assert!(name.len() <= 20 && name.bytes().all(named), "{name}");
    }
    is_a_line(&event["data"]);
}

/// What the schema `AuditLogEventDto` of `WorkOS` asks for and allows, and those of its parts.
fn is_work_os(event: &Value) {
    let all = ["action", "occurred_at", "actor", "targets", "context"];
    has_keys(event, &all, &["version", "metadata"]);
    assert!(event["action"].is_string());
    is_time(&event["occurred_at"]);
    assert!(event["version"].as_u64().is_some_and(|version| version > 0));
    let targets = event["targets"].as_array().unwrap();
    for party in targets.iter().chain([&event["actor"]]) {
        has_keys(party, &["type", "id"], &["name", "metadata"]);
        assert!(party["type"].is_string() && party["id"].is_string());
    }
    has_keys(&event["context"], &["location"], &["user_agent"]);
    assert!(event["context"]["location"].is_string());
    let nothing = json!({});
    let metadata = [&event["metadata"], &event["actor"]["metadata"]];
    for metadata in metadata.map(|of| if of.is_null() { &nothing } else { of }) {
        let metadata = metadata.as_object().unwrap();
        assert!(metadata.len() <= 50, "{}", metadata.len());
        for (key, value) in metadata {
            let named = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            assert!(key.len() <= 40 && key.bytes().all(named), "{key}");
            let short = |text: &str| text.chars().count() <= 500;
            let fits = value.as_str().map_or(!value.is_null(), short);
            assert!(fits && !value.is_object() && !value.is_array(), "{key}");
        }
    }
}

#[test]
fn an_event_of_work_os_says_what_the_entry_says() {
    let event: Value = serde_json::from_str(&written(ExportFormat::WorkOs)).unwrap();
    is_work_os(&event);
    for (at, value) in [
        ("/action", json!("template.updated")),
        ("/occurred_at", json!("2024-04-21T09:32:31.105000Z")),
        ("/version", json!(1)),
        ("/actor", json!({ "type": "user", "id": uuid(3) })),
        ("/targets/0", json!({ "type": "template", "id": "=1+1" })),
        ("/context/location", json!("192.0.2.7")),
        ("/context/user_agent", json!("=cmd|' /C calc'!A0")),
        ("/metadata/z", json!(1.5)),
        ("/metadata/a", json!(r#"{"x":[1,null],"y":"line\nbreak"}"#)),
        ("/metadata/tenancy_outcome", json!("denied")),
        ("/metadata/tenancy_trace_id", json!("4bf9")),
    ] {
        assert_eq!(event.pointer(at), Some(&value), "{at}");
    }
    assert_eq!(event.pointer("/metadata/tenancy_left_out"), None);
}

#[test]
fn an_event_of_work_os_keeps_to_its_limits_and_counts_what_is_left_out() {
    let mut record = entry().into_record();
    record.actor.on_behalf_of = Some(UserId::from_uuid(uuid(4)));
    record.context.insert("schema".to_owned(), json!(3));
    record.personal = Map::from_iter([("phone".to_owned(), json!(["c2FsdA", "+49 30 7"]))]);
    record.meta = (0..40)
        .map(|at| (format!("k{at:02}"), json!(at)))
        .chain([
            ("longest".to_owned(), json!("ä".repeat(500))),
            ("x".repeat(40), json!(true)),
        ])
        .collect();
    let fits = record.meta.len();
    for (key, value) in [
        ("too_long", json!("ä".repeat(501))),
        ("too_deep", json!([["x".repeat(500)]])),
        ("nothing", Value::Null),
        ("a key", json!(1)),
        ("ключ", json!(1)),
        ("", json!(1)),
        ("tenancy_outcome", json!("allowed")),
    ] {
        record.meta.insert(key.to_owned(), value);
    }
    record.meta.insert("x".repeat(41), json!(1));
    let event = |record: Record| -> Value {
        let mut out = String::new();
        let entry = Entry::new(record, DateTime::UNIX_EPOCH);
        ExportFormat::WorkOs.write(&entry, &mut out).unwrap();
        assert!(!out.contains("+49 30 7"), "other personal details stay");
        let event = serde_json::from_str(&out).unwrap();
        is_work_os(&event);
        event
    };
    let told = event(record.clone());
    assert_eq!(told["version"], 3);
    assert_eq!(told["actor"]["metadata"]["on_behalf_of"], json!(uuid(4)));
    assert_eq!(told["context"], json!({ "location": "unknown" }));
    assert_eq!(told["metadata"]["tenancy_left_out"], 8);
    assert_eq!(told["metadata"]["tenancy_outcome"], "denied", "ours");
    // Seven of ours, and the number of those left out.
    assert_eq!(told["metadata"].as_object().unwrap().len(), fits + 8);
    for at in 0..60 {
        record.meta.insert(format!("more{at}"), json!(at));
    }
    let told = event(record);
    assert_eq!(told["metadata"].as_object().unwrap().len(), 50, "full");
    assert_eq!(told["metadata"]["tenancy_left_out"], 8 + 60);
}

/// Panics at what is none of its format.
type Check = fn(&Value);

#[test]
fn an_entry_is_a_document_of_its_format_and_so_is_what_is_told_of_a_long_one() {
    let mut record = entry().into_record();
    record
        .meta
        .insert("text".to_owned(), json!("\u{1}".repeat(90_000)));
    record.targets = (0..32)
        .map(|at| Target::new("\u{1}".repeat(64), format!("{at}\u{1}").repeat(99)))
        .collect();
    let mut long = Entry::new(record.clone(), entry().created_at);
    record.targets = vec![Target::new("x".repeat(90_000), 1)];
    record.actor = RecordedActor {
        kind: "service".to_owned(),
        id: "sealer".to_owned(),
        user: None,
        on_behalf_of: None,
    };
    let odd = Entry::new(record, entry().created_at);
    let formats: [(ExportFormat, Check, &str); 4] = [
        (ExportFormat::Ndjson, is_a_line, "/omitted"),
        (ExportFormat::Ocsf, is_ocsf, "/unmapped/omitted"),
        (ExportFormat::CloudEvents, is_a_cloud_event, "/omitted"),
        (
            ExportFormat::WorkOs,
            is_work_os,
            "/metadata/tenancy_omitted",
        ),
    ];
    for (format, is_one, omitted) in formats {
        for entry in [&entry(), &long, &odd] {
            let (mut whole, short) = (String::new(), written_short(entry, format));
            format.write(entry, &mut whole).unwrap();
            assert!(short.len() < 8_000, "{format}: {}", short.len());
            let [whole, short] =
                [whole, short].map(|line| serde_json::from_str::<Value>(&line).unwrap());
            is_one(&whole);
            is_one(&short);
            assert_eq!(whole.pointer(omitted), None, "{format}");
            assert_eq!(short.pointer(omitted), Some(&json!(true)), "{format}");
            for said in [
                "/id",
                "/action",
                "/type",
                "/type_uid",
                "/content_hash",
                "/unmapped/content_hash",
                "/metadata/tenancy_content_hash",
                "/metadata/tenancy_entry_id",
                "/time",
            ] {
                assert_eq!(whole.pointer(said), short.pointer(said), "{format} {said}");
            }
        }
    }
    long = super::short(&long);
    assert_eq!((long.targets.len(), long.meta.len()), (1, 0));
}

#[test]
fn a_line_is_the_same_bytes_always() {
    assert_eq!(
        written(ExportFormat::Ndjson),
        concat!(
            r#"{"schema_version":1,"id":"018f0000-0001-7000-8000-000000000001","tenant_id":"018f0000-0001-7000-8000-000000000002","#,
            r#""occurred_at":"2024-04-21T09:32:31.105000Z","created_at":"2023-11-14T22:13:20.123456Z","#,
            r#""actor":{"kind":"user","id":"018f0000-0001-7000-8000-000000000003","user_id":"018f0000-0001-7000-8000-000000000003","on_behalf_of":null},"#,
            r#""action":"template.updated","outcome":"denied","resource":"template:=1+1","#,
            r#""targets":[{"kind":"template","id":"=1+1"},{"kind":"user","id":"2"}],"request_id":null,"context":{"trace_id":"4bf9"},"#,
            r#""personal":{"ip":["c2FsdA","192.0.2.7"],"user_agent":["c2FsdA","=cmd|' /C calc'!A0"]},"commitments":{},"#,
            r#""meta":{"a":{"x":[1,null],"y":"line\nbreak"},"z":1.5},"redacted":false,"truncated":true,"#,
            r#""content_hash":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"}"#,
            "\n"
        )
    );
}

#[test]
fn an_event_of_ocsf_has_what_the_class_asks_for() {
    let event: Value = serde_json::from_str(&written(ExportFormat::Ocsf)).unwrap();
    for (at, value) in [
        ("/class_uid", json!(6_003)),
        ("/category_uid", json!(6)),
        ("/type_uid", json!(600_303)),
        ("/activity_id", json!(3)),
        ("/time", json!(1_713_691_951_105_i64)),
        ("/severity_id", json!(2)),
        ("/status_id", json!(2)),
        ("/status_detail", json!("denied")),
        ("/metadata/version", json!("1.3.0")),
        ("/metadata/uid", json!(uuid(1))),
        ("/metadata/product/vendor_name", json!("tenancy")),
        ("/actor/user/uid", json!(uuid(3))),
        ("/api/operation", json!("template.updated")),
        ("/src_endpoint/ip", json!("192.0.2.7")),
        ("/resources/1/type", json!("user")),
        ("/unmapped/meta/z", json!(1.5)),
    ] {
        assert_eq!(event.pointer(at), Some(&value), "{at}");
    }
    let other = ["thing.frobnicated", "thing.read", "thing.made", "a.delete"];
    let ids = other.map(|action| {
        let mut record = entry().into_record();
        record.action = action.to_owned();
        record.personal.clear();
        let mut out = String::new();
        let entry = Entry::new(record, DateTime::UNIX_EPOCH);
        ExportFormat::Ocsf.write(&entry, &mut out).unwrap();
        let event: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(event["src_endpoint"], json!({ "name": "unknown" }));
        event["activity_id"].as_u64().unwrap()
    });
    assert_eq!(ids, [99, 2, 1, 4]);
}

#[test]
fn an_event_of_cloud_events_has_its_attributes_and_the_line_as_data() {
    let event: Value = serde_json::from_str(&written(ExportFormat::CloudEvents)).unwrap();
    let line: Value = serde_json::from_str(&written(ExportFormat::Ndjson)).unwrap();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["id"], json!(uuid(1)));
    assert_eq!(event["source"], json!(format!("/tenants/{}", uuid(2))));
    assert_eq!(event["type"], "template.updated");
    assert_eq!(event["time"], "2024-04-21T09:32:31.105000Z");
    assert_eq!(event["data"], line);
    let attributes = event.as_object().unwrap().keys();
    let named = |name: &String| name.len() <= 20 && name.bytes().all(|b| b.is_ascii_lowercase());
    assert!(attributes.into_iter().all(named));
}

/// Reads as RFC 4180 says.
fn read(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut chars, mut quoted) = (text.chars().peekable(), false);
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {
                chars.next();
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    assert!(
        !quoted && row.is_empty() && cell.is_empty(),
        "it ends with a line"
    );
    rows
}

#[test]
fn a_table_has_one_head_and_no_formula() {
    let rows = read(&written(ExportFormat::Csv));
    let [head, row] = &rows[..] else {
        panic!("{rows:?}")
    };
    assert_eq!(head.len(), row.len());
    let cell = |name: &str| &*row[head.iter().position(|cell| cell == name).unwrap()];
    assert_eq!(cell("user_agent"), "'=cmd|' /C calc'!A0");
    assert_eq!(cell("resource"), "template:=1+1");
    assert_eq!(cell("outcome"), "denied");
    assert_eq!(
        cell("meta"),
        r#"{"a":{"x":[1,null],"y":"line\nbreak"},"z":1.5}"#
    );
    assert_eq!(cell("on_behalf_of"), "");
}

proptest::proptest! {
    #[test]
    fn a_cell_gives_its_value_back_and_begins_no_formula(value in "[=+@'\"\t\r\n,a-]{0,3}\\PC{0,8}") {
        let mut text = String::new();
        csv::put_cell(&value, &mut text);
        let read = read(&format!("{text}\r\n"));
        let cell = &*read[0][0];
        proptest::prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
        proptest::prop_assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), &*value);
    }
}
