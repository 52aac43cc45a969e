//! How soon a change counts, in this process and in another.

use std::time::{Duration, Instant};

use tenancy_authz::AuthzOptions;
use tenancy_core::Authorizer as _;

use crate::support::{READ, Result, World, authorizer, role, user};

#[tokio::test]
async fn a_revoke_of_another_process_counts_within_the_bound_without_being_told() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer"]).await?;
    let bound = Duration::from_millis(300);
    // Another cache over the same database: what another process has.
    let elsewhere = authorizer(
        &world.db.app,
        &world.audit,
        AuthzOptions::default().with_bound(bound),
    );
    let mut longest = Duration::ZERO;
    for _ in 0..5 {
        assert!(elsewhere.check(&member, &READ).await?.is_allowed());
        world
            .roles
            .unassign(&world.owner, user(&member), &role("viewer"))
            .await?;
        let revoked = Instant::now();
        let mut began = Instant::now();
        while elsewhere.check(&member, &READ).await?.is_allowed() {
            longest = longest.max(began - revoked);
            tokio::time::sleep(Duration::from_millis(1)).await;
            began = Instant::now();
        }
        world
            .roles
            .assign(&world.owner, user(&member), &role("viewer"), None)
            .await?;
        tokio::time::sleep(bound).await;
    }
    assert!(
        longest <= bound,
        "a check that began {longest:?} after the revoke was still allowed"
    );
    Ok(())
}

#[tokio::test]
async fn with_a_bound_of_zero_no_check_is_stale() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer"]).await?;
    let always = AuthzOptions::default().with_bound(Duration::ZERO);
    let elsewhere = authorizer(&world.db.app, &world.audit, always);
    for _ in 0..5 {
        assert!(elsewhere.check(&member, &READ).await?.is_allowed());
        world
            .roles
            .unassign(&world.owner, user(&member), &role("viewer"))
            .await?;
        assert!(!elsewhere.check(&member, &READ).await?.is_allowed());
        world
            .roles
            .assign(&world.owner, user(&member), &role("viewer"), None)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn inside_a_transaction_the_database_is_asked_and_no_memory() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer"]).await?;
    let hour = AuthzOptions::default().with_bound(Duration::from_hours(1));
    let elsewhere = authorizer(&world.db.app, &world.audit, hour);
    assert!(elsewhere.check(&member, &READ).await?.is_allowed());
    world
        .roles
        .unassign(&world.owner, user(&member), &role("viewer"))
        .await?;
    assert!(
        elsewhere.check(&member, &READ).await?.is_allowed(),
        "from memory, within its bound"
    );
    let mut tx = world.db.app.read(&member).await?;
    assert!(!elsewhere.check_in(&mut tx, &READ).await?.is_allowed());
    assert_eq!(elsewhere.roles_in(&mut tx).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_role_ends_by_the_clock_though_nobody_changes_anything() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer"]).await?;
    let hour = AuthzOptions::default().with_bound(Duration::from_hours(1));
    let elsewhere = authorizer(&world.db.app, &world.audit, hour);
    world
        .as_superuser("UPDATE tenancy.member_roles SET expires_at = clock_timestamp() + interval '400 ms' WHERE role_key = 'viewer'")
        .await?;
    assert!(elsewhere.check(&member, &READ).await?.is_allowed());
    tokio::time::sleep(Duration::from_millis(410)).await;
    assert!(!elsewhere.check(&member, &READ).await?.is_allowed());
    assert!(!world.allowed_by_sql(&member, &READ).await?);
    Ok(())
}

#[tokio::test]
async fn checks_do_not_wait_for_the_transactions_of_the_host() -> Result {
    use tenancy_core::{DbOptions, TenantDb};

    let world = World::new().await?;
    let member = world.member(&["viewer"]).await?;
    let one = DbOptions::default().with_max_connections(1);
    let db = TenantDb::connect_with(world.db.server.app_url(), one).await?;
    let authz = authorizer(
        &db,
        &world.audit,
        AuthzOptions::default().with_bound(Duration::ZERO),
    );
    let _all_there_is = db.read(&member).await?;
    let wait = Duration::from_secs(5);
    tokio::time::timeout(wait, authz.require_key(&member, &READ)).await??;
    Ok(())
}
