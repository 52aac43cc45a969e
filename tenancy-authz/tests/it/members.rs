//! Roles of members and owners, through the core's services.

use std::{sync::Arc, time::Duration};

use tenancy_core::{ErrorKind, Members, Ownership};

use crate::support::{PURGE, READ, Result, World, role, user};

fn members(world: &World) -> Members {
    let audit = Arc::new(world.audit.clone());
    Members::new(
        world.db.app.clone(),
        world.authz.clone(),
        world.authz.clone(),
        audit,
    )
}

#[tokio::test]
async fn a_change_of_roles_is_on_record_with_what_was_before() -> Result {
    let world = World::new().await?;
    let members = members(&world);
    let bob = world.member(&["viewer"]).await?;
    members
        .set_roles(&world.owner, user(&bob), &[role("member"), role("support")])
        .await?;
    let [entry] = &world.audit.of("member.roles_changed")[..] else {
        panic!("one entry")
    };
    let names = |of: &str| {
        let held = entry.event.meta[of].as_array().into_iter().flatten();
        held.filter_map(|held| held["role"].as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("before"), ["viewer"]);
    assert_eq!(names("after"), ["member", "support"]);

    members
        .set_roles(&world.owner, user(&bob), &[role("support"), role("member")])
        .await?;
    assert_eq!(world.audit.of("member.roles_changed").len(), 1);
    members.set_roles(&world.owner, user(&bob), &[]).await?;
    assert!(!world.allowed(&bob, &READ).await?);
    Ok(())
}

#[tokio::test]
async fn nobody_gives_a_member_more_than_he_has_himself() -> Result {
    let world = World::new().await?;
    let members = members(&world);
    let manager = world.member(&["member"]).await?;
    world
        .roles
        .create(
            &world.owner,
            tenancy_authz::NewRole::new(role("hr"), tenancy_authz::RoleName::parse("HR")?)
                .with_permission(tenancy_core::PermissionKey::from_static("members.manage"))
                .with_permission(tenancy_core::PermissionKey::from_static("roles.manage")),
        )
        .await?;
    members
        .set_roles(&world.owner, user(&manager), &[role("member"), role("hr")])
        .await?;
    let bob = world.member(&["viewer"]).await?;
    let refused = members
        .set_roles(&manager, user(&bob), &[role("admin")])
        .await
        .unwrap_err();
    assert_eq!(
        (refused.kind(), refused.code()),
        (ErrorKind::Denied, "exceeds_own_permissions")
    );
    let own = members
        .set_roles(&manager, user(&manager), &[role("admin")])
        .await;
    assert_eq!(own.unwrap_err().code(), "exceeds_own_permissions");
    assert_eq!(world.audit.of("access.denied").len(), 2);
    members
        .set_roles(&manager, user(&bob), &[role("member")])
        .await?;

    let stranger = user(&world.other_owner);
    let refused = members
        .set_roles(&world.owner, stranger, &[role("viewer")])
        .await;
    assert_eq!(refused.unwrap_err().code(), "member_not_found");
    Ok(())
}

#[tokio::test]
async fn a_transfer_moves_the_role_with_the_place() -> Result {
    let world = World::new().await?;
    let audit = Arc::new(world.audit.clone());
    let ownership = Ownership::new(world.db.app.clone(), world.authz.clone(), audit);
    let bob = world.member(&["viewer"]).await?;
    assert!(!world.allowed(&bob, &PURGE).await?);
    let offer = ownership
        .offer(&world.owner, user(&bob), Duration::from_mins(5))
        .await?;
    assert!(
        !world.allowed(&bob, &PURGE).await?,
        "an offer gives nothing"
    );
    ownership.accept(&bob, offer.id).await?;

    let dump = world.dump().await?;
    let has = |who: &str, key: &str| {
        dump.lines()
            .any(|line| line.starts_with("member ") && line.contains(&format!("{who} {key}")))
    };
    let (old, new) = (user(&world.owner).to_string(), user(&bob).to_string());
    assert!(has(&new, "owner") && has(&new, "viewer"));
    assert!(!has(&old, "owner") && has(&old, "admin"));
    assert!(world.allowed(&bob, &PURGE).await?);
    let refused = world
        .roles
        .unassign(&world.owner, user(&bob), &role("owner"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "owner_keeps_role");
    Ok(())
}

#[tokio::test]
async fn the_role_owner_can_not_be_had_without_ownership_by_calling_its_function() -> Result {
    let world = World::new().await?;
    let bob = world.member(&["viewer"]).await?;
    let mut tx = world.db.app.write(&bob).await?;
    for (who, is_owner) in [(user(&bob), true), (user(&world.owner), false)] {
        let (outcome,): (String,) =
            sqlx::query_as("SELECT outcome FROM tenancy.set_owner_role($1, $2)")
                .bind(who)
                .bind(is_owner)
                .fetch_one(&mut *tx)
                .await?;
        assert_eq!(outcome, "member_unknown");
    }
    tx.rollback().await?;
    // Nor does anybody get by it what an owner keeps who steps down.
    members(&world)
        .set_roles(&world.owner, user(&bob), &[])
        .await?;
    let mut tx = world.db.app.write(&bob).await?;
    sqlx::query("SELECT tenancy.set_owner_role($1, false)")
        .bind(user(&bob))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let held: i64 =
        sqlx::query_scalar("SELECT count(*) FROM tenancy.member_roles WHERE user_id = $1")
            .bind(user(&bob))
            .fetch_one(&world.db.superuser().await?)
            .await?;
    assert_eq!(held, 0);
    Ok(())
}

#[tokio::test]
async fn who_was_given_the_role_owner_keeps_it_whoever_calls_its_function() -> Result {
    let world = World::new().await?;
    let (chief, eve) = (
        world.member(&["viewer"]).await?,
        world.member(&["viewer"]).await?,
    );
    world
        .roles
        .assign(&world.owner, user(&chief), &role("owner"), None)
        .await?;
    let before = world.dump().await?;
    for by in [&eve, &chief, &world.owner] {
        let mut tx = world.db.app.write(by).await?;
        let (outcome,): (String,) =
            sqlx::query_as("SELECT outcome FROM tenancy.set_owner_role($1, false)")
                .bind(user(&chief))
                .fetch_one(&mut *tx)
                .await?;
        assert_eq!(outcome, "member_unknown");
        tx.commit().await?;
    }
    assert_eq!(world.dump().await?, before);
    // It goes with an ownership that goes, and in that transaction only.
    let ownership = Ownership::new(
        world.db.app.clone(),
        world.authz.clone(),
        Arc::new(world.audit.clone()),
    );
    ownership.add(&world.owner, user(&chief)).await?;
    ownership.remove(&world.owner, user(&chief)).await?;
    assert!(!world.allowed(&chief, &PURGE).await? && world.allowed(&chief, &READ).await?);
    world
        .roles
        .assign(&world.owner, user(&chief), &role("owner"), None)
        .await?;
    let mut tx = world.db.app.write(&eve).await?;
    sqlx::query("SELECT tenancy.set_owner_role($1, false)")
        .bind(user(&chief))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    assert!(world.allowed_by_sql(&chief, &PURGE).await?);
    Ok(())
}

#[tokio::test]
async fn an_invitation_gives_its_roles_once() -> Result {
    let world = World::new().await?;
    let bob = world.member(&["member"]).await?;
    members(&world)
        .set_roles(&world.owner, user(&bob), &[role("viewer")])
        .await?;
    let mut tx = world.db.app.write(&bob).await?;
    let (outcome,): (String,) =
        sqlx::query_as("SELECT outcome FROM tenancy.assign_invited($1, $2, '{member}')")
            .bind(user(&bob))
            .bind(user(&world.owner))
            .fetch_one(&mut *tx)
            .await?;
    assert_eq!(outcome, "not_invited");
    Ok(())
}
