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
