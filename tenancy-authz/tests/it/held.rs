//! What an entry says of the roles that a member had and has: whatever changes them.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tenancy_core::{Members, Ownership, RoleDirectory as _, TenantCtx};

use crate::support::{Result, World, role, user};

const ENDS: &str = "2999-01-01T00:00:00Z";

fn members(world: &World) -> Members {
    Members::new(
        world.db.app.clone(),
        world.authz.clone(),
        world.authz.clone(),
        Arc::new(world.audit.clone()),
    )
}

fn ownership(world: &World) -> Ownership {
    let audit = Arc::new(world.audit.clone());
    Ownership::new(world.db.app.clone(), world.authz.clone(), audit)
}

/// A viewer who is of the support too, until some day.
async fn temporary(world: &World) -> Result<TenantCtx> {
    let bob = world.member(&["viewer"]).await?;
    let (support, ends) = (role("support"), Some(ENDS.parse()?));
    world
        .roles
        .assign(&world.owner, user(&bob), &support, ends)
        .await?;
    Ok(bob)
}

/// A viewer who was of the support.
async fn former(world: &World) -> Result<TenantCtx> {
    let bob = temporary(world).await?;
    end_support(world, &bob).await?;
    Ok(bob)
}

async fn end_support(world: &World, of: &TenantCtx) -> Result {
    let sql = "UPDATE tenancy.member_roles SET expires_at = clock_timestamp()
        WHERE user_id = $1 AND role_key = 'support'";
    let query = sqlx::query(sql).bind(user(of));
    query.execute(&world.db.superuser().await?).await?;
    Ok(())
}

fn held(roles: &[(&str, Option<&str>)]) -> Value {
    let role = |(role, ends): &(&str, Option<&str>)| json!({ "role": role, "expires_at": ends });
    roles.iter().map(role).collect()
}

/// What the only entry of this action says under these names.
fn told<const N: usize>(world: &World, action: &str, names: [&str; N]) -> [Value; N] {
    let entries = world.audit.of(action);
    assert_eq!(entries.len(), 1, "{action}");
    let entry = &entries[0];
    let meta = |name: &str| entry.event.meta.get(name).cloned();
    names.map(|name| meta(name).unwrap_or_default())
}

