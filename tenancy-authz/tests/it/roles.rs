//! Roles of each tenant, seeded with defaults.

use std::{
    collections::BTreeSet,
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{Connection as _, PgConnection};
use tenancy_authz::{ErrorKind, NewRole, RoleName, RolePage, sync_permissions};
use tenancy_core::{
    OperatorDb, PermissionDef, RoleDirectory as _, TenantDb, TenantId, UserId,
    testing::{self as core_testing, MemoryAudit},
};

use crate::support::{READ, Result, World, authorizer, definitions, role, user};

#[tokio::test]
async fn every_tenant_is_seeded_with_the_default_roles() -> Result {
    let world = World::new().await?;
    for owner in [&world.owner, &world.other_owner] {
        let roles = world.roles.list(owner, &RolePage::default()).await?;
        let keys: Vec<_> = roles.iter().map(|role| role.key.as_str()).collect();
        assert_eq!(keys, ["admin", "member", "owner", "support", "viewer"]);
        assert!(roles.iter().all(|role| role.is_system));
        let all = definitions().len();
        for everything in ["owner", "admin"] {
            let granted = world
                .roles
                .permissions_of_role(owner, &role(everything))
                .await?;
            assert_eq!(granted.len(), all, "{everything}");
        }
        assert_eq!(
            world
                .roles
                .permissions_of_role(owner, &role("viewer"))
                .await?,
            [READ]
        );
    }
    Ok(())
}

#[tokio::test]
async fn seeding_twice_changes_nothing_not_even_what_the_tenant_changed() -> Result {
    let world = World::new().await?;
    let owner = &world.owner;
    world
        .roles
        .rename(owner, &role("viewer"), RoleName::parse("Onlooker")?)
        .await?;
    world.roles.revoke(owner, &role("member"), &READ).await?;
    world.roles.delete(owner, &role("support")).await?;
    let before = world.dump().await?;
    for _ in 0..2 {
        let mut tx = world.db.app.write(owner).await?;
        world.authz.seed_in(&mut tx, user(owner)).await?;
        tx.commit().await?;
        sync_permissions(&world.db.operator, &definitions()).await?;
    }
    assert_eq!(world.dump().await?, before);
    Ok(())
}

const CHILD: &str = "TENANCY_AUTHZ_SEED";
const TENANTS: usize = 20;

/// Run again as a child, it seeds and registers what its parent tells it to.
#[tokio::test]
async fn seeding_by_two_processes_at_once_is_seeding_once() -> Result {
    if let Ok(orders) = std::env::var(CHILD) {
        return seed_as_told(&orders).await;
    }
    let world = World::new().await?;
    // Tenants that the core made without roles.
    let mut orders = Vec::new();
    for _ in 0..TENANTS {
        let ctx = core_testing::tenant(&world.db.app).await?;
        orders.push(format!("{}/{}", ctx.tenant(), user(&ctx)));
    }
    two_processes(&world, &orders).await?;
    let seeded = world.dump().await?;
    let count = |kind: &str| seeded.lines().filter(|line| line.starts_with(kind)).count();
    // The two tenants of the world were seeded by one process; each of the others looks like them.
    let each: BTreeSet<_> = per_tenant(&seeded).into_iter().collect();
    assert_eq!(each.len(), 1, "{seeded}");
    assert_eq!(count("role "), (TENANTS + 2) * 5);
    assert_eq!(count("permission "), definitions().len() + 1);
    assert_eq!(count("member "), TENANTS + 2);

    two_processes(&world, &orders).await?;
    assert_eq!(
        world.dump().await?,
        seeded,
        "the second time changes nothing"
    );
    Ok(())
}

/// Roles and grants of each tenant, without its id.
fn per_tenant(dump: &str) -> Vec<Vec<String>> {
    let tenants: BTreeSet<_> = dump
        .lines()
        .filter(|line| line.starts_with("role "))
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    let of = |tenant: &str| {
        let mine = dump.lines().filter(|line| line.contains(tenant));
        let rows = mine.filter(|line| line.starts_with("role ") || line.starts_with("grant "));
        rows.map(|line| line.replace(tenant, "")).collect()
    };
    tenants.into_iter().map(of).collect()
}

async fn two_processes(world: &World, orders: &[String]) -> Result {
    let begin = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_millis(300);
    let told = format!(
        "{} {} {} {}",
        begin.as_millis(),
        world.db.server.app_url(),
        world.db.server.operator_url(),
        orders.join(",")
    );
    let children: Vec<_> = (0..2)
        .map(|_| {
            tokio::process::Command::new(std::env::current_exe()?)
                .args([
                    "--exact",
                    "roles::seeding_by_two_processes_at_once_is_seeding_once",
                ])
                .env(CHILD, &told)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
        })
        .collect::<std::io::Result<_>>()?;
    for child in children {
        let ended = child.wait_with_output().await?;
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(
            ended.status.success() && said.contains("1 passed"),
            "{said}"
        );
    }
    Ok(())
}

async fn seed_as_told(orders: &str) -> Result {
    let mut words = orders.split(' ');
    let mut word = || words.next().ok_or("an order is missing");
    let (begin, app, operator, tenants) = (word()?.parse()?, word()?, word()?, word()?);
    let db = TenantDb::connect(app).await?;
    let operator = OperatorDb::connect(operator).await?;
    let authz = authorizer(
        &db,
        &MemoryAudit::new(),
        tenancy_authz::AuthzOptions::default(),
    );
    let begin = UNIX_EPOCH + Duration::from_millis(begin);
    tokio::time::sleep(begin.duration_since(SystemTime::now()).unwrap_or_default()).await;
    for pair in tenants.split(',') {
        let (tenant, owner) = pair.split_once('/').ok_or("an order is broken")?;
        let (tenant, owner): (TenantId, UserId) = (tenant.parse()?, owner.parse()?);
        let ctx = db.enter(tenant, owner).await?;
        let mut tx = db.write(&ctx).await?;
        authz.seed_in(&mut tx, owner).await?;
        tx.commit().await?;
    }
    let late = PermissionDef::new("reports.read", "see reports", &["member"]);
    let permissions = [definitions(), vec![late]].concat();
    sync_permissions(&operator, &permissions).await?;
    Ok(())
}

#[tokio::test]
async fn a_role_key_is_unique_within_a_tenant_and_free_in_another() -> Result {
    let world = World::new().await?;
    let clerk = || NewRole::new(role("clerk"), RoleName::parse("Clerk").expect("a name"));
    world.roles.create(&world.owner, clerk()).await?;
    let again = world.roles.create(&world.owner, clerk()).await.unwrap_err();
    assert_eq!(
        (again.kind(), again.code()),
        (ErrorKind::RoleTaken, "role_exists")
    );
    world.roles.create(&world.other_owner, clerk()).await?;

    // The planted fault: without the primary key a second row of the same key can be stored.
    let superuser = world.db.superuser().await?;
    let twice = "INSERT INTO tenancy.roles (tenant_id, key, name) VALUES ($1, 'clerk', 'Again')";
    let insert = || sqlx::query(twice).bind(world.owner.tenant());
    let refused = insert().execute(&superuser).await.unwrap_err();
    assert_eq!(
        refused.as_database_error().unwrap().constraint(),
        Some("roles_pkey")
    );
    world
        .as_superuser("ALTER TABLE tenancy.roles DROP CONSTRAINT roles_pkey CASCADE")
        .await?;
    insert().execute(&superuser).await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_key_is_never_used_again() -> Result {
    let world = World::new().await?;
    let clerk = || NewRole::new(role("clerk"), RoleName::parse("Clerk").expect("a name"));
    world.roles.create(&world.owner, clerk()).await?;
    world.roles.delete(&world.owner, &role("clerk")).await?;
    let again = world.roles.create(&world.owner, clerk()).await.unwrap_err();
    assert_eq!(
        (again.kind(), again.code()),
        (ErrorKind::RoleTaken, "role_retired")
    );
    Ok(())
}

#[tokio::test]
async fn a_tenant_sees_no_role_of_another_and_the_app_writes_none_by_hand() -> Result {
    let world = World::new().await?;
    let seen = "SELECT count(DISTINCT tenant_id) FROM tenancy.roles";
    let tenants: i64 = {
        let mut tx = world.db.app.read(&world.owner).await?;
        sqlx::query_scalar(seen).fetch_one(&mut *tx).await?
    };
    assert_eq!(tenants, 1);
    for statement in [
        "INSERT INTO tenancy.roles (tenant_id, key, name) VALUES (util.current_tenant(), 'mine', 'Mine')",
        "UPDATE tenancy.member_roles SET role_key = 'owner'",
        "DELETE FROM tenancy.role_permissions",
        "UPDATE tenancy.permissions SET bit = 0",
        "SELECT tenancy.register_permissions('[]', '[]')",
        "SELECT tenancy.bump_epoch()",
        "SELECT tenancy.begin_role_change()",
        "SELECT tenancy.catch_up_roles(1)",
        "SELECT tenancy.catch_up_tenants(NULL, 1)",
        "SELECT tenancy.catch_up_tenant(util.current_tenant())",
        "SELECT tenancy.begin_upgrade(util.current_tenant(), 'viewer')",
        "SELECT tenancy.finish_upgrade(util.current_tenant(), 'viewer')",
        "SELECT tenancy.copy_role('admin', 'viewer')",
        "SELECT tenancy.make_role_change('{}')",
        "SELECT tenancy.make_changes('grant', '[]')",
        "SELECT tenancy.make_role_changes('create', '[]')",
        "SELECT tenancy.make_grant_changes('grant', '[]')",
        "SELECT tenancy.write_grant_changes('grant', '[]')",
        "SELECT tenancy.make_member_changes('assign', '[]')",
        "SELECT tenancy.tenants_with_upgrades(NULL, 1)",
        "SELECT tenancy.expand_roles(util.current_tenant(), '{viewer}')",
        "SELECT tenancy.edited_roles(NULL, NULL, 1)",
        "SELECT tenancy.purge_ended_roles(0, 1)",
        "SELECT util.subject_has_permission(util.current_user_id(), util.current_tenant(), 'templates.read')",
        "INSERT INTO tenancy.role_wildcards (tenant_id, role_key, pattern) VALUES (util.current_tenant(), 'viewer', 'templates.*')",
        "INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key) VALUES (util.current_tenant(), 'viewer', 'admin')",
        "UPDATE tenancy.role_upgrades SET outcome = 'edited'",
        "DELETE FROM tenancy.role_state",
    ] {
        let mut tx = world.db.app.write(&world.owner).await?;
        let refused = sqlx::raw_sql(statement)
            .execute(&mut *tx)
            .await
            .unwrap_err();
        let code = refused
            .as_database_error()
            .unwrap()
            .code()
            .unwrap()
            .into_owned();
        assert_eq!(code, "42501", "{statement}");
    }
    // The planted fault: without the policy the same query sees every tenant.
    world
        .as_superuser("ALTER TABLE tenancy.roles DISABLE ROW LEVEL SECURITY")
        .await?;
    let mut tx = world.db.app.read(&world.owner).await?;
    let tenants: i64 = sqlx::query_scalar(seen).fetch_one(&mut *tx).await?;
    assert_eq!(tenants, 2);
    Ok(())
}

#[tokio::test]
async fn tenants_from_before_the_roles_get_them_when_permissions_are_registered() -> Result {
    let world = World::new().await?;
    let ctx = core_testing::tenant(&world.db.app).await?;
    assert!(!world.allowed(&ctx, &READ).await?);
    sync_permissions(&world.db.operator, &definitions()).await?;
    let fresh = authorizer(
        &world.db.app,
        &world.audit,
        tenancy_authz::AuthzOptions::default(),
    );
    let roles =
        tenancy_authz::Roles::new(world.db.app.clone(), fresh, Arc::new(world.audit.clone()));
    assert_eq!(roles.list(&ctx, &RolePage::default()).await?.len(), 5);
    Ok(())
}

#[tokio::test]
async fn a_tenant_that_is_created_while_permissions_are_registered_misses_none() -> Result {
    let world = World::new().await?;
    assert!(seeded_while_registering(&world, "reports.read").await?);

    // The planted fault: seeding that does not keep registering waiting.
    let superuser = world.db.superuser().await?;
    let source: String =
        sqlx::query_scalar("SELECT pg_get_functiondef('tenancy.seed_roles(uuid)'::regprocedure)")
            .fetch_one(&superuser)
            .await?;
    let weak = source.replace("PERFORM FROM tenancy.permission_bits FOR KEY SHARE;", "");
    assert_ne!(weak, source);
    sqlx::raw_sql(sqlx::AssertSqlSafe(weak))
        .execute(&superuser)
        .await?;
    assert!(!seeded_while_registering(&world, "billing.read").await?);
    Ok(())
}

/// Whether the owner of a tenant that is being made holds what is registered before that commits.
async fn seeded_while_registering(world: &World, late: &'static str) -> Result<bool> {
    let (tenant, owner) = (TenantId::new(), UserId::new());
    let mut conn = PgConnection::connect(world.db.server.app_url()).await?;
    let mut tx = conn.begin().await?;
    sqlx::query(
        "SELECT set_config('tenancy.tenant_id', $1, true), set_config('tenancy.user_id', $2, true)",
    )
    .bind(tenant.to_string())
    .bind(owner.to_string())
    .execute(&mut *tx)
    .await?;
    let made = "SELECT tenancy.create_tenant($1, 'Late', $2), (tenancy.seed_roles($2)).outcome";
    sqlx::query(made)
        .bind(format!("late-{}", tenant.as_uuid().simple()))
        .bind(owner)
        .execute(&mut *tx)
        .await?;
    let late_one = PermissionDef::new(late, "see something new", &[]);
    let operator = world.db.operator.clone();
    // Waits for the seeding, or sees nothing of it and lets the tenant go without.
    let registering = tokio::spawn(async move { sync_permissions(&operator, &[late_one]).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    tx.commit().await?;
    registering.await??;
    let ctx = world.db.app.enter(tenant, owner).await?;
    let granted = world
        .roles
        .permissions_of_role(&ctx, &role("owner"))
        .await?;
    Ok(granted.iter().any(|permission| permission.as_str() == late))
}
