//! An import is one step: what is wrong only in passing is not wrong, and what is refused leaves nothing.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use tenancy_authz::{
    AuthzOptions, ErrorKind, GrantKey, ImportOptions, MockPolicyStore, NewRole, PgAuthorizer,
    PolicyDocument, RoleDocument, Roles, sync_permissions,
};
use tenancy_core::{Decision, PermissionDef, PermissionKey, RoleKey, UserId};

use crate::support::{
    PURGE, READ, Result, WRITE, World, definitions, name, role, role_named, told, user, wildcard,
};

const MANAGE: PermissionKey = PermissionKey::from_static("roles.manage");

fn keep() -> ImportOptions {
    ImportOptions::default()
}

fn put(policy: &mut PolicyDocument, key: RoleKey, change: impl FnOnce(&mut RoleDocument)) {
    let role = policy.roles.remove(&key);
    let mut role = role.unwrap_or(RoleDocument::new(name("Role")));
    change(&mut role);
    policy.roles.insert(key, role);
}

async fn imported(world: &World, policy: &PolicyDocument) -> Result {
    for options in [keep().with_dry_run(true), keep()] {
        world.roles.import(&world.owner, policy, &options).await?;
    }
    let mut now = world.roles.export(&world.owner).await?;
    let mut wanted = policy.clone();
    (now.epoch, wanted.epoch) = (None, None);
    assert_eq!(now, wanted);
    Ok(())
}

#[tokio::test]
async fn parents_change_places() -> Result {
    let world = World::new().await?;
    let mut policy = world.roles.export(&world.owner).await?;
    let keys = [role("a"), role("b"), role("c")];
    for (at, key) in keys.iter().enumerate() {
        put(&mut policy, key.clone(), |role| {
            role.grants
                .insert(GrantKey::Permission([READ, WRITE, PURGE][at].clone()));
            role.parents.extend(keys.get(at + 1).cloned());
        });
    }
    imported(&world, &policy).await?;
    // The whole line turned round: c above a and b, a on top of none.
    let mut turned = world.roles.export(&world.owner).await?;
    for (at, key) in keys.iter().enumerate() {
        put(&mut turned, key.clone(), |role| {
            role.parents.clear();
            role.parents
                .extend(at.checked_sub(1).and_then(|at| keys.get(at)).cloned());
        });
    }
    imported(&world, &turned).await?;
    let granted = world
        .roles
        .permissions_of_role(&world.owner, &keys[2])
        .await?;
    assert_eq!(granted, [PURGE, READ, WRITE]);
    let granted = world
        .roles
        .permissions_of_role(&world.owner, &keys[0])
        .await?;
    assert_eq!(granted, [READ]);
    Ok(())
}

#[tokio::test]
async fn at_a_limit_one_goes_and_another_comes() -> Result {
    let world = World::new().await?;
    // Leaked: definitions are constants of code.
    let many: Vec<_> = (0..101)
        .map(|at| PermissionDef::new(format!("area{at}.see").leak(), "x", &[]))
        .collect();
    sync_permissions(&world.db.operator, &[definitions(), many].concat()).await?;
    let bob = world.member(&["viewer"]).await?;
    let areas = |from: usize, to: usize| {
        (from..to).map(|at| GrantKey::Wildcard(wildcard(&format!("area{at}.*"))))
    };
    let keys = |from: usize, to: usize| (from..to).map(|at| role_named(&format!("r{at}")));

    let mut policy = world.roles.export(&world.owner).await?;
    for key in keys(0, 201) {
        policy.roles.insert(key, RoleDocument::new(name("R")));
    }
    put(&mut policy, role("wild"), |role| {
        role.grants.extend(areas(0, 100));
    });
    put(&mut policy, role("child"), |role| {
        role.parents.extend(keys(0, 20));
    });
    policy
        .members
        .insert(user(&bob), keys(0, 200).map(|key| (key, None)).collect());
    imported(&world, &policy).await?;

    let mut other = world.roles.export(&world.owner).await?;
    put(&mut other, role("wild"), |role| {
        role.grants = areas(1, 101).collect();
    });
    put(&mut other, role("child"), |role| {
        role.parents = keys(1, 21).collect();
    });
    other
        .members
        .insert(user(&bob), keys(1, 201).map(|key| (key, None)).collect());
    imported(&world, &other).await?;

    // One more than the limit in the end is refused, whatever goes: nothing of it is done.
    let before = world.dump().await?;
    let mut deep = world.roles.export(&world.owner).await?;
    for at in 0..9 {
        put(&mut deep, role_named(&format!("r{at}")), |role| {
            role.parents.insert(role_named(&format!("r{}", at + 1)));
        });
    }
    let refused = world
        .roles
        .import(&world.owner, &deep, &keep())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "parents_too_deep");
    let mut circle = world.roles.export(&world.owner).await?;
    put(&mut circle, role("r30"), |role| {
        role.grants.insert(GrantKey::Permission(READ));
        role.parents.insert(self::role("r31"));
    });
    put(&mut circle, role("r31"), |role| {
        role.parents.insert(self::role("r30"));
    });
    let refused = world
        .roles
        .import(&world.owner, &circle, &keep())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "parent_cycle");
    assert_eq!(world.dump().await?, before);
    Ok(())
}

