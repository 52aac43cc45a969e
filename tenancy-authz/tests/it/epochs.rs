//! Whatever changes who may do what counts for every cache, also what goes past the functions that write.

use std::time::{Duration, Instant};

use tenancy_authz::{AuthzOptions, COMPONENT, EPOCH_TRIGGERS, sync_permissions};
use tenancy_core::{
    Authorizer as _, Decision, PermissionDef, TenantCtx,
    doctor::{self, Options, Severity},
    migrate::{CORE, Component},
};

use crate::support::{PURGE, READ, Result, World, authorizer, definitions, name, role, user};

const WITH_THE_NET: &[&Component] = &[&CORE, &COMPONENT, &EPOCH_TRIGGERS];
const BOUND: Duration = Duration::from_millis(150);

async fn world() -> Result<World> {
    World::made_of(WITH_THE_NET, AuthzOptions::default()).await
}

async fn epoch(world: &World, ctx: &TenantCtx) -> Result<i64> {
    let epoch = "SELECT epoch FROM tenancy.tenant_epoch WHERE tenant_id = $1";
    Ok(sqlx::query_scalar(epoch)
        .bind(ctx.tenant())
        .fetch_one(&world.db.superuser().await?)
        .await?)
}

/// From here on an epoch counts by one: it is later than the time.
const LATER: &str = "UPDATE tenancy.tenant_epoch SET epoch = 9000000000000000";

/// Statements by hand that take from viewers what they may do, each with the one that mends it.
const TAKING: &[(&str, &str)] = &[
    (
        "UPDATE tenancy.member_roles SET expires_at = now() - interval '1 s' WHERE role_key = 'viewer'",
        "UPDATE tenancy.member_roles SET expires_at = NULL WHERE role_key = 'viewer'",
    ),
    (
        "UPDATE tenancy.memberships SET status = 'deactivated' WHERE NOT is_owner",
        "UPDATE tenancy.memberships SET status = 'active'",
    ),
    (
        "UPDATE tenancy.tenants SET status = 'suspended_blocked'",
        "UPDATE tenancy.tenants SET status = 'active'",
    ),
    (
        "UPDATE tenancy.role_permissions SET permission_key = 'audit.none' WHERE role_key = 'viewer' AND permission_key = 'templates.read'",
        "UPDATE tenancy.role_permissions SET permission_key = 'templates.read' WHERE permission_key = 'audit.none'",
    ),
    (
        "DELETE FROM tenancy.role_permissions WHERE role_key = 'viewer' AND permission_key = 'templates.read'",
        "INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
         SELECT tenant_id, key, 'templates.read' FROM tenancy.roles WHERE key = 'viewer'
         ON CONFLICT DO NOTHING",
    ),
    (
        "UPDATE tenancy.member_roles SET role_key = 'support_none' WHERE role_key = 'viewer'",
        "UPDATE tenancy.member_roles SET role_key = 'viewer' WHERE role_key = 'support_none'",
    ),
    ("DELETE FROM tenancy.roles WHERE key = 'viewer'", ""),
    ("TRUNCATE tenancy.member_roles", ""),
];

