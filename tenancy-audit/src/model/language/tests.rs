use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use tenancy_core::{ApiKeyId, Outcome, RequestId, ServiceKey, Target, UserId};
use uuid::Uuid;

use super::*;
use crate::model::{ActionFilter, ActorFilter, IpRange, ResourceFilter};

fn parse(text: &str) -> AuditQuery {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn created(text: &str) -> (Option<String>, Option<String>) {
    let TimeRange { from, to } = parse(text).time;
    let text = |at: Option<DateTime<Utc>>| at.map(|at| at.format("%FT%T%.f").to_string());
    (text(from), text(to))
}

#[test]
fn terms_mean_what_they_say() {
    let query = parse(
        "action:invoice.*  actor:service:billing \t-outcome:allowed ip:10.0.0.0/8 \"two words\" -\"no\\\"t\" word",
    );
    assert_eq!(query.action, ActionFilter::prefix("invoice.").ok());
    let billing = ServiceKey::parse("billing").unwrap();
    assert_eq!(query.actor, Some(ActorFilter::Service(billing)));
    assert_eq!(query.ip, "10.0.0.0/8".parse::<IpRange>().ok());
    let texts: Vec<&str> = query.text.iter().map(SearchText::as_str).collect();
    assert_eq!(texts, ["two words", "word"]);
    let not = SearchText::parse("no\"t").unwrap();
    assert_eq!(
        query.except,
        [Filter::Outcome(Outcome::Allowed), Filter::Text(not)]
    );
    let thing = |text: &str| parse(text).resource.unwrap();
    let exact = |id: &str| ResourceFilter::Exact(Target::new("template", id));
    assert_eq!(thing("resource:template:7"), exact("7"));
    assert_eq!(thing("resource:template:a:b"), exact("a:b"));
    assert_eq!(thing("resource:\"template:*\""), exact("*"));
    assert_eq!(
        thing("resource:template:*"),
        ResourceFilter::Kind("template".to_owned())
    );
    assert_eq!(parse("").order, Order::NewestFirst);
    assert_eq!(parse("sort:oldest").order, Order::OldestFirst);
    let user = UserId::new();
    assert_eq!(
        parse(&format!("actor:{user}")).actor,
        Some(ActorFilter::User(user))
    );
}

#[test]
fn a_time_lasts_as_long_as_it_was_typed() {
    let both = |from: &str, to: &str| (Some(from.to_owned()), Some(to.to_owned()));
    let (day, month) = ("2026-02-01T00:00:00", "2026-03-01T00:00:00");
    assert_eq!(
        created("created:2026"),
        both("2026-01-01T00:00:00", "2027-01-01T00:00:00")
    );
    assert_eq!(created("created:2026-02"), both(day, month));
    assert_eq!(
        created("created:2026-02-01"),
        both(day, "2026-02-02T00:00:00")
    );
    assert_eq!(
        created("created:2026-01..2026-02"),
        both("2026-01-01T00:00:00", month)
    );
    assert_eq!(created("created:>=2026-02"), (Some(day.to_owned()), None));
    assert_eq!(created("created:>2026-02"), (Some(month.to_owned()), None));
    assert_eq!(created("created:<2026-02"), (None, Some(day.to_owned())));
    assert_eq!(created("created:<=2026-02"), (None, Some(month.to_owned())));
    assert_eq!(created("created:2026-02..*"), (Some(day.to_owned()), None));
    assert_eq!(
        created("created:*..2026-02"),
        (None, Some(month.to_owned()))
    );
    assert_eq!(
        created("created:>=2026-02 created:<2026-03"),
        both(day, month)
    );
    assert_eq!(
        created("created:2026-02-01T00:00Z..2026-02-01T01:30:00+01:00"),
        both(day, "2026-02-01T00:30:01")
    );
}

#[test]
fn what_is_wrong_says_where_and_what_was_expected() {
    for (text, at, code) in [
        ("outcome:refused", 8, "audit_query_value"),
        ("a outcome:", 10, "audit_query_value"),
        ("who:ann", 0, "audit_query_field"),
        ("ü -who:ann", 3, "audit_query_field"),
        ("http://x", 0, "audit_query_field"),
        ("Action:a.b", 0, "audit_query_field"),
        (":x", 0, "audit_query_field"),
        ("-", 1, "audit_query_value"),
        ("\"\"", 0, "audit_query_value"),
        ("a \"b c", 2, "audit_query_quote"),
        ("\"a\\", 0, "audit_query_quote"),
        ("action:Invoice", 7, "audit_query_value"),
        ("action:*", 7, "audit_query_value"),
        ("action:a*b.c", 7, "audit_query_value"),
        ("action:%", 7, "audit_query_value"),
        ("actor:ann", 6, "audit_query_value"),
        ("actor:user:*", 6, "audit_query_value"),
        ("target:template:*", 7, "audit_query_value"),
        ("resource:template", 9, "audit_query_value"),
        ("resource:a%:*", 9, "audit_query_value"),
        ("ip:1.2.3.4/99", 3, "audit_query_value"),
        ("request:7", 8, "audit_query_value"),
        ("created:2026-13", 8, "audit_query_value"),
        ("created:2026-02-30", 8, "audit_query_value"),
        ("created:26", 8, "audit_query_value"),
        ("created:*..*", 8, "audit_query_value"),
        ("created:2026-01-01T00:00:00", 8, "audit_query_value"),
        ("created:2026*", 8, "audit_query_value"),
        ("created:>=2026-01..2026-02", 8, "audit_query_value"),
        ("sort:up", 5, "audit_query_value"),
        ("sort:oldest sort:newest", 12, "audit_query_twice"),
        ("a created:2026 created:2027", 15, "audit_query_twice"),
        ("outcome:denied -a outcome:error", 18, "audit_query_twice"),
        ("-created:2026", 0, "audit_query_negation"),
        ("-sort:oldest", 0, "audit_query_negation"),
        ("a\0", 0, "audit_query_value"),
    ] {
        let error = text.parse::<AuditQuery>().unwrap_err();
        assert_eq!((error.position(), error.code()), (at, code), "{text}");
        assert!(!error.expected().is_empty());
    }
    let many = "a ".repeat(MOST_TERMS);
    assert_eq!(parse(&many).text.len(), MOST_TERMS);
    let error = format!("{many} b").parse::<AuditQuery>().unwrap_err();
    assert_eq!(
        (error.position(), error.code()),
        (65, "audit_query_too_long")
    );
    let error = "x".repeat(MAX_LEN + 1).parse::<AuditQuery>().unwrap_err();
    assert_eq!(error.code(), "audit_query_too_long");
}

fn any_uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn any_target() -> impl Strategy<Value = Target> {
    ("[a-zA-Z0-9_./-]{1,9}", "[^\\x00]{1,12}").prop_map(|(kind, id)| Target::new(kind, id))
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let action = prop_oneof![
        "[a-z][a-z0-9_]{0,6}(\\.[a-z][a-z0-9_]{0,6}){1,2}"
            .prop_map(|text| ActionFilter::exact(&text).unwrap()),
        "[a-z][a-z0-9]{0,6}[._]?".prop_map(|text| ActionFilter::prefix(&text).unwrap()),
    ];
    let actor = prop_oneof![
        any_uuid().prop_map(|id| ActorFilter::User(UserId::from_uuid(id))),
        any_uuid().prop_map(|id| ActorFilter::ApiKey(ApiKeyId::from_uuid(id))),
        "[a-z][a-z0-9_]{0,9}"
            .prop_map(|text| ActorFilter::Service(ServiceKey::parse(&text).unwrap())),
    ];
    let ip = prop_oneof![
        (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(a, n)| (std::net::IpAddr::from(a), n)),
        (any::<[u8; 16]>(), 0_u8..=128).prop_map(|(a, n)| (std::net::IpAddr::from(a), n)),
    ];
    let outcome = prop::sample::select(vec![Outcome::Allowed, Outcome::Denied, Outcome::Error]);
    prop_oneof![
        action.prop_map(Filter::Action),
        actor.prop_map(Filter::Actor),
        ip.prop_map(|(address, bits)| Filter::Ip(format!("{address}/{bits}").parse().unwrap())),
        outcome.prop_map(Filter::Outcome),
        any_uuid().prop_map(|id| Filter::Request(RequestId::from_uuid(id))),
        any_target().prop_map(|target| Filter::Resource(ResourceFilter::Exact(target))),
        "[a-zA-Z0-9_./-]{1,9}".prop_map(|kind| Filter::Resource(ResourceFilter::Kind(kind))),
        any_target().prop_map(Filter::Target),
        "[^\\x00]{1,12}".prop_map(|text| Filter::Text(SearchText::parse(text).unwrap())),
    ]
}

fn any_time() -> impl Strategy<Value = Option<DateTime<Utc>>> {
    let most = 250_000_000_000_000_000_i64;
    prop::option::of(
        (0..most).prop_map(|micros| DateTime::UNIX_EPOCH + TimeDelta::microseconds(micros)),
    )
}

fn any_query() -> impl Strategy<Value = AuditQuery> {
    let filters = || prop::collection::vec(any_filter(), 0..6);
    (filters(), filters(), any_time(), any_time(), any::<bool>()).prop_map(
        |(filters, except, from, to, oldest)| {
            let mut query = AuditQuery::new();
            for filter in filters {
                match filter {
                    Filter::Action(filter) => query.action = Some(filter),
                    Filter::Actor(filter) => query.actor = Some(filter),
                    Filter::Ip(range) => query.ip = Some(range),
                    Filter::Outcome(outcome) => query.outcome = Some(outcome),
                    Filter::Request(request) => query.request = Some(request),
                    Filter::Resource(filter) => query.resource = Some(filter),
                    Filter::Target(target) => query.target = Some(target),
                    Filter::Text(text) => query.text.push(text),
                }
            }
            query.except = except;
            query.time = TimeRange { from, to };
            if oldest {
                query.order = Order::OldestFirst;
            }
            query
        },
    )
}

proptest! {
    #[test]
    fn what_was_written_reads_as_the_same_query(query in any_query()) {
        let text = query.to_string();
        prop_assert_eq!(text.parse::<AuditQuery>(), Ok(query), "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic_and_an_error_lies_in_it(
        text in "(-|[a-z]{1,3}|action|created|resource|:|\"|\\\\|\\*|\\.\\.|>|=|2026|-0[1-9]| |\\PC){0,24}",
    ) {
        match text.parse::<AuditQuery>() {
            Ok(query) => prop_assert_eq!(query.to_string().parse::<AuditQuery>(), Ok(query)),
            Err(error) => prop_assert!(error.position() <= text.chars().count()),
        }
    }
}
