//! A text is found in memory, as a tail looks for it, where Postgres finds it.

use crate::support::House;
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::{Map, Value};
use tenancy_audit::{
    AuditQuery, AuditStore as _, Draft, Filter, SearchText, testing::MemoryAuditStore,
};
use tenancy_core::{AuditSink as _, Event};

const EVENTS: usize = 60;
const TEXTS: usize = 300;

fn text() -> impl Strategy<Value = String> {
    "[a-cA-C:,. {}\\[\\]\"\\\\/%_\\x01-\\x1f\\x7fé\u{202e}0-9-]{0,8}"
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        (-1_000_000_i32..1_000_000, 0_u8..8)
            .prop_map(|(n, scale)| Value::from(f64::from(n) / 10_f64.powi(scale.into()))),
        Just(Value::from(-0.0)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A stretch of a text, of its characters from and up to somewhere.
fn part(text: &str, from: usize, len: usize) -> String {
    let count = text.chars().count().max(1);
    text.chars().skip(from % count).take(len).collect()
}

#[tokio::test]
async fn a_text_is_found_in_memory_where_the_database_finds_it() {
    let house = House::new().await;
    let mut runner = TestRunner::deterministic();
    let metas = prop::collection::btree_map(text(), json(), 0..5);
    for _ in 0..EVENTS {
        let mut event = Event::new("thing.made");
        let meta = metas.new_tree(&mut runner).unwrap().current();
        event.meta = meta.into_iter().collect::<Map<_, _>>();
        house.audit.record(&house.a, event).await.unwrap();
    }
    let memory = MemoryAuditStore::new();
    for entry in house.entries(&house.a).await {
        let draft = Draft::from((*entry).clone());
        memory.append(&house.a, &[draft]).await.unwrap();
    }
    let stored: Vec<String> = sqlx::query_scalar("SELECT meta::text FROM tenancy.audit_logs")
        .fetch_all(&house.superuser().await)
        .await
        .unwrap();
    assert_eq!(stored.len(), EVENTS);

    let places = (0..EVENTS, any::<u16>(), 1_usize..12, any::<bool>());
    let (mut hits, mut looked_for) = (0, 0);
    for _ in 0..TEXTS {
        let (at, from, len, except) = places.new_tree(&mut runner).unwrap().current();
        let wanted = unescaped(&part(&stored[at], from.into(), len));
        let Ok(wanted) = SearchText::parse(wanted) else {
            continue;
        };
        let query = AuditQuery::new().with_limit(1_000);
        let query = if except {
            query.without(Filter::Text(wanted.clone()))
        } else {
            query.with_text(wanted.clone())
        };
        let ids = |page: tenancy_audit::Page| -> Vec<_> {
            page.entries.iter().map(|entry| entry.id).collect()
        };
        let kept = ids(house.store().search(&house.a, &query).await.unwrap());
        let held = ids(memory.search(&house.a, &query).await.unwrap());
        assert_eq!(kept, held, "{wanted:?}, except: {except}");
        hits += kept.len();
        looked_for += 1;
    }
    assert!(
        hits > looked_for / 2,
        "{hits} entries for {looked_for} texts"
    );
}

/// What somebody would type to find this part of a JSON text: without the escapes that are whole.
fn unescaped(part: &str) -> String {
    let whole = serde_json::from_str::<String>(&format!("\"{part}\""));
    whole.unwrap_or_else(|_| part.to_owned())
}
