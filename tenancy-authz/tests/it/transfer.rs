//! A policy as a document: exported, compared, imported.

use std::collections::BTreeMap;

use tenancy_authz::{ErrorKind, GrantKey, ImportOptions, NewRole, PolicyDocument, RoleDocument};
use tenancy_core::{PermissionKey, UserId};

use crate::support::{PURGE, READ, Result, WRITE, World, name, role, user, wildcard};

const MANAGE: PermissionKey = PermissionKey::from_static("roles.manage");

fn keep() -> ImportOptions {
    ImportOptions::default()
}

#[tokio::test]
async fn what_is_exported_and_imported_again_changes_nothing() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let clerk = NewRole::new(role("clerk"), name("Yes: \"no\" # 007"))
        .with_permission(READ)
        .with_wildcard(wildcard("members.*"))
        .with_parent(role("viewer"));
    roles.create(owner, clerk).await?;
    let member = world.member(&["clerk"]).await?;
    let ends = "2999-01-01T00:00:00Z".parse()?;
    roles
        .assign(owner, user(&member), &role("support"), Some(ends))
        .await?;
    let policy = roles.export(owner).await?;
    assert_eq!(policy.members[&user(&member)][&role("support")], Some(ends));
    assert!(
        !policy.roles.contains_key(&role("owner")),
        "that can't be changed"
    );
    let before = world.dump().await?;
    for text in [policy.to_yaml()?, policy.to_json()] {
        let again = PolicyDocument::parse(&text)?;
        assert_eq!(again, policy);
        assert!(
            roles
                .diff(owner, &again, &keep().with_prune(true))
                .await?
                .is_empty()
        );
        let done = roles
            .import(owner, &again, &keep().with_prune(true))
            .await?;
        assert!(done.is_empty());
    }
    assert_eq!(world.dump().await?, before, "nor an epoch");
    assert!(world.audit.of("policy.imported").is_empty());
    Ok(())
}

#[tokio::test]
async fn an_import_makes_every_change_with_its_entry_or_none() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let member = world.member(&["viewer"]).await?;
    roles
        .create(owner, NewRole::new(role("old"), name("Old")))
        .await?;
    let mut policy = roles.export(owner).await?;
    policy.roles.remove(&role("old"));
    let mut clerk = RoleDocument::new(name("Clerk"));
    clerk.grants.insert(GrantKey::Permission(READ));
    clerk
        .grants
        .insert(GrantKey::Wildcard(wildcard("members.*")));
    clerk.parents.insert(role("aide"));
    policy.roles.insert(role("clerk"), clerk);
    policy
        .roles
        .insert(role("aide"), RoleDocument::new(name("Aide")));
    if let Some(viewer) = policy.roles.get_mut(&role("viewer")) {
        viewer.name = name("Onlooker");
        viewer.grants.clear();
    }
    policy
        .members
        .insert(user(&member), BTreeMap::from([(role("clerk"), None)]));
    let told = "+ role aide (Aide)
+ role clerk (Clerk)
~ role clerk: + templates.read
~ role clerk: + members.*
~ role clerk: + parent aide
~ role viewer: name Onlooker
~ member MEMBER: + clerk
~ role viewer: - templates.read
~ member MEMBER: - viewer
- role old
";
    let told = told.replace("MEMBER", &user(&member).to_string());
    let prune = keep().with_prune(true);
    assert_eq!(roles.diff(owner, &policy, &prune).await?.to_string(), told);

    let before = world.dump().await?;
    let dry = roles
        .import(owner, &policy, &prune.clone().with_dry_run(true))
        .await?;
    assert_eq!(dry.to_string(), told);
    assert_eq!(world.dump().await?, before, "a dry run changes nothing");
    let entries = world.audit.entries().len();

    let done = roles.import(owner, &policy, &prune).await?;
    assert_eq!(done.to_string(), told);
    assert_eq!(
        world.audit.entries().len(),
        entries + done.changes.len() + 1
    );
    let summary = &world.audit.of("policy.imported")[0].event.meta;
    assert_eq!(summary["after"]["changes"], 10);
    assert!(
        world.allowed(&member, &READ).await?,
        "by clerk, at once in this process"
    );
    let mut now = roles.export(owner).await?;
    (now.epoch, policy.epoch) = (None, None);
    assert_eq!(now, policy);
    Ok(())
}

