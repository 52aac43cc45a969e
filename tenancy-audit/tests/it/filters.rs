//! What a filter means is the same in a search, a count, a tail, an export, on Postgres and in memory.

use std::sync::Arc;

use crate::support::{House, meta_at};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::Value;
use tenancy_audit::{
    ActionFilter, AuditQuery, AuditStore as _, AuditWriter, CountBy, ExportFormat,
    testing::MemoryAuditStore,
};
use tenancy_core::{
    ApiKeyId, AuditSink as _, Event, Principal, ServiceKey, TenantCtx, testing::imagined,
};

fn event(action: &str, at: i64) -> Event {
    Event::new(action).meta("at", at)
}

fn sorted(mut numbers: Vec<i64>) -> Vec<i64> {
    numbers.sort_unstable();
    numbers
}

/// What a search, a count, an export and a tail that began before all of it find, if they agree.
async fn found_everywhere(house: &House, tails: &[(AuditQuery, Vec<i64>)], text: &str) -> Vec<i64> {
    let (ctx, query): (_, AuditQuery) = (&house.a, text.parse().unwrap());
    let page = house.log.search(ctx, &query).await.unwrap();
    let searched = sorted(page.entries.iter().map(meta_at).collect());
    let counted = house.log.count(ctx, &query, CountBy::Total, 1_000).await;
    assert_eq!(counted.unwrap().counted, searched.len() as u64, "{text}");
    let export = house.log.export(ctx, &query, ExportFormat::Ndjson).await;
    let (mut export, mut exported) = (export.unwrap(), Vec::new());
    while let Some(lines) = export.next_lines().await.unwrap() {
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        exported.extend(lines.map(|line| line["meta"]["at"].as_i64().unwrap_or(-1)));
    }
    exported.retain(|at| *at >= 0);
    let own: Vec<i64> = searched.iter().copied().filter(|at| *at >= 0).collect();
    assert_eq!(sorted(exported), own, "{text}");
    let followed = tails.iter().find(|(of, _)| *of == query).unwrap();
    assert_eq!(sorted(followed.1.clone()), own, "{text}");
    own
}

/// Records with a tail of each query running; what these saw.
async fn recorded(
    house: &House,
    texts: &[String],
    events: Vec<(&TenantCtx, Event)>,
) -> Vec<(AuditQuery, Vec<i64>)> {
    let mut tails = Vec::new();
    for text in texts {
        let query: AuditQuery = text.parse().unwrap();
        let tail = house.log.tail(&house.a, &query).await.unwrap();
        tails.push((query, tail));
    }
    for (ctx, event) in events {
        house.audit.record(ctx, event).await.unwrap();
    }
    let mut seen = Vec::new();
    for (query, mut tail) in tails {
        let mut found = Vec::new();
        loop {
            let some = tail.poll().await.unwrap();
            if some.is_empty() {
                break;
            }
            found.extend(some.iter().map(meta_at));
        }
        seen.push((query, found));
    }
    seen
}

#[tokio::test]
async fn an_actor_is_found_by_its_kind_and_its_name() {
    let house = House::new().await;
    let (tenant, user) = (house.a.tenant(), house.a.user().unwrap());
    let service = |name: &'static str| {
        let key = ServiceKey::parse(name).unwrap();
        imagined(tenant, Principal::service(key, vec![]))
    };
    // The id of a person, as a key's.
    let twin = ApiKeyId::from_uuid(user.as_uuid());
    let key = ApiKeyId::new();
    let by_key = |id| imagined(tenant, Principal::api_key(id, vec![]));
    let (billing, late) = (service("billing"), service("billing_late"));
    let (key_ctx, twin_ctx) = (by_key(key), by_key(twin));
    let expected = [
        ("actor:service:billing".to_owned(), vec![1]),
        ("actor:service:billing_late".to_owned(), vec![2]),
        ("actor:service:bill".to_owned(), vec![]),
        (format!("actor:api_key:{key}"), vec![3]),
        (format!("actor:api_key:{user}"), vec![4]),
        (format!("actor:user:{user}"), vec![0]),
        (format!("actor:{user}"), vec![0]),
        (format!("actor:user:{key}"), vec![]),
        (
            "action:thing.made -actor:service:billing".to_owned(),
            vec![0, 2, 3, 4],
        ),
        (
            format!("action:thing.made -actor:api_key:{key}"),
            vec![0, 1, 2, 4],
        ),
        (
            format!("action:thing.made -actor:user:{user}"),
            vec![1, 2, 3, 4],
        ),
    ];
    let texts: Vec<String> = expected.iter().map(|(text, _)| text.clone()).collect();
    let actors = [&house.a, &billing, &late, &key_ctx, &twin_ctx];
    let events = actors.into_iter().zip(0..);
    let events = events.map(|(ctx, at)| (ctx, event("thing.made", at)));
    let tails = recorded(&house, &texts, events.collect()).await;
    for (text, expected) in expected {
        let found = found_everywhere(&house, &tails, &text).await;
        assert_eq!(found, expected, "{text}");
    }
    let entries = house.entries(&house.a).await;
    let kinds = |at: i64| {
        let entry = entries.iter().find(|entry| meta_at(entry) == at).unwrap();
        entry.actor.kind.clone()
    };
    assert_eq!([1, 3].map(kinds), ["service", "api_key"]);
}