#[tokio::test]
async fn who_gives_his_rights_away_in_an_import_gives_all_that_he_held_when_it_began() -> Result {
    let world = World::new().await?;
    let chief = NewRole::new(role("chief"), name("Chief"))
        .with_permission(MANAGE)
        .with_permission("roles.read".parse()?)
        .with_permission(READ)
        .with_wildcard(wildcard("templates.*"));
    world.roles.create(&world.owner, chief).await?;
    for (key, parent) in [("base", None), ("next", Some("base"))] {
        let new = NewRole::new(role_named(key), name("X")).with_permission(WRITE);
        let new = match parent {
            Some(parent) => new.with_parent(role_named(parent)),
            None => new,
        };
        world.roles.create(&world.owner, new).await?;
    }
    // Manages only by `chief`, and holds what he gives and takes only by it.
    let chief = world.member(&["chief"]).await?;
    let heir = world.member(&["next"]).await?;
    let mut policy = world.roles.export(&chief).await?;
    put(&mut policy, role("chief"), |role| role.grants.clear());
    put(&mut policy, role("base"), |role| role.grants.clear());
    put(&mut policy, role("next"), |role| {
        role.parents.clear();
        role.grants = [
            GrantKey::Permission(MANAGE),
            GrantKey::Wildcard(wildcard("templates.*")),
        ]
        .into();
    });
    policy
        .members
        .insert(user(&heir), BTreeMap::from([(role("next"), None)]));
    policy.members.insert(user(&chief), BTreeMap::new());
    world.roles.import(&chief, &policy, &keep()).await?;
    assert!(!world.allowed(&chief, &MANAGE).await? && !world.allowed(&chief, &READ).await?);
    assert!(world.allowed(&heir, &MANAGE).await? && world.allowed(&heir, &PURGE).await?);
    let told = world.audit.of("policy.imported");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].principal, *chief.principal());
    Ok(())
}

#[tokio::test]
async fn each_change_of_an_import_tells_how_it_was_before_all_and_is_after_all() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let clerk = NewRole::new(role("clerk"), name("Clerk"))
        .with_permission(READ)
        .with_permission(WRITE);
    roles.create(owner, clerk).await?;
    let member = world.member(&["clerk"]).await?;
    let ends = "2999-01-01T00:00:00Z".parse()?;
    let before = world.audit.entries().len();
    let mut policy = roles.export(owner).await?;
    put(&mut policy, role("clerk"), |role| {
        role.name = name("Clerks");
        // By name it goes, by the wildcard it comes again.
        role.grants = [GrantKey::Wildcard(wildcard("templates.*"))].into();
        role.parents.insert(self::role("viewer"));
    });
    policy
        .members
        .insert(user(&member), BTreeMap::from([(role("clerk"), Some(ends))]));
    roles.import(owner, &policy, &keep()).await?;
    let entries = world.audit.entries();
    let told = told(&entries[before..]);
    let epoch = told.last().map(|last| last.1.clone()).unwrap_or_default();
    let by = json!({ "granted": true, "by": "templates.*" });
    let by_parent = json!({ "granted": true, "by": "viewer" });
    assert!(told.contains(&(
        "role.renamed",
        json!({"name": "Clerk"}),
        json!({"name": "Clerks"})
    )));
    assert!(told.contains(&(
        "role.wildcard_granted",
        json!({"granted": false}),
        json!({"granted": true})
    )));
    assert!(told.contains(&(
        "role.parent_added",
        json!({"parent": false}),
        json!({"parent": true})
    )));
    assert!(
        told.contains(&("role.permission_revoked", json!({"granted": true}), by)),
        "{told:?}"
    );
    assert!(!told.iter().any(|entry| entry.2 == by_parent));
    assert!(told.contains(&(
        "role.assigned",
        json!({"expires_at": null}),
        json!({"expires_at": "2999-01-01T00:00:00Z"})
    )));
    assert_eq!(
        told.last(),
        Some(&("policy.imported", epoch, json!({"changes": told.len() - 1})))
    );
    Ok(())
}

