//! `docs.*`: expanded when something is written, never compared when something is checked.

use serde_json::json;
use tenancy_authz::{ErrorKind, NewRole, sync_permissions};
use tenancy_core::{PermissionDef, PermissionKey, ServiceKey};

use crate::support::{
    PURGE, READ, Result, WRITE, World, definitions, name, role, told, user, wildcard,
};

const MANAGE: PermissionKey = PermissionKey::from_static("roles.manage");

fn texts(keys: &[PermissionKey]) -> Vec<&str> {
    keys.iter().map(PermissionKey::as_str).collect()
}

/// Keys that a pattern language would take for something below `templates.`, and one that is.
const NEIGHBOURS: &[PermissionDef] = &[
    PermissionDef::new("templates_old.read", "x", &[]),
    PermissionDef::new("templatesx.read", "x", &[]),
    PermissionDef::new("templates.pages.read", "x", &[]),
    PermissionDef::new("my_docs.read", "x", &[]),
    PermissionDef::new("myxdocs.read", "x", &[]),
];

#[tokio::test]
async fn it_grants_what_is_below_its_prefix_now_and_later_and_nothing_beside() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let clerk = NewRole::new(role("clerk"), name("Clerk")).with_wildcard(wildcard("templates.*"));
    roles.create(owner, clerk).await?;
    let member = world.member(&["clerk"]).await?;
    let granted = roles.permissions_of_role(owner, &role("clerk")).await?;
    let three = ["templates.purge", "templates.read", "templates.write"];
    assert_eq!(texts(&granted), three);
    assert!(world.allowed(&member, &PURGE).await? && world.allowed_by_sql(&member, &PURGE).await?);

    let known = [&definitions()[..], NEIGHBOURS].concat();
    sync_permissions(&world.db.operator, &known).await?;
    let granted = roles.permissions_of_role(owner, &role("clerk")).await?;
    let four = [
        "templates.pages.read",
        "templates.purge",
        "templates.read",
        "templates.write",
    ];
    assert_eq!(texts(&granted), four);
    // An underscore stands for itself.
    roles
        .grant_wildcard(owner, &role("clerk"), &wildcard("my_docs.*"))
        .await?;
    let granted = roles.permissions_of_role(owner, &role("clerk")).await?;
    assert!(
        texts(&granted).contains(&"my_docs.read") && !texts(&granted).contains(&"myxdocs.read")
    );

    // What is asked is a key: a pattern is none, and matches none.
    for asked in [
        "templates.*",
        "templates.%",
        "templates.",
        "templates.*.read",
    ] {
        let mut tx = world.db.app.read(&member).await?;
        let said: bool = sqlx::query_scalar("SELECT util.user_has_permission($1, $2)")
            .bind(member.tenant())
            .bind(asked)
            .fetch_one(&mut *tx)
            .await?;
        assert!(!said, "{asked}");
    }
    roles
        .revoke_wildcard(owner, &role("clerk"), &wildcard("templates.*"))
        .await?;
    assert!(!world.allowed(&member, &READ).await? && !world.allowed_by_sql(&member, &READ).await?);
    Ok(())
}

#[tokio::test]
async fn the_database_takes_no_pattern_but_words_and_a_star_at_the_end() -> Result {
    let world = World::new().await?;
    let insert = "INSERT INTO tenancy.role_wildcards (tenant_id, role_key, pattern) VALUES ($1, 'viewer', $2)";
    for bad in [
        "*",
        ".*",
        "templates",
        "templates.",
        "templates*",
        "Templates.*",
        "templates.*.*",
        "templates.%",
        "tämplates.*",
        "",
    ] {
        let query = sqlx::query(insert).bind(world.owner.tenant()).bind(bad);
        let refused = query
            .execute(&world.db.superuser().await?)
            .await
            .unwrap_err();
        let code = refused
            .as_database_error()
            .unwrap()
            .code()
            .unwrap()
            .into_owned();
        assert_eq!(code, "23514", "{bad}");
    }
    Ok(())
}