#[tokio::test]
async fn what_is_refused_in_the_middle_leaves_nothing_behind() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let foreign = NewRole::new(role("foreign"), name("F")).with_permission(PURGE);
    roles.create(&world.other_owner, foreign).await?;
    let exported = roles.export(owner).await?;
    let with = |change: &dyn Fn(&mut PolicyDocument)| {
        let mut policy = exported.clone();
        let mut clerk = RoleDocument::new(name("Clerk"));
        clerk.grants.insert(GrantKey::Permission(READ));
        policy.roles.insert(role("clerk"), clerk);
        change(&mut policy);
        policy
    };
    let in_clerk = |policy: &mut PolicyDocument, change: &dyn Fn(&mut RoleDocument)| {
        policy.roles.get_mut(&role("clerk")).map(change);
    };
    let unheard = GrantKey::Permission(PermissionKey::from_static("no.such"));
    let cases = [
        (
            with(&|policy| {
                in_clerk(policy, &|clerk| {
                    clerk.grants.insert(unheard.clone());
                });
            }),
            ErrorKind::PermissionUnknown,
        ),
        (
            with(&|policy| {
                in_clerk(policy, &|clerk| {
                    clerk.grants.insert(GrantKey::Wildcard(wildcard("no.*")));
                });
            }),
            ErrorKind::PermissionUnknown,
        ),
        (
            with(&|policy| {
                in_clerk(policy, &|clerk| {
                    clerk.parents.insert(role("clerk"));
                });
            }),
            ErrorKind::InvalidInput,
        ),
        (
            with(&|policy| {
                in_clerk(policy, &|clerk| {
                    clerk.parents.insert(role("foreign"));
                });
            }),
            ErrorKind::RoleUnknown,
        ),
        (
            with(&|policy| {
                policy.members.insert(
                    user(owner),
                    BTreeMap::from([(role("foreign"), None), (role("owner"), None)]),
                );
            }),
            ErrorKind::RoleUnknown,
        ),
        (
            with(&|policy| {
                policy
                    .members
                    .insert(UserId::new(), BTreeMap::from([(role("clerk"), None)]));
            }),
            ErrorKind::MemberUnknown,
        ),
        (
            with(&|policy| {
                policy.members.insert(
                    user(&world.other_owner),
                    BTreeMap::from([(role("clerk"), None)]),
                );
            }),
            ErrorKind::MemberUnknown,
        ),
        (
            with(&|policy| {
                policy
                    .members
                    .insert(user(owner), BTreeMap::from([(role("clerk"), None)]));
            }),
            ErrorKind::RoleFixed,
        ),
        (
            with(&|policy| {
                policy
                    .roles
                    .insert(role("owner"), RoleDocument::new(name("Boss")));
            }),
            ErrorKind::RoleFixed,
        ),
    ];
    let before = world.dump().await?;
    for (policy, kind) in cases {
        for dry_run in [true, false] {
            let options = keep().with_dry_run(dry_run);
            let refused = roles.import(owner, &policy, &options).await.unwrap_err();
            assert_eq!(refused.kind(), kind, "{refused}");
        }
    }
    assert_eq!(world.dump().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_policy_that_changed_meanwhile_is_not_overwritten() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    for change in 0..3 {
        let mut policy = roles.export(owner).await?;
        policy
            .roles
            .insert(role("clerk"), RoleDocument::new(name("Clerk")));
        match change {
            0 => {
                roles
                    .rename(owner, &role("viewer"), name("Onlooker"))
                    .await?;
            }
            1 => {
                roles
                    .create(owner, NewRole::new(role("mine"), name("Mine")))
                    .await?;
            }
            _ => roles.grant(owner, &role("viewer"), &WRITE).await?,
        }
        let before = world.dump().await?;
        let refused = roles.import(owner, &policy, &keep()).await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.code()),
            (ErrorKind::PolicyChanged, "policy_changed")
        );
        assert_eq!(world.dump().await?, before);
        policy.epoch = None;
        roles
            .import(owner, &policy, &keep().with_dry_run(true))
            .await?;
    }
    // Two at once: one of them is told.
    let mut policy = roles.export(owner).await?;
    policy
        .roles
        .insert(role("clerk"), RoleDocument::new(name("Clerk")));
    let options = keep();
    let (one, two) = tokio::join!(
        roles.import(owner, &policy, &options),
        roles.import(owner, &policy, &options),
    );
    let refused: Vec<_> = [one, two].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].kind(), ErrorKind::PolicyChanged);
    Ok(())
}

#[tokio::test]
async fn nobody_imports_more_than_he_holds_nor_the_end_of_administration() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let chief = NewRole::new(role("chief"), name("Chief"))
        .with_permission(MANAGE)
        .with_permission("roles.read".parse()?);
    roles.create(owner, chief).await?;
    let chief = world.member(&["chief"]).await?;
    let exported = roles.export(&chief).await?;
    let before = world.dump().await?;
    let grants = |policy: &mut PolicyDocument, key: GrantKey| {
        let own = policy.roles.get_mut(&role("chief"));
        own.map(|own| own.grants.insert(key));
    };
    let mut more = exported.clone();
    grants(&mut more, GrantKey::Permission(PURGE));
    let mut wild = exported.clone();
    grants(&mut wild, GrantKey::Wildcard(wildcard("roles.*")));
    let mut above = exported.clone();
    let own = above.roles.get_mut(&role("chief"));
    own.map(|own| own.parents.insert(role("admin")));
    let mut given = exported.clone();
    given
        .members
        .entry(user(&chief))
        .or_default()
        .insert(role("admin"), None);
    let mut taken = exported.clone();
    taken.roles.remove(&role("member"));
    for policy in [more, wild, above, given, taken] {
        let refused = roles
            .import(&chief, &policy, &keep().with_prune(true))
            .await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Exceeds);
    }
    assert_eq!(
        world.audit.of("access.denied").len(),
        5,
        "each attempt once"
    );
    assert_eq!(world.dump().await?, before);
    let viewer = world.member(&["viewer"]).await?;
    let refused = roles.import(&viewer, &exported, &keep()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    let refused = roles.export(&viewer).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);

    world
        .as_superuser("DELETE FROM tenancy.member_roles WHERE role_key IN ('owner', 'viewer')")
        .await?;
    let mut last = roles.export(&chief).await?;
    last.members.insert(user(&chief), BTreeMap::new());
    let refused = roles.import(&chief, &last, &keep()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LastAdministrator);
    Ok(())
}