#[tokio::test]
async fn what_is_changed_by_hand_counts_within_the_bound() -> Result {
    for (take, mend) in TAKING {
        let world = world().await?;
        world
            .as_superuser(
                "INSERT INTO tenancy.permissions (key, description, bit) VALUES ('audit.none', 'x', 60000);
                 INSERT INTO tenancy.roles (tenant_id, key, name) SELECT id, 'support_none', 'x' FROM tenancy.tenants",
            )
            .await?;
        let member = world.member(&["viewer"]).await?;
        let options = AuthzOptions::default().with_bound(BOUND);
        let elsewhere = authorizer(&world.db.app, &world.audit, options);
        assert!(elsewhere.check(&member, &READ).await?.is_allowed());
        world.as_superuser(take).await?;
        let taken = Instant::now();
        tokio::time::sleep(BOUND).await;
        // A tenant that is closed lets nobody ask.
        let allowed = elsewhere
            .check(&member, &READ)
            .await
            .is_ok_and(Decision::is_allowed);
        assert!(!allowed, "{:?} after: {take}", taken.elapsed());
        if !mend.is_empty() {
            world.as_superuser(mend).await?;
            tokio::time::sleep(BOUND).await;
            assert!(
                elsewhere.check(&member, &READ).await?.is_allowed(),
                "{mend}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn without_the_net_a_change_by_hand_is_not_heard_of() -> Result {
    let world = World::new().await?;
    let before = epoch(&world, &world.owner).await?;
    world
        .as_superuser("DELETE FROM tenancy.roles WHERE key = 'viewer'")
        .await?;
    assert_eq!(epoch(&world, &world.owner).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_statement_about_many_tenants_counts_each_of_them_up_once_and_no_other() -> Result {
    let world = world().await?;
    let (here, there) = (&world.owner, &world.other_owner);
    world.as_superuser(LATER).await?;
    let both = async || {
        Ok::<_, crate::support::Failure>((epoch(&world, here).await?, epoch(&world, there).await?))
    };
    let changes = [
        (
            "UPDATE tenancy.role_permissions SET is_direct = NOT is_direct",
            (1, 1),
        ),
        (
            "UPDATE tenancy.role_permissions SET is_direct = NOT is_direct WHERE tenant_id = (SELECT tenant_id FROM tenancy.memberships ORDER BY joined_at, tenant_id LIMIT 1)",
            (1, 0),
        ),
        // What is so already, and what is about nobody.
        (
            "UPDATE tenancy.role_permissions SET is_direct = is_direct",
            (0, 0),
        ),
        (
            "UPDATE tenancy.memberships SET status = status, is_owner = is_owner",
            (0, 0),
        ),
        ("UPDATE tenancy.tenants SET name = name || '!'", (0, 0)),
        ("DELETE FROM tenancy.roles WHERE key = 'nobody'", (0, 0)),
        // Its grants and assignments go with it: one change for each table.
        (
            "INSERT INTO tenancy.roles (tenant_id, key, name) SELECT id, 'mine', 'Mine' FROM tenancy.tenants",
            (1, 1),
        ),
        ("DELETE FROM tenancy.roles WHERE key = 'mine'", (1, 1)),
        ("TRUNCATE tenancy.member_roles", (1, 1)),
    ];
    for (change, expected) in changes {
        let before = both().await?;
        world.as_superuser(change).await?;
        let after = both().await?;
        let mut counted = [after.0 - before.0, after.1 - before.1];
        counted.sort_unstable();
        let mut expected = [expected.0, expected.1];
        expected.sort_unstable();
        assert_eq!(counted, expected, "{change}");
    }
    Ok(())
}

#[tokio::test]
async fn an_operator_who_becomes_the_owner_of_the_tables_is_heard_and_what_ended_is_not() -> Result
{
    let world = world().await?;
    let member = world.member(&["viewer"]).await?;
    world.as_superuser(LATER).await?;
    let (here, there) = (
        epoch(&world, &member).await?,
        epoch(&world, &world.other_owner).await?,
    );
    // The owner sees no row of a tenant unless he says which one.
    let mut tx = world.db.operator.owner().await?;
    sqlx::raw_sql("ALTER TABLE tenancy.member_roles NO FORCE ROW LEVEL SECURITY")
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "UPDATE tenancy.member_roles SET expires_at = now() + interval '1 s' WHERE user_id = $1",
    )
    .bind(user(&member))
    .execute(&mut *tx)
    .await?;
    sqlx::raw_sql("ALTER TABLE tenancy.member_roles FORCE ROW LEVEL SECURITY")
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    assert_eq!(epoch(&world, &member).await?, here + 1);
    assert_eq!(epoch(&world, &world.other_owner).await?, there);

    world
        .as_superuser("UPDATE tenancy.member_roles SET expires_at = now() - interval '1 day' WHERE role_key = 'viewer'")
        .await?;
    let ended = epoch(&world, &member).await?;
    world
        .as_superuser("DELETE FROM tenancy.member_roles WHERE expires_at < now()")
        .await?;
    assert_eq!(
        epoch(&world, &member).await?,
        ended,
        "it gave nothing any more"
    );
    Ok(())
}

/// What counts an epoch up, of the functions of this crate, of the core's, and of the net.
async fn another_change(world: &World, how: &str, bystander: &TenantCtx) -> Result {
    match how {
        "a role is renamed" => {
            let viewer = role("viewer");
            world.roles.rename(&world.owner, &viewer, name("V")).await?;
        }
        "a member is kept out" => {
            let mut tx = world.db.app.write(&world.owner).await?;
            let answer: String =
                sqlx::query_scalar("SELECT tenancy.set_member_status($1, 'deactivated')")
                    .bind(user(bystander))
                    .fetch_one(&mut *tx)
                    .await?;
            assert_eq!(answer, "ok");
            tx.commit().await?;
        }
        "a permission is registered" => {
            let more = PermissionDef::new("templates.more", "x", &["support"]);
            sync_permissions(&world.db.operator, &[definitions(), vec![more]].concat()).await?;
        }
        _ => {
            // As often as the net and a function counted what was taken back.
            let by_hand = "UPDATE tenancy.roles SET name = name || 'x' WHERE key = 'support'";
            world.as_superuser(by_hand).await?;
            world.as_superuser(by_hand).await?;
        }
    }
    Ok(())
}

/// A restore takes back a right and its epoch, and the next change counts from there: what a process
/// remembers must not be confirmed by it.
#[tokio::test]
async fn what_was_cached_before_a_restore_is_not_confirmed_after_it() -> Result {
    for how in [
        "a role is renamed",
        "a member is kept out",
        "a permission is registered",
        "a statement by hand",
    ] {
        let world = match how {
            "a statement by hand" => world().await?,
            _ => World::new().await?,
        };
        let member = world.member(&["viewer"]).await?;
        let bystander = world.member(&["viewer"]).await?;
        let backup = epoch(&world, &member).await?;
        world
            .roles
            .assign(&world.owner, user(&member), &role("admin"), None)
            .await?;
        let options = AuthzOptions::default().with_bound(BOUND);
        let elsewhere = authorizer(&world.db.app, &world.audit, options);
        assert!(elsewhere.check(&member, &PURGE).await?.is_allowed());

        let superuser = world.db.superuser().await?;
        sqlx::raw_sql("DELETE FROM tenancy.member_roles WHERE role_key = 'admin'")
            .execute(&superuser)
            .await?;
        sqlx::query("UPDATE tenancy.tenant_epoch SET epoch = $1 WHERE tenant_id = $2")
            .bind(backup)
            .bind(member.tenant())
            .execute(&superuser)
            .await?;
        another_change(&world, how, &bystander).await?;
        tokio::time::sleep(BOUND).await;
        assert!(
            !elsewhere.check(&member, &PURGE).await?.is_allowed(),
            "{how}"
        );
    }
    Ok(())
}

/// Also those of the core, and also the one that a tenant begins with.
#[tokio::test]
async fn every_function_that_writes_an_epoch_writes_the_time() -> Result {
    let world = world().await?;
    let writers: Vec<(String, bool)> = sqlx::query_as(
        "SELECT proname::text, prosrc ~ 'SET epoch = greatest\\(epoch \\+ 1, \\(extract\\(epoch FROM statement_timestamp'
         FROM pg_proc WHERE pronamespace = 'tenancy'::regnamespace AND prosrc ~ 'SET epoch'",
    )
    .fetch_all(&world.db.superuser().await?)
    .await?;
    let counting: Vec<_> = writers.iter().filter(|(_, is_time)| !is_time).collect();
    assert!(writers.len() > 8 && counting.is_empty(), "{writers:?}");
    assert!(epoch(&world, &world.owner).await? > 1_700_000_000_000_000);
    Ok(())
}

#[tokio::test]
async fn with_the_net_everything_works_as_without_and_the_doctor_has_no_worry() -> Result {
    let world = world().await?;
    let member = world.member(&["viewer"]).await?;
    world
        .roles
        .assign(&world.owner, user(&member), &role("admin"), None)
        .await?;
    assert!(world.allowed(&member, &PURGE).await?);
    world.roles.delete(&world.owner, &role("viewer")).await?;
    world
        .roles
        .unassign(&world.owner, user(&member), &role("admin"))
        .await?;
    assert!(!world.allowed(&member, &PURGE).await?);
    let report = doctor::run(&world.db.operator, &Options::default().with_attack(false)).await?;
    let worries = report.count(Severity::Error) + report.count(Severity::Warning);
    assert_eq!(worries, 0, "{}", report.to_text(false));
    // Who has no grants has none by the net.
    let refused = sqlx::query("SELECT tenancy.count_changed_tenants_up(ARRAY[$1])")
        .bind(member.tenant())
        .execute(&mut *world.db.app.write(&member).await?)
        .await;
    assert!(refused.is_err());
    Ok(())
}

#[tokio::test]
async fn two_who_change_many_tenants_at_once_do_not_lock_each_other_out() -> Result {
    let world = world().await?;
    let superuser = world.db.superuser().await?;
    sqlx::raw_sql(
        "INSERT INTO tenancy.tenants (id, name) SELECT gen_random_uuid(), 'T' FROM generate_series(1, 200);
         INSERT INTO tenancy.tenant_epoch (tenant_id) SELECT id FROM tenancy.tenants ON CONFLICT DO NOTHING;
         INSERT INTO tenancy.roles (tenant_id, key, name) SELECT id, k, k FROM tenancy.tenants, unnest(ARRAY['one', 'two']) k",
    )
    .execute(&superuser)
    .await?;
    let change = |sql: &'static str| {
        let pool = superuser.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                sqlx::query(sql).execute(&pool).await?;
            }
            Ok::<_, sqlx::Error>(())
        })
    };
    // Rows of their own each, and epochs in common.
    let one = change("UPDATE tenancy.roles SET name = name || 'x' WHERE key = 'one'");
    let two = change("UPDATE tenancy.roles SET name = name || 'x' WHERE key = 'two'");
    one.await??;
    two.await??;
    Ok(())
}
