//! Roles with an end.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tenancy_authz::{AuthzOptions, ErrorKind, purge_ended_roles};
use tenancy_core::{Authorizer as _, PermissionKey};

use crate::support::{READ, Result, World, authorizer, role, user};

const MANAGE: PermissionKey = PermissionKey::from_static("roles.manage");

#[tokio::test]
async fn a_role_gives_nothing_from_its_end_on_in_sql_and_from_memory() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer"]).await?;
    // Of its own accord this memory would keep an answer for an hour.
    let hour = AuthzOptions::default().with_bound(Duration::from_hours(1));
    let authz = authorizer(&world.db.app, &world.audit, hour);
    let ends = Utc::now() + TimeDelta::milliseconds(1_500);
    world
        .roles
        .assign(&world.owner, user(&member), &role("viewer"), Some(ends))
        .await?;
    assert!(authz.check(&member, &READ).await?.is_allowed());
    assert!(world.allowed_by_sql(&member, &READ).await?);
    let left = (ends - Utc::now()).to_std().unwrap_or_default();
    tokio::time::sleep(left + Duration::from_millis(1)).await;
    assert!(!authz.check(&member, &READ).await?.is_allowed());
    assert!(!world.allowed_by_sql(&member, &READ).await?);
    let why = world.roles.why(&world.owner, user(&member), &READ).await?;
    let said = format!(
        "denied: what gave {} `templates.read` has ended: `viewer` (ended {})",
        user(&member),
        ends.format("%Y-%m-%dT%H:%M:%SZ")
    );
    assert_eq!(why.to_string(), said);
    Ok(())
}

#[tokio::test]
async fn whose_role_ends_is_no_last_administrator_also_when_two_are_limited_at_once() -> Result {
    let world = World::new().await?;
    let (one, two) = (
        world.member(&["admin"]).await?,
        world.member(&["admin"]).await?,
    );
    world
        .as_superuser("DELETE FROM tenancy.member_roles WHERE role_key = 'owner'")
        .await?;
    for _ in 0..5 {
        let soon = Some(Utc::now() + TimeDelta::hours(1));
        let limit = |by: &tenancy_core::TenantCtx, whom: &tenancy_core::TenantCtx| {
            let (roles, by, whom) = (world.roles.clone(), by.clone(), user(whom));
            // Tasks of their own, on connections of their own.
            tokio::spawn(async move { roles.assign(&by, whom, &role("admin"), soon).await })
        };
        let (first, second) = (limit(&one, &one), limit(&two, &two));
        let (first, second) = (first.await?, second.await?);
        let kinds: Vec<_> = [&first, &second]
            .into_iter()
            .filter_map(|said| said.as_ref().err().map(tenancy_authz::Error::kind))
            .collect();
        assert_eq!(kinds, [ErrorKind::LastAdministrator], "one of them stays");
        // The one who stays gives it back to the other for good.
        let (stays, limited) = if first.is_err() {
            (&one, &two)
        } else {
            (&two, &one)
        };
        assert!(world.allowed_by_sql(stays, &MANAGE).await?);
        world
            .roles
            .assign(stays, user(limited), &role("admin"), None)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn whoever_holds_something_for_a_while_gives_it_for_no_longer() -> Result {
    let world = World::new().await?;
    let (chief, bob) = (
        world.member(&["admin"]).await?,
        world.member(&["viewer"]).await?,
    );
    let in_hours = |hours| Some(Utc::now() + TimeDelta::hours(hours));
    let give = async |ends| {
        world
            .roles
            .assign(&chief, user(&bob), &role("viewer"), ends)
            .await
    };
    world
        .roles
        .assign(&world.owner, user(&chief), &role("admin"), in_hours(2))
        .await?;
    world
        .roles
        .unassign(&world.owner, user(&bob), &role("viewer"))
        .await?;
    assert_eq!(give(None).await.unwrap_err().kind(), ErrorKind::Exceeds);
    assert_eq!(
        give(in_hours(3)).await.unwrap_err().kind(),
        ErrorKind::Exceeds
    );
    give(in_hours(1)).await?;
    assert_eq!(
        give(in_hours(3)).await.unwrap_err().kind(),
        ErrorKind::Exceeds,
        "nor longer later"
    );
    let own = world
        .roles
        .assign(&chief, user(&chief), &role("admin"), in_hours(3))
        .await;
    assert_eq!(own.unwrap_err().kind(), ErrorKind::Exceeds, "nor his own");
    let past = give(in_hours(-1)).await.unwrap_err();
    assert_eq!(
        (past.kind(), past.code()),
        (ErrorKind::InvalidInput, "expiry_past")
    );
    Ok(())
}

#[tokio::test]
async fn a_purge_takes_what_ended_long_ago_of_all_tenants_and_changes_no_right() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer", "support", "member"]).await?;
    world
        .as_superuser(
            "UPDATE tenancy.member_roles SET expires_at = now() - interval '100 days' WHERE role_key = 'viewer';
             UPDATE tenancy.member_roles SET expires_at = now() - interval '10 days' WHERE role_key = 'support';
             INSERT INTO tenancy.memberships (tenant_id, user_id)
                SELECT t.id, gen_random_uuid() FROM tenancy.tenants t, generate_series(1, 1200);
             INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, expires_at)
                SELECT m.tenant_id, m.user_id, 'viewer', now() - interval '100 days'
                FROM tenancy.memberships m
                WHERE NOT EXISTS (SELECT FROM tenancy.member_roles r WHERE r.user_id = m.user_id)",
        )
        .await?;
    let epochs = |dump: String| {
        let lines = dump.lines().filter(|line| line.starts_with("epoch "));
        lines.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let before = epochs(world.dump().await?);
    let month = Duration::from_hours(24 * 30);
    assert_eq!(purge_ended_roles(&world.db.worker, month).await?, 2_401);
    assert_eq!(purge_ended_roles(&world.db.worker, month).await?, 0);
    let left = world.roles.why(&world.owner, user(&member), &READ).await?;
    let left: Vec<_> = left.roles.iter().map(|role| role.role.as_str()).collect();
    assert_eq!(left, ["member", "support"]);
    assert_eq!(epochs(world.dump().await?), before);
    Ok(())
}