#[tokio::test]
async fn a_share_in_what_is_to_come_is_given_by_who_has_one() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    // Holds everything below `templates.` by name, and may manage roles.
    let named = [READ, WRITE, PURGE, MANAGE].into_iter();
    let chief = named.fold(
        NewRole::new(role("chief"), name("Chief")),
        NewRole::with_permission,
    );
    roles.create(owner, chief).await?;
    let wild = NewRole::new(role("wild"), name("Wild")).with_wildcard(wildcard("templates.*"));
    roles.create(owner, wild).await?;
    roles
        .create(owner, NewRole::new(role("mine"), name("Mine")))
        .await?;
    let chief = world.member(&["chief"]).await?;
    let before = world.dump().await?;
    let pattern = wildcard("templates.*");
    for refused in [
        roles.grant_wildcard(&chief, &role("mine"), &pattern).await,
        roles
            .assign(&chief, user(&chief), &role("wild"), None)
            .await,
        roles
            .clone_role(&chief, &role("wild"), role("wild2"), name("x"))
            .await,
        roles.add_parent(&chief, &role("mine"), &role("wild")).await,
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Exceeds, "{refused}");
        assert!(refused.to_string().contains("`templates.*`"), "{refused}");
    }
    assert_eq!(world.dump().await?, before);
    assert_eq!(world.audit.of("access.denied").len(), 4);

    // So is a default role that is given everything there will be, by whom holds everything there is.
    roles
        .clone_role(owner, &role("admin"), role("second"), name("Second"))
        .await?;
    let second = world.member(&["second"]).await?;
    for refused in [
        roles
            .assign(&second, user(&second), &role("admin"), None)
            .await,
        roles
            .add_parent(&second, &role("mine"), &role("admin"))
            .await,
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Exceeds, "{refused}");
        assert!(refused.to_string().contains("`*`"), "{refused}");
    }

    // A service holds single permissions, whatever they are.
    let service = ServiceKey::from_static("importer");
    let all = vec![READ, WRITE, PURGE, MANAGE];
    let service = world
        .db
        .app
        .enter_system(owner.tenant(), service, all)
        .await?;
    let refused = roles
        .grant_wildcard(&service, &role("mine"), &pattern)
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Exceeds);
    roles.grant(&service, &role("mine"), &READ).await?;

    // With the wildcard itself, and with a default role that grants everything.
    roles
        .assign(owner, user(&chief), &role("wild"), None)
        .await?;
    roles
        .grant_wildcard(&chief, &role("mine"), &wildcard("templates.pages.*"))
        .await
        .unwrap_err();
    roles
        .grant_wildcard(&chief, &role("mine"), &pattern)
        .await?;
    let admin = world.member(&["admin"]).await?;
    roles
        .assign(&admin, user(&admin), &role("wild"), None)
        .await?;
    roles
        .create(owner, NewRole::new(role("deputy"), name("Deputy")))
        .await?;
    roles
        .add_parent(owner, &role("deputy"), &role("admin"))
        .await?;
    let deputy = world.member(&["deputy"]).await?;
    roles
        .assign(&deputy, user(&deputy), &role("wild"), None)
        .await?;
    // A role that ends gives no share beyond its end.
    let soon = Some(chrono::Utc::now() + chrono::TimeDelta::hours(1));
    roles.unassign(owner, user(&chief), &role("wild")).await?;
    roles
        .assign(owner, user(&chief), &role("wild"), soon)
        .await?;
    let refused = roles
        .clone_role(&chief, &role("wild"), role("wild2"), name("x"))
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Exceeds);
    Ok(())
}

#[tokio::test]
async fn what_a_role_grants_otherwise_is_not_revoked_by_name_and_that_is_said() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let clerk = NewRole::new(role("clerk"), name("Clerk"))
        .with_permission(READ)
        .with_wildcard(wildcard("templates.*"));
    roles.create(owner, clerk).await?;
    let before = world.dump().await?;
    for permission in [READ, WRITE] {
        let refused = roles
            .revoke(owner, &role("clerk"), &permission)
            .await
            .unwrap_err();
        assert_eq!(
            (refused.kind(), refused.code()),
            (ErrorKind::GrantedOtherwise, "granted_otherwise")
        );
        assert!(refused.to_string().contains("`templates.*`"), "{refused}");
    }
    assert_eq!(world.dump().await?, before, "nothing of it happened");
    roles
        .revoke_wildcard(owner, &role("clerk"), &wildcard("templates.*"))
        .await?;
    let left = roles.permissions_of_role(owner, &role("clerk")).await?;
    assert_eq!(left, [READ], "what was granted by name stays");
    roles.revoke(owner, &role("clerk"), &READ).await?;
    Ok(())
}

#[tokio::test]
async fn changes_of_wildcards_parents_and_clones_are_on_record_with_before_and_after() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let pattern = wildcard("templates.*");
    roles
        .grant_wildcard(owner, &role("viewer"), &pattern)
        .await?;
    roles
        .grant_wildcard(owner, &role("viewer"), &pattern)
        .await?;
    roles
        .add_parent(owner, &role("support"), &role("viewer"))
        .await?;
    roles
        .clone_role(owner, &role("support"), role("support2"), name("Support 2"))
        .await?;
    roles
        .remove_parent(owner, &role("support"), &role("viewer"))
        .await?;
    roles
        .revoke_wildcard(owner, &role("viewer"), &pattern)
        .await?;
    let entries = world.audit.entries();
    let told = told(&entries);
    assert_eq!(
        told,
        [
            (
                "role.wildcard_granted",
                json!({"granted": false}),
                json!({"granted": true})
            ),
            (
                "role.parent_added",
                json!({"parent": false}),
                json!({"parent": true})
            ),
            (
                "role.cloned",
                json!(null),
                json!({"name": "Support 2", "from": "support"})
            ),
            (
                "role.parent_removed",
                json!({"parent": true}),
                json!({"parent": false})
            ),
            (
                "role.wildcard_revoked",
                json!({"granted": true}),
                json!({"granted": false})
            ),
        ]
    );
    let targets: Vec<_> = entries[0]
        .event
        .targets
        .iter()
        .map(|target| &target.id[..])
        .collect();
    assert_eq!(targets, ["viewer", "templates.*"]);
    Ok(())
}