#[tokio::test]
async fn what_an_import_is_refused_for_is_on_record_with_the_role_it_is_about() -> Result {
    let world = World::new().await?;
    let chief = NewRole::new(role("chief"), name("Chief"))
        .with_permission(MANAGE)
        .with_permission("roles.read".parse()?);
    world.roles.create(&world.owner, chief).await?;
    let chief = world.member(&["chief"]).await?;
    let mut policy = world.roles.export(&chief).await?;
    policy
        .roles
        .insert(role("aide"), RoleDocument::new(name("Aide")));
    put(&mut policy, role("viewer"), |role| {
        role.grants.insert(GrantKey::Permission(PURGE));
    });
    let before = world.dump().await?;
    let refused = world
        .roles
        .import(&chief, &policy, &keep())
        .await
        .unwrap_err();
    assert_eq!(
        (
            refused.kind(),
            refused.to_string().contains("templates.purge")
        ),
        (ErrorKind::Exceeds, true)
    );
    let denials = world.audit.of("access.denied");
    assert_eq!(denials.len(), 1);
    assert_eq!(denials[0].event.targets[0].id, "viewer");
    // A role with all that it grants, given to somebody.
    let mut given = world.roles.export(&chief).await?;
    given.members.insert(UserId::new(), BTreeMap::new());
    given.members.insert(
        user(&chief),
        BTreeMap::from([(role("chief"), None), (role("viewer"), None)]),
    );
    let refused = world
        .roles
        .import(&chief, &given, &keep())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Exceeds);
    assert_eq!(world.audit.of("access.denied").len(), 2);
    assert_eq!(world.dump().await?, before);
    Ok(())
}

#[tokio::test]
async fn what_is_no_change_is_not_made_whoever_asks_the_database_for_it() -> Result {
    let world = World::new().await?;
    let chief = NewRole::new(role("chief"), name("Chief")).with_permission(MANAGE);
    world.roles.create(&world.owner, chief).await?;
    world
        .roles
        .add_parent(&world.owner, &role("viewer"), &role("member"))
        .await?;
    let chief = world.member(&["chief"]).await?;
    let before = world.dump().await?;
    for change in [
        json!({ "role": "viewer", "other": "member" }),
        json!({ "op": null, "role": "viewer", "other": "member" }),
        json!({ "op": "Remove_parent", "role": "viewer", "other": "member" }),
        json!({ "op": "delete" }),
        json!({ "op": "delete", "role": null }),
        json!("delete"),
    ] {
        let mut tx = world.db.app.write(&chief).await?;
        let outcome: String =
            sqlx::query_scalar("SELECT outcome FROM tenancy.change_policy(jsonb_build_array($1))")
                .bind(&change)
                .fetch_one(&mut *tx)
                .await?;
        tx.commit().await?;
        assert_eq!(outcome, "change_unknown", "{change}");
    }
    assert_eq!(world.dump().await?, before);
    Ok(())
}

#[tokio::test]
async fn who_loses_the_right_while_he_waits_for_the_lock_is_refused_on_record() -> Result {
    let world = World::new().await?;
    let mut store = MockPolicyStore::new();
    store
        .expect_decide_in()
        .returning(|_, _| Ok(Decision::Allow));
    store
        .expect_lock_in()
        .returning(|_| Err(tenancy_core::Error::denied(&MANAGE).into()));
    let audit = Arc::new(world.audit.clone());
    let authz = PgAuthorizer::over(Arc::new(store), audit.clone(), AuthzOptions::default());
    let roles = Roles::new(world.db.app.clone(), Arc::new(authz), audit);
    let refused = roles
        .import(&world.owner, &PolicyDocument::default(), &keep())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert_eq!(world.audit.of("access.denied").len(), 1);
    Ok(())
}
