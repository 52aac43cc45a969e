//! Changes of roles at the same moment: each is judged by what is so when its turn comes.
//!
//! The turn is a lock on the tenant. Each race is also run without it: there it has to end badly, or it proves
//! nothing.

use std::time::Duration;

use sqlx::PgPool;
use tenancy_authz::{ErrorKind, GrantKey, ImportOptions, NewRole};
use tenancy_core::{PermissionKey, TenantCtx, TenantTx};
use tokio::{task::JoinHandle, time::timeout};

use crate::support::{PURGE, Result, WRITE, World, name, role, user, wildcard};

const MANAGE: PermissionKey = PermissionKey::from_static("roles.manage");
/// Long enough for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// The lock that every change begins with, taken away.
const WITHOUT_TURNS: &str = "CREATE OR REPLACE FUNCTION tenancy.begin_role_change() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
    $$ BEGIN RETURN util.user_has_permission(util.current_tenant(), 'roles.manage'); END $$";

/// Waits until as many transactions of this database wait for a lock.
async fn until_waiting(superuser: &PgPool, expected: i64) -> Result {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waited = async {
        while sqlx::query_scalar::<_, i64>(waiting)
            .fetch_one(superuser)
            .await?
            < expected
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok::<_, sqlx::Error>(())
    };
    Ok(timeout(PATIENCE, waited).await??)
}

/// What a chief tries while his rights are taken away.
#[derive(Clone, Copy, Debug)]
enum Attempt {
    Assign,
    Create,
    Grant,
    GrantWildcard,
    Import,
    Parent,
    Revoke,
}

const ATTEMPTS: &[Attempt] = &[
    Attempt::Assign,
    Attempt::Create,
    Attempt::Grant,
    Attempt::GrantWildcard,
    Attempt::Import,
    Attempt::Parent,
    Attempt::Revoke,
];

/// Roles that grant what the chief is about to lose, and a chief, who manages roles and still holds it.
async fn chief(world: &World) -> Result<TenantCtx> {
    let (roles, owner) = (&world.roles, &world.owner);
    let vault = NewRole::new(role("vault"), name("Vault"))
        .with_permission(PURGE)
        .with_wildcard(wildcard("templates.*"));
    roles.create(owner, vault).await?;
    let clerk = NewRole::new(role("clerk"), name("Clerk")).with_permission(WRITE);
    roles.create(owner, clerk).await?;
    let chief = NewRole::new(role("chief"), name("Chief"))
        .with_permission(MANAGE)
        .with_permission(PermissionKey::from_static("roles.read"));
    roles.create(owner, chief).await?;
    world.member(&["chief", "vault"]).await
}

fn attempt(
    world: &World,
    chief: &TenantCtx,
    what: Attempt,
) -> JoinHandle<Result<(), tenancy_authz::Error>> {
    let (roles, chief) = (world.roles.clone(), chief.clone());
    tokio::spawn(async move {
        let (clerk, vault, all) = (role("clerk"), role("vault"), wildcard("templates.*"));
        match what {
            Attempt::Assign => roles.assign(&chief, user(&chief), &clerk, None).await,
            Attempt::Create => {
                let mine = NewRole::new(role("mine"), name("Mine")).with_permission(PURGE);
                roles.create(&chief, mine).await
            }
            Attempt::Grant => roles.grant(&chief, &clerk, &PURGE).await,
            Attempt::GrantWildcard => roles.grant_wildcard(&chief, &clerk, &all).await,
            Attempt::Import => {
                let mut policy = roles.export(&chief).await?;
                policy.epoch = None;
                if let Some(clerk) = policy.roles.get_mut(&clerk) {
                    clerk.grants.insert(GrantKey::Permission(PURGE));
                }
                roles
                    .import(&chief, &policy, &ImportOptions::default())
                    .await
                    .map(drop)
            }
            Attempt::Parent => roles.add_parent(&chief, &clerk, &vault).await,
            Attempt::Revoke => roles.revoke(&chief, &vault, &PURGE).await,
        }
    })
}

/// Takes the lock of every change, and with it the chief's second role; not committed yet.
async fn taking_away(world: &World, chief: &TenantCtx) -> Result<TenantTx> {
    let mut tx = world.db.app.write(&world.owner).await?;
    for (call, member) in [
        (
            "SELECT outcome FROM tenancy.lock_policy() WHERE $1::uuid IS NOT NULL",
            user(chief),
        ),
        (
            "SELECT outcome FROM tenancy.unassign_role($1, 'vault')",
            user(chief),
        ),
    ] {
        let outcome: String = sqlx::query_scalar(call)
            .bind(member)
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(outcome, "ok", "{call}");
    }
    Ok(tx)
}