#[tokio::test]
async fn an_exact_action_is_not_the_beginning_of_another() {
    let house = House::new().await;
    let actions = [
        "login.begun",
        "login.begun_again",
        "login.begun.twice",
        "login.begunx",
        "login.begu",
        // `_` is any letter for whoever compares by pattern.
        "login_x.begun",
        "loginax.begun",
    ];
    let expected = [
        ("action:login.begun", vec![0]),
        ("action:login.begun_again", vec![1]),
        ("action:login_x.begun", vec![5]),
        ("action:login.begun*", vec![0, 1, 2, 3]),
        ("action:login.begun_*", vec![1]),
        ("action:login* -action:login.begun", vec![1, 2, 3, 4, 5, 6]),
        (
            "action:login* -action:login_x.begun",
            vec![0, 1, 2, 3, 4, 6],
        ),
        ("action:login* -action:login.begun*", vec![4, 5, 6]),
        ("action:login* -action:login_*", vec![0, 1, 2, 3, 4, 6]),
    ];
    let texts: Vec<String> = expected
        .iter()
        .map(|(text, _)| (*text).to_owned())
        .collect();
    let events = actions.into_iter().zip(0..);
    let events = events.map(|(action, at)| (&house.a, event(action, at)));
    let tails = recorded(&house, &texts, events.collect()).await;
    for (text, expected) in expected {
        let found = found_everywhere(&house, &tails, text).await;
        assert_eq!(found, expected, "{text}");
    }
    let exact = AuditQuery::new().with_action(ActionFilter::exact("login.begun").unwrap());
    let page = house.log.search(&house.a, &exact).await.unwrap();
    assert_eq!(page.entries.len(), 1);
}

/// What stands where an address should: addresses, what Postgres takes for one, and anything else.
fn any_address() -> impl Strategy<Value = String> {
    let octet = || {
        prop_oneof![
            "[0-9]{1,3}",
            "0[0-9]{1,3}",
            (0..256_u32).prop_map(|n| n.to_string())
        ]
    };
    let v4 = || proptest::collection::vec(octet(), 1..6).prop_map(|octets| octets.join("."));
    let group = || "[0-9a-fA-F]{0,5}";
    let v6 = || proptest::collection::vec(group(), 2..10).prop_map(|groups| groups.join(":"));
    let mask =
        || prop_oneof![3 => Just(String::new()), 1 => "/[0-9]{0,3}", 1 => "[ %:/a-z0-9]{0,6}"];
    prop_oneof![
        (v4(), mask()).prop_map(|(v4, mask)| v4 + &mask),
        (v6(), mask()).prop_map(|(v6, mask)| v6 + &mask),
        ("(::ffff:|::)", v4(), mask()).prop_map(|(v6, v4, mask)| v6 + &v4 + &mask),
        "[ 0-9a-f:./%]{0,24}",
    ]
}

#[tokio::test]
async fn an_address_is_one_on_postgres_where_it_is_one_in_memory() {
    let house = House::new().await;
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = any_address();
    let known = [
        "192.0.2.7",
        "192.0.2.7/24",
        "192.0.2.7/32",
        "192.0.2/24",
        "192/8",
        "192.0.2",
        "192.000.002.007",
        "192.0.2.07",
        "0192.0.2.7",
        "00.0.0.0",
        "0.0.0.0",
        "192.0.2.256",
        " 192.0.2.7",
        "192.0.2.7 ",
        "192.0.2.7:80",
        "2001:db8::7",
        "2001:DB8::7",
        "2001:0db8:0000:0000:0000:0000:0000:0007",
        "0001::7",
        "2001:db8::7/64",
        "2001:db8::7/128",
        "2001:db8::7%eth0",
        "[2001:db8::7]",
        "::ffff:192.0.2.7",
        "::ffff:192.0.2.07",
        "::192.0.2.7",
        "::",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::",
        "1::2:3:4:5:6:7:8",
        "",
    ];
    let mut addresses = known.map(str::to_owned).to_vec();
    for _ in 0..900 {
        addresses.push(strategy.new_tree(&mut runner).unwrap().current());
    }
    let store = MemoryAuditStore::new();
    let memory = AuditWriter::new(Arc::new(store.clone()));
    let mut events = Vec::new();
    for (address, at) in addresses.iter().zip(0..) {
        let mut event = event("thing.made", at);
        event.origin.ip = Some(address.clone());
        memory.record(&house.a, event.clone()).await.unwrap();
        events.push(event);
    }
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    house.audit.record_batch_in(&mut tx, events).await.unwrap();
    tx.commit().await.unwrap();
    for text in [
        "ip:0.0.0.0/0",
        "ip:::/0",
        "ip:192.0.2.0/24",
        "ip:192.0.2.7",
        "ip:2001:db8::/32",
        "ip:::ffff:0:0/96",
        "-ip:0.0.0.0/0",
        "-ip:::/0",
        "-ip:192.0.2.7",
        "-ip:0.0.0.0/0 -ip:::/0",
    ] {
        let query: AuditQuery = text.parse().unwrap();
        let query = query.with_limit(1_000);
        let kept = house.log.search(&house.a, &query).await.unwrap().entries;
        let kept = sorted(kept.iter().map(meta_at).collect());
        let here = store.search(&house.a, &query).await.unwrap().entries;
        let here = sorted(here.iter().map(meta_at).collect());
        let differ: Vec<&String> = addresses
            .iter()
            .zip(0..)
            .filter(|(_, at)| kept.contains(at) != here.contains(at))
            .map(|(address, _)| address)
            .collect();
        assert!(differ.is_empty(), "{text}: {differ:?}");
        let counted = house
            .log
            .count(&house.a, &query, CountBy::Total, 1_000)
            .await;
        assert_eq!(counted.unwrap().counted, kept.len() as u64, "{text}");
    }
    let all: AuditQuery = "ip:192.0.2.7".parse().unwrap();
    let one = house.log.search(&house.a, &all).await.unwrap().entries;
    assert!(one.iter().map(meta_at).any(|at| at == 0), "what is one");
    assert!(one.iter().map(meta_at).all(|at| at == 0 || at >= 31));
}