#[tokio::test]
async fn what_was_for_a_time_and_is_for_good_is_a_change_that_shows() -> Result {
    let world = World::new().await?;
    let bob = temporary(&world).await?;
    let both = [role("viewer"), role("support")];
    members(&world)
        .set_roles(&world.owner, user(&bob), &both)
        .await?;
    assert_eq!(
        told(&world, "member.roles_changed", ["before", "after"]),
        [
            held(&[("support", Some(ENDS)), ("viewer", None)]),
            held(&[("support", None), ("viewer", None)])
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_role_that_has_ended_is_neither_taken_nor_told_of() -> Result {
    let world = World::new().await?;
    let bob = former(&world).await?;
    let members = members(&world);
    members
        .set_roles(&world.owner, user(&bob), &[role("viewer")])
        .await?;
    assert!(world.audit.of("member.roles_changed").is_empty());
    members
        .set_roles(&world.owner, user(&bob), &[role("member")])
        .await?;
    assert_eq!(
        told(&world, "member.roles_changed", ["before", "after"]),
        [held(&[("viewer", None)]), held(&[("member", None)])]
    );
    let left: Vec<String> =
        sqlx::query_scalar("SELECT role_key FROM tenancy.member_roles WHERE user_id = $1")
            .bind(user(&bob))
            .fetch_all(&world.db.superuser().await?)
            .await?;
    assert_eq!(left, ["member"], "and goes with the others");
    Ok(())
}

#[tokio::test]
async fn who_goes_leaves_on_record_which_roles_he_had() -> Result {
    let world = World::new().await?;
    let (bob, eve) = (temporary(&world).await?, former(&world).await?);
    members(&world).remove(&world.owner, user(&bob)).await?;
    let before = held(&[("support", Some(ENDS)), ("viewer", None)]);
    assert_eq!(told(&world, "member.removed", ["before"]), [before]);
    members(&world).leave(&eve).await?;
    let before = held(&[("viewer", None)]);
    assert_eq!(told(&world, "member.left", ["before"]), [before]);
    Ok(())
}

#[tokio::test]
async fn what_is_told_of_who_goes_is_what_he_had_when_he_went() -> Result {
    let world = World::new().await?;
    let bob = world.member(&["viewer"]).await?;
    let mut changing = world.db.app.write(&world.owner).await?;
    world
        .authz
        .set_roles_in(&mut changing, user(&bob), &[role("member")])
        .await?;
    let (members, who) = (members(&world), bob.clone());
    let leaving = tokio::spawn(async move { members.leave(&who).await });
    let waits = "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE NOT granted)";
    let superuser = world.db.superuser().await?;
    while !sqlx::query_scalar(waits).fetch_one(&superuser).await? {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    changing.commit().await?;
    leaving.await??;
    let before = held(&[("member", None)]);
    assert_eq!(told(&world, "member.left", ["before"]), [before]);
    Ok(())
}

#[tokio::test]
async fn ownership_that_is_given_and_taken_tells_of_the_roles_that_follow() -> Result {
    let world = World::new().await?;
    let (bob, owner) = (temporary(&world).await?, user(&world.owner));
    let ownership = ownership(&world);
    ownership.add(&world.owner, user(&bob)).await?;
    let (support, viewer) = (("support", Some(ENDS)), ("viewer", None));
    assert_eq!(
        told(&world, "ownership.added", ["before", "after"]),
        [
            held(&[support, viewer]),
            held(&[("owner", None), support, viewer])
        ]
    );
    ownership.remove(&bob, owner).await?;
    assert_eq!(
        told(&world, "ownership.removed", ["before", "after"]),
        [held(&[("owner", None)]), held(&[("admin", None)])],
        "who is left without a role keeps one"
    );
    Ok(())
}

#[tokio::test]
async fn a_transfer_tells_of_the_roles_of_both() -> Result {
    let world = World::new().await?;
    let bob = world.member(&["viewer"]).await?;
    let ownership = ownership(&world);
    let minutes = Duration::from_mins(5);
    let offer = ownership.offer(&world.owner, user(&bob), minutes).await?;
    ownership.accept(&bob, offer.id).await?;
    let names = ["from_before", "from_after", "to_before", "to_after"];
    assert_eq!(
        told(&world, "ownership.transferred", names),
        [
            held(&[("owner", None)]),
            held(&[("admin", None)]),
            held(&[("viewer", None)]),
            held(&[("owner", None), ("viewer", None)])
        ]
    );
    Ok(())
}

#[tokio::test]
async fn who_has_only_roles_that_ended_beside_ownership_keeps_admin() -> Result {
    let world = World::new().await?;
    let bob = former(&world).await?;
    let (members, ownership) = (members(&world), ownership(&world));
    ownership.add(&world.owner, user(&bob)).await?;
    members
        .set_roles(&world.owner, user(&bob), &[role("owner")])
        .await?;
    let (support, ends) = (role("support"), Some(ENDS.parse()?));
    world
        .roles
        .assign(&world.owner, user(&bob), &support, ends)
        .await?;
    end_support(&world, &bob).await?;
    ownership.remove(&world.owner, user(&bob)).await?;
    assert_eq!(
        told(&world, "ownership.removed", ["before", "after"]),
        [held(&[("owner", None)]), held(&[("admin", None)])]
    );
    Ok(())
}

#[tokio::test]
async fn a_role_that_is_deleted_tells_who_had_it() -> Result {
    let world = World::new().await?;
    let (bob, eve) = (temporary(&world).await?, temporary(&world).await?);
    former(&world).await?;
    let support = role("support");
    world.roles.delete(&world.owner, &support).await?;
    let [deleted] = told(&world, "role.deleted", ["before"]);
    let mut lost = [user(&bob), user(&eve)];
    lost.sort();
    assert_eq!(deleted["members"], json!(lost));
    assert_eq!(deleted["member_count"], json!(2));
    Ok(())
}
