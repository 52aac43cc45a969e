//! Roles that grant what others grant.

use tenancy_authz::{ErrorKind, NewRole};
use tenancy_core::PermissionKey;

use crate::support::{PURGE, READ, Result, WRITE, World, name, role, role_named, user, wildcard};

const MANAGE: PermissionKey = PermissionKey::from_static("roles.manage");

#[tokio::test]
async fn a_change_of_a_parent_reaches_its_heirs_and_its_end_takes_what_came_from_it() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    roles
        .create(owner, NewRole::new(role("base"), name("Base")))
        .await?;
    let middle = NewRole::new(role("middle"), name("Middle")).with_parent(role("base"));
    roles.create(owner, middle).await?;
    let top = NewRole::new(role("top"), name("Top")).with_parent(role("middle"));
    roles.create(owner, top.with_permission(WRITE)).await?;
    let member = world.member(&["top"]).await?;
    let holds = async |permission: &PermissionKey| -> Result<bool> {
        let cached = world.allowed(&member, permission).await?;
        assert_eq!(cached, world.allowed_by_sql(&member, permission).await?);
        Ok(cached)
    };
    assert!(!holds(&READ).await?);
    roles.grant(owner, &role("base"), &READ).await?;
    assert!(holds(&READ).await? && !holds(&PURGE).await?);
    roles
        .grant_wildcard(owner, &role("base"), &wildcard("templates.*"))
        .await?;
    assert!(holds(&PURGE).await?);
    let why = roles.why(owner, user(&member), &PURGE).await?;
    let said = format!(
        "allowed: {} has `templates.purge` by `top` (through `base`, by `templates.*`)",
        user(&member)
    );
    assert_eq!(why.to_string(), said);
    roles
        .revoke_wildcard(owner, &role("base"), &wildcard("templates.*"))
        .await?;
    assert!(
        !holds(&PURGE).await? && holds(&WRITE).await?,
        "its own stays"
    );
    roles
        .remove_parent(owner, &role("middle"), &role("base"))
        .await?;
    assert!(!holds(&READ).await?);
    roles
        .add_parent(owner, &role("middle"), &role("base"))
        .await?;
    assert!(holds(&READ).await?);
    let other = world.dump().await?;
    roles.delete(owner, &role("base")).await?;
    assert!(!holds(&READ).await? && holds(&WRITE).await?);
    let deleted = world.audit.of("role.deleted");
    let heirs = &deleted[0].event.meta["before"]["heirs"];
    assert_eq!(heirs, &serde_json::json!(["middle", "top"]));
    let foreign = |dump: &str| {
        let there = world.other_owner.tenant().to_string();
        let lines = dump.lines().filter(|line| line.contains(&there));
        lines.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        foreign(&world.dump().await?),
        foreign(&other),
        "another tenant"
    );
    Ok(())
}

#[tokio::test]
async fn roles_stand_in_no_circle_and_not_too_many_over_one_another() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let key = |at: usize| role_named(&format!("r{at}"));
    for at in 0..10 {
        roles
            .create(owner, NewRole::new(key(at), name("R")))
            .await?;
    }
    for at in 0..8 {
        roles.add_parent(owner, &key(at), &key(at + 1)).await?;
    }
    let before = world.dump().await?;
    for (child, parent, code) in [
        (8, 0, "parent_cycle"),
        (3, 1, "parent_cycle"),
        (4, 4, "parent_cycle"),
        (8, 9, "parents_too_deep"),
        (9, 0, "parents_too_deep"),
    ] {
        let refused = roles
            .add_parent(owner, &key(child), &key(parent))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), code, "{child} below {parent}");
    }
    for (child, parent) in [(role("owner"), key(0)), (key(0), role("owner"))] {
        let refused = roles.add_parent(owner, &child, &parent).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RoleFixed);
    }
    let refused = roles
        .add_parent(owner, &key(0), &role("nobody"))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::RoleUnknown);
    assert_eq!(world.dump().await?, before);
    // Beside the chain there is room.
    roles.add_parent(owner, &key(9), &key(1)).await?;

    // A circle that somebody drew behind the functions ends no statement, and adds nothing.
    world
        .as_superuser(
            "INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key)
             SELECT tenant_id, 'r8', 'r0' FROM tenancy.roles WHERE key = 'r0'",
        )
        .await?;
    roles.grant(owner, &key(4), &READ).await?;
    assert_eq!(roles.permissions_of_role(owner, &key(8)).await?, [READ]);
    Ok(())
}

