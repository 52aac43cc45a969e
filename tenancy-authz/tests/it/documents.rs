//! A policy has the same limits whatever reads it.

use tenancy_authz::{ErrorKind, PolicyDiff, PolicyDocument, RoleDocument, RoleName};
use tenancy_core::{RoleKey, UserId};

#[test]
fn every_way_in_has_the_same_limits() {
    let json = |roles: &str, members: &str| {
        format!(r#"{{"version": 1, "roles": {{{roles}}}, "members": {{{members}}}}}"#)
    };
    let many = |count: usize, one: &dyn Fn(usize) -> String| {
        (0..count).map(one).collect::<Vec<_>>().join(",")
    };
    let role = |grants: &str, parents: &str| {
        format!(r#""a": {{"name": "A", "grants": [{grants}], "parents": [{parents}]}}"#)
    };
    let wildcard = |at: usize| format!(r#""a{at}.*""#);
    let parent = |at: usize| format!(r#""r{at}""#);
    let user = UserId::new();
    let assigned = |count| {
        format!(
            r#""{user}": {{{}}}"#,
            many(count, &|at| format!(r#""r{at}": null"#))
        )
    };
    let plain = |count| many(count, &|at| format!(r#""r{at}": {{"name": "R"}}"#));
    let member = |_: usize| format!(r#""{}": {{}}"#, UserId::new());
    let at_most = [
        (json(&plain(20_000), ""), json(&plain(20_001), "")),
        (json(&plain(20_000), ""), json(&plain(30_000), "")),
        (
            json("", &many(20_000, &member)),
            json("", &many(20_001, &member)),
        ),
        (json("", &assigned(200)), json("", &assigned(201))),
        (
            json(&role(&many(100, &wildcard), ""), ""),
            json(&role(&many(101, &wildcard), ""), ""),
        ),
        (
            json(&role("", &many(20, &parent)), ""),
            json(&role("", &many(21, &parent)), ""),
        ),
    ];
    for (fits, exceeds) in at_most {
        let parsed = PolicyDocument::parse(&fits).unwrap();
        assert_eq!(
            serde_json::from_str::<PolicyDocument>(&fits).unwrap(),
            parsed
        );
        let refused = PolicyDocument::parse(&exceeds).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.code()),
            (ErrorKind::Limit, "policy_too_large")
        );
        let refused = serde_json::from_str::<PolicyDocument>(&exceeds).unwrap_err();
        assert!(refused.to_string().contains("at most"), "{refused}");
    }
    for text in [
        r#"{"version": 2}"#,
        r#"{"version": 1, "rolls": {}}"#,
        r#"{"version": 1, "roles": {"a": {"name": "A"}, "a": {"name": "A"}}}"#,
        r#"{"version": 1, "roles": {"a": {"name": "A", "rights": []}}}"#,
        r#"{"roles": {}}"#,
    ] {
        assert!(
            serde_json::from_str::<PolicyDocument>(text).is_err(),
            "{text}"
        );
        let refused = PolicyDocument::parse(text).expect_err(text);
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{text}: {refused}");
    }
    // Nor is what was put together by hand imported.
    let mut policy = PolicyDocument::default();
    let mut wide = RoleDocument::new(RoleName::parse("A").unwrap());
    let keys = (0..21).map(|at| RoleKey::parse(format!("r{at}")).unwrap());
    wide.parents.extend(keys);
    policy.roles.insert(RoleKey::from_static("a"), wide);
    assert_eq!(policy.check().unwrap_err().kind(), ErrorKind::Limit);
    let none = PolicyDocument::default();
    let diff = PolicyDiff::between(&none, &policy, false);
    assert_eq!(diff.unwrap_err().kind(), ErrorKind::Limit);
}
