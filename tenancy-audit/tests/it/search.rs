//! Filters, counts and verification on Postgres.

use crate::support::{House, meta_at};
use chrono::{TimeDelta, Utc};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::{Value, json};
use tenancy_audit::{
    ActionFilter, ActorFilter, AuditQuery, Change, CountBy, Filter, Order, ResourceFilter,
    SearchText, TimeRange, Verdict,
};
use tenancy_core::{AuditSink as _, Event, Outcome, RequestId, Target, TenantCtx};

async fn found(house: &House, ctx: &TenantCtx, query: &AuditQuery) -> Vec<i64> {
    house
        .log
        .search(ctx, query)
        .await
        .unwrap()
        .entries
        .iter()
        .map(meta_at)
        .collect()
}

/// Four entries of two actors, and one that looks the same in another tenant.
async fn record_samples(house: &House, member: &TenantCtx, request: RequestId) {
    let in_request = house.a.clone().with_request_id(request);
    let event = |action: &str, at: i64| Event::new(action).meta("at", at);
    let two_targets = event("template.read", 1)
        .target("template", 2)
        .target("user", 1);
    let gone = event("user.gone", 3).target("user", 1);
    for (ctx, event) in [
        (&house.a, event("template.made", 0).target("template", 1)),
        (member, two_targets),
        (member, event("templates.read", 2).outcome(Outcome::Denied)),
        (&in_request, gone.outcome(Outcome::Error)),
        (&house.b, event("template.made", 9).target("template", 1)),
    ] {
        house.audit.record(ctx, event).await.unwrap();
    }
}

