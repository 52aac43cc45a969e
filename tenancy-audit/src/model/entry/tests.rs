use super::*;
use crate::model::Personal;

fn uuid(text: &str) -> uuid::Uuid {
    text.parse().unwrap()
}

fn golden() -> Record {
    let tenant = TenantId::from_uuid(uuid("018f0000-0000-7000-8000-000000000001"));
    let id = AuditEntryId::from_uuid(uuid("018f0000-0001-7000-8000-000000000002"));
    let user = UserId::from_uuid(uuid("018f0000-0000-7000-8000-000000000003"));
    let mut personal = Personal::new(tenant, id);
    personal.add("ip", json!("192.0.2.7"), [7; 16]);
    let targets = vec![Target::new("template", 7), Target::new("user", user)];
    let mut record = Record {
        id,
        tenant,
        actor: RecordedActor {
            kind: "user".to_owned(),
            id: user.to_string(),
            user: Some(user),
            on_behalf_of: None,
        },
        action: "template.updated".to_owned(),
        resource: resource_of(&targets),
        outcome: Outcome::Allowed,
        targets,
        context: Map::from_iter([("trace_id".to_owned(), json!("4bf92f3577b34da6"))]),
        personal: personal.values,
        commitments: personal.commitments,
        request: Some(RequestId::from_uuid(uuid(
            "018f0000-0000-7000-8000-000000000004",
        ))),
        meta: Map::from_iter([("fields".to_owned(), json!(["name", 1.5, null, { "ä": -3 }]))]),
        redacted: false,
        truncated: false,
        schema_version: SCHEMA_VERSION,
        content_hash: [0; 32],
        damaged: Vec::new(),
        shown: Vec::new(),
    };
    record.content_hash = record.hash();
    record
}

#[test]
fn the_hash_and_the_commitment_of_version_1_stay_as_they_are() {
    let record = golden();
    assert_eq!(
        record.commitments["ip"],
        "W4mTQscClqcx5vIzILhtG1DR-AgTktgiwsrQJbM9UCw"
    );
    assert_eq!(
        hex::encode(record.content_hash),
        "517ea980731643e7a8c1b77b38e49d9fb25bb5becdf89a063d8d937b3f9fd46c"
    );
    let mut bare = golden();
    bare.actor.user = None;
    bare.request = None;
    bare.targets.clear();
    bare.resource = None;
    assert_eq!(
        hex::encode(bare.hash()),
        "582fe0218bbab1fdc8b7c53ddbb729522122ab9ecf6416f97d31c4fba49569c4"
    );
}

#[test]
fn a_change_of_any_part_is_found() {
    let changes: Vec<fn(&mut Record)> = vec![
        |r| r.id = AuditEntryId::new(),
        |r| r.tenant = TenantId::new(),
        |r| r.actor.kind = "service".to_owned(),
        |r| r.actor.id.push('x'),
        |r| r.actor.user = None,
        |r| r.actor.on_behalf_of = Some(UserId::new()),
        |r| r.action = "template.deleted".to_owned(),
        |r| r.resource = Some("template:8".to_owned()),
        |r| r.outcome = Outcome::Denied,
        |r| r.targets.swap(0, 1),
        |r| r.context.clear(),
        |r| drop(r.commitments.remove("ip")),
        |r| r.request = None,
        |r| drop(r.meta.insert("more".to_owned(), Value::Null)),
        |r| r.redacted = true,
        |r| r.truncated = true,
        |r| r.content_hash[31] ^= 1,
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut record = golden();
        change(&mut record);
        assert_eq!(
            record.verify(),
            Verdict::Changed(Change::Content),
            "change {at}"
        );
    }
    let mut newer = golden();
    newer.schema_version = 2;
    assert_eq!(newer.verify(), Verdict::Changed(Change::SchemaVersion(2)));
}

#[test]
fn a_personal_detail_can_be_erased_but_not_replaced_or_stripped() {
    let mut record = golden();
    assert_eq!(record.verify(), Verdict::Intact);
    assert_eq!(record.origin().ip.as_deref(), Some("192.0.2.7"));

    record.personal["ip"][1] = json!("192.0.2.8");
    assert_eq!(
        record.verify(),
        Verdict::Changed(Change::Personal("ip".to_owned()))
    );

    record.personal.clear();
    let stripped = Verdict::Changed(Change::Stripped(vec!["ip".to_owned()]));
    assert_eq!(record.verify(), stripped);
    assert!(!stripped.is_intact() && record.is_as_hashed());
    assert_eq!(record.origin().ip, None);
    record.shown.push("ip".to_owned());
    assert_eq!(record.verify(), Verdict::Erased(vec!["ip".to_owned()]));
}

#[test]
fn a_list_of_erasures_is_one_that_erasing_leaves_whether_or_not_it_is_signed() {
    let erasure = |names: &[&str]| {
        json!({
            "names": names, "reason": "x", "erased_at": 1, "key": "one", "signature": "A".repeat(86),
        })
    };
    let changed = Verdict::Changed(Change::Personal(ERASED.to_owned()));
    for (list, there) in [
        (json!([]), false),
        (json!([erasure(&[])]), false),
        (json!([erasure(&["ip"])]), true),
        (json!([erasure(&["ip", "ip"])]), false),
        (json!([erasure(&["ip"]), erasure(&["ip"])]), false),
        (json!([erasure(&["ip", "name"])]), false),
        (json!({}), false),
    ] {
        let mut record = golden();
        if !there {
            record.personal.clear();
        }
        record.personal.insert(ERASED.to_owned(), list.clone());
        assert_eq!(record.verify(), changed, "{list}");
    }
    let mut erased = golden();
    erased.personal = Map::from_iter([(ERASED.to_owned(), json!([erasure(&["ip"])]))]);
    let stripped = Verdict::Changed(Change::Stripped(vec!["ip".to_owned()]));
    assert_eq!(erased.verify(), stripped, "without keys it shows nothing");
}

#[test]
fn debug_names_personal_details_and_does_not_show_them() {
    let shown = format!("{:?}", Entry::new(golden(), DateTime::default()));
    assert!(!shown.contains("192.0.2.7"), "{shown}");
    assert!(
        shown.contains("template.updated") && shown.contains("\"ip\""),
        "{shown}"
    );
}

#[test]
fn the_id_says_when() {
    let millis = 0x018f_0000_0001;
    assert_eq!(golden().occurred_at().timestamp_millis(), millis);
}