#[tokio::test]
async fn two_who_close_a_circle_from_both_ends_at_once_do_not() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    for key in ["one", "two"] {
        roles
            .create(owner, NewRole::new(role(key), name("R")))
            .await?;
    }
    for _ in 0..10 {
        let (one, two) = (role("one"), role("two"));
        let (first, second) = tokio::join!(
            roles.add_parent(owner, &one, &two),
            roles.add_parent(owner, &two, &one),
        );
        let refused: Vec<_> = [first, second]
            .into_iter()
            .filter_map(Result::err)
            .collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].code(), "parent_cycle");
        roles
            .remove_parent(owner, &role("one"), &role("two"))
            .await?;
        roles
            .remove_parent(owner, &role("two"), &role("one"))
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn nobody_gives_or_takes_through_a_parent_what_he_does_not_hold() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let chief = NewRole::new(role("chief"), name("Chief"))
        .with_permission(READ)
        .with_permission(MANAGE);
    roles.create(owner, chief).await?;
    let strong = NewRole::new(role("strong"), name("Strong")).with_permission(PURGE);
    roles.create(owner, strong).await?;
    let heir = NewRole::new(role("heir"), name("Heir")).with_parent(role("strong"));
    roles.create(owner, heir).await?;
    let chief = world.member(&["chief"]).await?;
    let before = world.dump().await?;
    for refused in [
        roles
            .add_parent(&chief, &role("chief"), &role("strong"))
            .await,
        roles
            .add_parent(&chief, &role("chief"), &role("heir"))
            .await,
        roles
            .remove_parent(&chief, &role("heir"), &role("strong"))
            .await,
        roles
            .assign(&chief, user(&chief), &role("heir"), None)
            .await,
        roles
            .clone_role(&chief, &role("heir"), role("heir2"), name("x"))
            .await,
        roles.delete(&chief, &role("strong")).await,
        roles.revoke(&chief, &role("strong"), &PURGE).await,
        roles.grant(&chief, &role("strong"), &WRITE).await,
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Exceeds);
    }
    assert_eq!(world.dump().await?, before);
    assert_eq!(world.audit.of("access.denied").len(), 8);
    roles
        .clone_role(&chief, &role("viewer"), role("viewer2"), name("x"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_last_administrator_is_not_lost_through_a_parent_or_a_wildcard() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let base = NewRole::new(role("base"), name("Base")).with_wildcard(wildcard("roles.*"));
    roles.create(owner, base).await?;
    let boss = NewRole::new(role("boss"), name("Boss")).with_parent(role("base"));
    roles.create(owner, boss).await?;
    let boss = world.member(&["boss"]).await?;
    world
        .as_superuser("DELETE FROM tenancy.member_roles WHERE role_key = 'owner'")
        .await?;
    for refused in [
        roles
            .remove_parent(&boss, &role("boss"), &role("base"))
            .await,
        roles
            .revoke_wildcard(&boss, &role("base"), &wildcard("roles.*"))
            .await,
        roles.delete(&boss, &role("base")).await,
        roles.delete(&boss, &role("boss")).await,
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::LastAdministrator);
    }
    assert!(world.allowed_by_sql(&boss, &MANAGE).await?);
    Ok(())
}

#[tokio::test]
async fn a_role_of_another_tenant_is_no_parent_for_the_schema_either() -> Result {
    let world = World::new().await?;
    let foreign = NewRole::new(role("foreign"), name("F")).with_permission(PURGE);
    world.roles.create(&world.other_owner, foreign).await?;
    let refused = world
        .roles
        .add_parent(&world.owner, &role("viewer"), &role("foreign"))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::RoleUnknown);
    let insert = "INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key) VALUES ($1, 'viewer', 'foreign')";
    let query = sqlx::query(insert).bind(world.owner.tenant());
    let refused = query
        .execute(&world.db.superuser().await?)
        .await
        .unwrap_err();
    assert_eq!(
        refused.as_database_error().unwrap().constraint(),
        Some("role_parents_tenant_id_parent_key_fkey")
    );
    Ok(())
}
