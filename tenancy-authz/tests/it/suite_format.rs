//! The format of the suite of conformance is what its README says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tenancy_authz::{
    Wildcard,
    testing::suite::{self, FILES, Reference, Suite, TenantOf},
};
use tenancy_core::{PermissionKey, RoleKey};

use crate::{
    conformance::{BySnapshot, BySql, Loaded, hour_long},
    support::Result,
};

const README: &str = include_str!("../../conformance/README.md");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance");

/// The example of the README, which has every field that there is.
fn example() -> Result<&'static str> {
    let (_, behind) = README.split_once("```yaml\n").ok_or("no example")?;
    Ok(behind.split_once("```").ok_or("no end")?.0)
}

fn parsed(example: &Value) -> Result<Suite, serde_saphyr::Error> {
    serde_saphyr::from_str(&example.to_string())
}

#[tokio::test]
async fn the_example_of_the_readme_is_a_suite_and_holds_for_all_three() -> Result {
    let suite: Suite = serde_saphyr::from_str(example()?)?;
    let asked = suite.questions().len();
    assert_eq!(asked, 2);
    let loaded = Loaded::new().await?;
    let authz = hour_long(&loaded);
    let mut snapshot = BySnapshot {
        loaded: &loaded,
        authz: &authz,
    };
    let counted = [
        suite::run(&suite, &mut Reference::default()).await?,
        suite::run(&suite, &mut BySql(&loaded)).await?,
        suite::run(&suite, &mut snapshot).await?,
    ];
    assert_eq!(counted, [asked; 3]);
    Ok(())
}

/// Where the example has objects with fields, and not maps of names.
const OBJECTS: &[&str] = &[
    "",
    "/policies",
    "/policies/tenants/acme",
    "/policies/tenants/acme/roles/editor",
    "/policies/tenants/acme/members/ann",
    "/check/0",
];

#[test]
fn a_field_that_is_not_described_is_refused_wherever_it_stands() -> Result {
    let example: Value = serde_saphyr::from_str(example()?)?;
    let mut fields = BTreeSet::new();
    for at in OBJECTS {
        let object = example.pointer(at).and_then(Value::as_object);
        let object = object.ok_or_else(|| format!("the example has no {at}"))?;
        fields.extend(object.keys().map(String::as_str));
        let mut more = example.clone();
        let object = more.pointer_mut(at).and_then(Value::as_object_mut);
        object.ok_or("no object")?.insert("more".into(), json!([]));
        assert!(parsed(&more).is_err(), "another field at `{at}`");
    }
    let described = BTreeSet::from([
        "about",
        "check",
        "grants",
        "holds",
        "lacks",
        "members",
        "name",
        "parents",
        "permissions",
        "policies",
        "roles",
        "state",
        "tenant",
        "tenants",
        "user",
        "wildcards",
    ]);
    assert_eq!(fields, described, "the example has every field");
    Ok(())
}

#[test]
fn states_are_those_that_are_described() -> Result {
    let example: Value = serde_saphyr::from_str(example()?)?;
    for (at, known) in [
        (
            "/policies/tenants/acme/state",
            ["open", "readable", "closed"],
        ),
        (
            "/policies/tenants/acme/members/ann/state",
            ["active", "kept_out", "gone"],
        ),
        (
            "/policies/tenants/acme/members/ann/roles/editor",
            ["forever", "later", "ended"],
        ),
    ] {
        for (state, is_known) in known.map(|state| (state, true)).into_iter().chain([
            ("Open", false),
            ("ajar", false),
            ("", false),
        ]) {
            assert!(!is_known || README.contains(state), "{state} is described");
            let mut other = example.clone();
            *other.pointer_mut(at).ok_or("no state")? = json!(state);
            assert_eq!(parsed(&other).is_ok(), is_known, "`{state}` at {at}");
        }
    }
    Ok(())
}

#[test]
fn what_is_left_out_is_empty_but_for_what_is_always_there() -> Result {
    let example: Value = serde_saphyr::from_str(example()?)?;
    let always = BTreeSet::from([
        "/name",
        "/about",
        "/policies",
        "/check",
        "/check/0/tenant",
        "/check/0/user",
    ]);
    for at in OBJECTS {
        let object = example.pointer(at).and_then(Value::as_object);
        for field in object.ok_or("no object")?.keys() {
            let mut less = example.clone();
            let object = less.pointer_mut(at).and_then(Value::as_object_mut);
            object.ok_or("no object")?.remove(field);
            let path = format!("{at}/{field}");
            let is_needed = always.contains(path.as_str());
            assert_eq!(parsed(&less).is_err(), is_needed, "without {path}");
        }
    }
    Ok(())
}

#[test]
fn each_file_of_the_folder_is_one_of_the_suite_and_keeps_to_the_format() -> Result {
    let mut on_disk = BTreeSet::new();
    for entry in std::fs::read_dir(FOLDER)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        match name.ok_or("a name")?.split_once('.') {
            Some((stem, "yaml")) => {
                on_disk.insert(stem.to_owned());
            }
            other => assert_eq!(other, Some(("README", "md")), "what else is there"),
        }
    }
    let names: BTreeSet<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(on_disk, names);
    for (name, text) in FILES {
        assert_eq!(
            *text,
            std::fs::read_to_string(format!("{FOLDER}/{name}.yaml"))?
        );
        assert!(README.contains(&format!("`{name}`")), "{name} is named");
        is_plain(text).map_err(|what| format!("{name}: {what}"))?;
        let suite: Suite = serde_saphyr::from_str(text)?;
        let policies = &suite.policies;
        for key in &policies.permissions {
            PermissionKey::parse(key.clone())?;
        }
        for (asked, _) in suite.questions() {
            PermissionKey::parse(asked.permission)?;
        }
        for (tenant, of) in &policies.tenants {
            of_tenant(of).map_err(|what| format!("{name}, {tenant}: {what}"))?;
        }
    }
    Ok(())
}

/// Neither anchors, aliases, tags nor merge keys: each begins a word.
fn is_plain(text: &str) -> Result<(), String> {
    let begins = |before: char| before.is_whitespace() || "[{,:".contains(before);
    let mut before = '\n';
    for at in text.chars() {
        if "&*!".contains(at) && begins(before) {
            return Err(format!("`{at}` begins a word"));
        }
        before = at;
    }
    if text.contains("<<") {
        return Err("a merge key".into());
    }
    Ok(())
}

fn of_tenant(tenant: &TenantOf) -> Result {
    let mut heights = BTreeMap::new();
    for (key, role) in &tenant.roles {
        RoleKey::parse(key)?;
        for grant in &role.grants {
            PermissionKey::parse(grant.clone())?;
        }
        for pattern in &role.wildcards {
            Wildcard::parse(pattern)?;
        }
        let height = height(tenant, key, 0)?;
        assert!(height <= 8, "{key} has {height} above itself");
        heights.insert(key, height);
    }
    for member in tenant.members.values() {
        for role in member.roles.keys() {
            assert!(heights.contains_key(role), "{role} is a role of the tenant");
        }
    }
    Ok(())
}

/// How many roles stand above one; an error for a circle, and for a parent that there is not.
fn height(tenant: &TenantOf, role: &str, below: usize) -> Result<usize> {
    if below > 100 {
        return Err(format!("{role} stands above itself").into());
    }
    let role = tenant.roles.get(role).ok_or("a parent is no role")?;
    let mut most = 0;
    for parent in &role.parents {
        most = most.max(1 + height(tenant, parent, below + 1)?);
    }
    Ok(most)
}