#[tokio::test]
async fn filters_find_exactly_what_they_name() {
    let house = House::new().await;
    let (owner, member) = (&house.a, house.member(&house.a).await);
    let request = RequestId::new();
    record_samples(&house, &member, request).await;

    let all = AuditQuery::new;
    let user = |ctx: &TenantCtx| ActorFilter::User(ctx.user().unwrap());
    let exact = |action| all().with_action(ActionFilter::exact(action).unwrap());
    let prefix = |action| all().with_action(ActionFilter::prefix(action).unwrap());
    let kind = |kind: &str| all().with_resource(ResourceFilter::Kind(kind.to_owned()));
    let resource = ResourceFilter::Exact(Target::new("template", 1));
    let allowed = all().with_outcome(Outcome::Allowed);
    for (query, expected) in [
        (all(), vec![3, 2, 1, 0]),
        (all().with_order(Order::OldestFirst), vec![0, 1, 2, 3]),
        (all().with_limit(2), vec![3, 2]),
        (all().with_actor(user(owner)), vec![3, 0]),
        (all().with_actor(user(&member)), vec![2, 1]),
        (all().with_actor(user(&house.b)), vec![]),
        (exact("template.made"), vec![0]),
        (prefix("template."), vec![1, 0]),
        (prefix("template"), vec![2, 1, 0]),
        (all().with_resource(resource), vec![0]),
        (kind("template"), vec![1, 0]),
        (kind("templat"), vec![]),
        (all().with_target(Target::new("user", 1)), vec![3, 1]),
        (all().with_outcome(Outcome::Denied), vec![2]),
        (all().with_outcome(Outcome::Error), vec![3]),
        (all().with_request(request), vec![3]),
        (all().with_request(RequestId::new()), vec![]),
        (allowed.with_actor(user(&member)), vec![1]),
    ] {
        assert_eq!(found(&house, owner, &query).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn a_query_as_typed_finds_what_it_says() {
    let house = House::new().await;
    let (owner, member) = (&house.a, house.member(&house.a).await);
    record_samples(&house, &member, RequestId::new()).await;
    for (at, ip, note) in [
        (4, Some("192.0.2.7"), "Refund of 50% \"now\""),
        (5, Some("192.0.3.1"), "refunded"),
        (6, Some("2001:db8::1"), "50 of"),
        (7, Some("not an address"), "ÜBER"),
        (8, None, "a\nb\\c"),
    ] {
        let mut event = Event::new("note.made").meta("at", at).meta("note", note);
        event.origin.ip = ip.map(str::to_owned);
        house.audit.record(owner, event).await.unwrap();
    }
    let user = member.user().unwrap();
    for (text, expected) in [
        ("", vec![8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ("action:note.made ip:192.0.2.0/24", vec![4]),
        ("ip:192.0.2.0/23", vec![5, 4]),
        ("ip:2001:db8::/32", vec![6]),
        ("ip:0.0.0.0/0 -ip:192.0.3.1", vec![4]),
        ("action:note.* -ip:192.0.0.0/16 -ip:::/0", vec![8, 7]),
        ("refund", vec![5, 4]),
        ("REFUND 50", vec![4]),
        ("50%", vec![4]),
        ("\"\\\"now\\\"\"", vec![4]),
        ("ÜBER", vec![7]),
        ("\"a\nb\\\\c\"", vec![8]),
        ("user.gone", vec![3]),
        ("\"template:2\"", vec![1]),
        ("action:note.* -refund", vec![8, 7, 6]),
        ("-action:note.* -action:user.gone", vec![2, 1, 0]),
        ("-action:note.made -action:template.*", vec![3, 2]),
        (&format!("-action:note.* -actor:user:{user}"), vec![3, 0]),
        ("-action:note.* -outcome:allowed", vec![3, 2]),
        ("-action:note.* -resource:template:*", vec![3, 2]),
        ("-action:note.* -resource:user:1", vec![2, 1, 0]),
        ("-action:note.* -target:user:1", vec![2, 0]),
        ("target:user:1 -outcome:error", vec![1]),
        (
            &format!("-action:note.* -request:{}", owner.request_id()),
            vec![3, 2, 1],
        ),
        ("created:2020 action:note.*", vec![]),
        (
            "created:>=2020 -action:note.* sort:oldest",
            vec![0, 1, 2, 3],
        ),
    ] {
        let query: AuditQuery = text.parse().unwrap();
        assert_eq!(found(&house, owner, &query).await, expected, "{text}");
    }
    let error = tenancy_audit::Error::from("who:x".parse::<AuditQuery>().unwrap_err());
    assert_eq!(error.code(), "audit_query_field");
    let mut long = AuditQuery::new();
    long.text = vec![SearchText::parse("x").unwrap(); 33];
    let error = house.log.search(owner, &long).await.unwrap_err();
    assert_eq!(error.code(), "audit_query_too_long");
}

#[tokio::test]
async fn a_search_without_an_index_ends_early_and_goes_on_where_it_ended() {
    let house = House::new().await;
    sqlx::raw_sql(
        "INSERT INTO tenancy.audit_logs (tenant_id, id, actor_kind, actor_id, action, outcome, meta, schema_version, content_hash)
         SELECT t.id,
            (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
                || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid,
            'service', 'x', 'thing.made', 'allowed', jsonb_build_object('at', n), 1, sha256('x')
         FROM tenancy.tenants t, generate_series(1, 45000) n, md5(t.id::text || n) h;
         ANALYZE tenancy.audit_logs;",
    )
    .execute(&house.superuser().await)
    .await
    .unwrap();
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let rare = SearchText::parse(": 7777}").unwrap();
        let mut query = AuditQuery::new().with_text(rare).with_order(order);
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let page = house.log.search(&house.a, &query).await.unwrap();
            found.extend(page.entries.iter().map(meta_at));
            pages += 1;
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        assert_eq!((found, pages), (vec![7_777], 3), "{order:?}");
    }
    let any = SearchText::parse("at").unwrap();
    let mut query = AuditQuery::new().with_text(any).with_limit(1_000);
    let mut seen = 0;
    loop {
        let page = house.log.search(&house.a, &query).await.unwrap();
        seen += page.entries.len();
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(seen, 45_000, "each on one page, whatever ends the page");

    let rare = AuditQuery::new().with_text(SearchText::parse("7777").unwrap());
    let count = |query: AuditQuery, most| {
        let house = &house;
        async move {
            house
                .log
                .count(&house.a, &query, CountBy::Total, most)
                .await
                .unwrap()
        }
    };
    let looked_at_some = count(rare.clone(), 1_000).await;
    assert!(looked_at_some.more && looked_at_some.counted == 0);
    let looked_at_all = count(rare, 100_000).await;
    assert_eq!((looked_at_all.counted, looked_at_all.more), (4, false));
}

#[tokio::test]
async fn counts_are_exact_up_to_their_bound() {
    let house = House::new().await;
    let member = house.member(&house.a).await;
    record_samples(&house, &member, RequestId::new()).await;
    let today = house.entries(&house.a).await[0]
        .occurred_at()
        .format("%F")
        .to_string();
    let group = |name: &str, count| (name.to_owned(), count);
    for (by, groups) in [
        (CountBy::Total, vec![group("", 4)]),
        (
            CountBy::Outcome,
            vec![group("allowed", 2), group("denied", 1), group("error", 1)],
        ),
        (
            CountBy::Action,
            [
                "template.made",
                "template.read",
                "templates.read",
                "user.gone",
            ]
            .map(|name| group(name, 1))
            .to_vec(),
        ),
        (CountBy::Day, vec![group(&today, 4)]),
    ] {
        for most in [4, 5, 100_000] {
            let counts = house
                .log
                .count(&house.a, &AuditQuery::new(), by, most)
                .await
                .unwrap();
            assert_eq!((counts.counted, counts.more), (4, false), "{by:?} {most}");
            assert_eq!(counts.groups, groups, "{by:?}");
        }
    }
    let newest = house
        .log
        .count(&house.a, &AuditQuery::new(), CountBy::Action, 2)
        .await
        .unwrap();
    assert_eq!((newest.counted, newest.more), (2, true));
    assert_eq!(
        newest.groups,
        [group("templates.read", 1), group("user.gone", 1)]
    );
    let denied = AuditQuery::new().without(Filter::Outcome(Outcome::Allowed));
    let counts = house
        .log
        .count(&house.a, &denied, CountBy::Total, 10)
        .await
        .unwrap();
    assert_eq!((counts.counted, counts.more), (2, false));
    let others = house
        .log
        .count(&house.b, &AuditQuery::new(), CountBy::Total, 10)
        .await
        .unwrap();
    assert_eq!(others.counted, 1);
}

#[tokio::test]
async fn a_time_range_contains_its_beginning_and_not_its_end() {
    let house = House::new().await;
    for at in 0..3 {
        house
            .audit
            .record(&house.a, Event::new("thing.made").meta("at", at))
            .await
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let entries = house.entries(&house.a).await;
    let [third, second, first] = &entries[..] else {
        panic!("three entries")
    };
    assert!((third.created_at - third.occurred_at()).abs() < TimeDelta::seconds(60));
    let range =
        |from, to| AuditQuery::new().with_time(TimeRange::new().with_from(from).with_to(to));
    let (one, two, three) = (
        first.occurred_at(),
        second.occurred_at(),
        third.occurred_at(),
    );
    let milli = TimeDelta::milliseconds(1);
    for (query, expected) in [
        (range(one, three), vec![1, 0]),
        (range(one + milli, three + milli), vec![2, 1]),
        (range(two, two), vec![]),
        (range(three, one), vec![]),
        (
            range(
                Utc::now() + TimeDelta::hours(1),
                Utc::now() + TimeDelta::hours(2),
            ),
            vec![],
        ),
    ] {
        assert_eq!(found(&house, &house.a, &query).await, expected, "{query:?}");
    }
}

fn any_meta() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::num::f64::ANY.prop_map(Value::from),
        "[\\PC\\x00-\\x1f\"\\\\]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-zA-Z\\PC]{0,5}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

#[tokio::test]
async fn whatever_is_recorded_verifies_after_the_database_kept_it() {
    let house = House::new().await;
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = any_meta();
    let mut tx = house.db.app.write(&house.a).await.unwrap();
    let mut events = Vec::new();
    for _ in 0..600 {
        let value = strategy.new_tree(&mut runner).unwrap().current();
        events.push(
            Event::new("thing.made")
                .meta("value", value)
                .target("thing", "ä\0b"),
        );
    }
    house.audit.record_batch_in(&mut tx, events).await.unwrap();
    tx.commit().await.unwrap();
    let found = house
        .log
        .verify(&house.a, &AuditQuery::new())
        .await
        .unwrap();
    assert_eq!(
        (found.checked, found.changed, found.erased),
        (600, 0, 0),
        "{:?}",
        found.changes
    );
}

#[tokio::test]
async fn verifying_finds_what_was_changed_or_stripped_behind_the_back() {
    let house = House::new().await;
    for at in 0..6 {
        let mut event = Event::new("thing.made").meta("at", at);
        event.origin.ip = Some("192.0.2.1".to_owned());
        event.origin.user_agent = Some("curl/8".to_owned());
        house.audit.record(&house.a, event).await.unwrap();
    }
    let superuser = house.superuser().await;
    house
        .as_owner("DROP TRIGGER audit_append_only ON tenancy.audit_logs")
        .await;
    for change in [
        "UPDATE tenancy.audit_logs SET meta = '{\"at\": 100}' WHERE meta @> '{\"at\": 0}'",
        "UPDATE tenancy.audit_logs SET outcome = 'denied' WHERE meta @> '{\"at\": 1}'",
        "UPDATE tenancy.audit_logs SET personal = jsonb_set(personal, '{ip,1}', '\"::1\"') WHERE meta @> '{\"at\": 2}'",
        "UPDATE tenancy.audit_logs SET personal = personal - 'ip' WHERE meta @> '{\"at\": 3}'",
        "UPDATE tenancy.audit_logs SET personal = '{}' WHERE meta @> '{\"at\": 4}'",
    ] {
        let done = sqlx::query(change).execute(&superuser).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{change}");
    }
    let query = AuditQuery::new().with_order(Order::OldestFirst);
    let found = house.log.verify(&house.a, &query).await.unwrap();
    assert_eq!((found.checked, found.changed, found.erased), (6, 5, 0));
    let stripped =
        |names: &[&str]| Change::Stripped(names.iter().map(|name| (*name).to_owned()).collect());
    let changes: Vec<_> = found
        .changes
        .into_iter()
        .map(|(_, change)| change)
        .collect();
    assert_eq!(
        changes,
        [
            Change::Content,
            Change::Content,
            Change::Personal("ip".to_owned()),
            stripped(&["ip"]),
            stripped(&["ip", "user_agent"]),
        ]
    );

    let entries = house.log.search(&house.a, &query).await.unwrap().entries;
    assert!(!entries[3].verify().is_intact());
    assert_eq!(
        (
            entries[3].origin().ip,
            entries[3].origin().user_agent.as_deref()
        ),
        (None, Some("curl/8"))
    );
    assert_eq!(entries[5].verify(), Verdict::Intact);
    assert_eq!(entries[5].meta["at"], json!(5));
}