#[tokio::test]
async fn who_loses_a_right_while_he_waits_for_his_turn_gives_and_takes_it_no_more() -> Result {
    for what in ATTEMPTS {
        let world = World::new().await?;
        let chief = chief(&world).await?;
        let superuser = world.db.superuser().await?;
        let first = taking_away(&world, &chief).await?;
        let second = attempt(&world, &chief, *what);
        until_waiting(&superuser, 1).await?;
        assert!(!second.is_finished(), "{what:?}");
        first.commit().await?;
        let before = world.dump().await?;
        let refused = timeout(PATIENCE, second).await??.unwrap_err();
        let said = (refused.kind(), refused.code());
        assert_eq!(
            said,
            (ErrorKind::Exceeds, "exceeds_own_permissions"),
            "{what:?}: {refused}"
        );
        assert_eq!(world.dump().await?, before, "{what:?}");
        let denials = world.audit.of("access.denied");
        assert_eq!(denials.len(), 1, "{what:?}");
        assert_eq!(denials[0].event.meta["reason"], "exceeds_own_permissions");
    }
    Ok(())
}

#[tokio::test]
async fn without_turns_he_would_give_what_he_has_lost() -> Result {
    let world = World::new().await?;
    let chief = chief(&world).await?;
    let superuser = world.db.superuser().await?;
    sqlx::raw_sql(WITHOUT_TURNS).execute(&superuser).await?;
    let first = taking_away(&world, &chief).await?;
    let second = attempt(&world, &chief, Attempt::Grant);
    // For the epoch, which both count up: the rule was asked before.
    until_waiting(&superuser, 1).await?;
    first.commit().await?;
    timeout(PATIENCE, second).await???;
    assert!(!world.allowed_by_sql(&chief, &PURGE).await?);
    let granted = world
        .roles
        .permissions_of_role(&world.owner, &role("clerk"))
        .await?;
    assert!(granted.contains(&PURGE), "the race is one");
    Ok(())
}

/// Two administrators and nobody above them, who both take the role from the other; how it ended for each.
async fn against_each_other(world: &World) -> Result<[Result<(), tenancy_authz::Error>; 2]> {
    let (one, two) = (
        world.member(&["admin"]).await?,
        world.member(&["admin"]).await?,
    );
    world
        .as_superuser("DELETE FROM tenancy.member_roles WHERE role_key = 'owner'")
        .await?;
    let superuser = world.db.superuser().await?;
    // Nobody's turn comes before both have asked for theirs.
    let mut gate = superuser.begin().await?;
    for held in [
        "SELECT FROM tenancy.tenants FOR NO KEY UPDATE",
        "SELECT FROM tenancy.tenant_epoch FOR NO KEY UPDATE",
    ] {
        sqlx::query(held).execute(&mut *gate).await?;
    }
    let takes = |from: &TenantCtx, by: &TenantCtx| {
        let (roles, from, by) = (world.roles.clone(), user(from), by.clone());
        tokio::spawn(async move { roles.unassign(&by, from, &role("admin")).await })
    };
    let (first, second) = (takes(&one, &two), takes(&two, &one));
    until_waiting(&superuser, 2).await?;
    gate.commit().await?;
    Ok([
        timeout(PATIENCE, first).await??,
        timeout(PATIENCE, second).await??,
    ])
}

const ADMINISTRATORS: &str = "SELECT count(*) FROM tenancy.member_roles WHERE role_key = 'admin'";

#[tokio::test]
async fn of_two_administrators_who_remove_each_other_at_once_one_stays() -> Result {
    let world = World::new().await?;
    let ended = against_each_other(&world).await?;
    let refused: Vec<_> = ended.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    // Whose turn came second is no administrator any more.
    assert_eq!(refused[0].kind(), ErrorKind::Denied);
    let left: i64 = sqlx::query_scalar(ADMINISTRATORS)
        .fetch_one(&world.db.superuser().await?)
        .await?;
    assert_eq!(left, 1);
    Ok(())
}

#[tokio::test]
async fn without_turns_neither_of_the_two_would_stay() -> Result {
    let world = World::new().await?;
    world.as_superuser(WITHOUT_TURNS).await?;
    let ended = against_each_other(&world).await?;
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    let left: i64 = sqlx::query_scalar(ADMINISTRATORS)
        .fetch_one(&world.db.superuser().await?)
        .await?;
    assert_eq!(left, 0, "the race is one");
    Ok(())
}
