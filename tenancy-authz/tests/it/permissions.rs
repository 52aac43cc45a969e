//! The registry of permissions, and what roles grant.

use tenancy_authz::{ErrorKind, NewRole, RoleName, sync_permissions};
use tenancy_core::{PermissionDef, PermissionKey};

use crate::support::{PURGE, READ, Result, WRITE, World, definitions, role, user};

#[tokio::test]
async fn a_granted_permission_counts_and_a_revoked_one_does_not() -> Result {
    let world = World::new().await?;
    let clerk = NewRole::new(role("clerk"), RoleName::parse("Clerk")?).with_permission(READ);
    world.roles.create(&world.owner, clerk).await?;
    let member = world.member(&["clerk"]).await?;
    assert!(world.allowed(&member, &READ).await? && !world.allowed(&member, &PURGE).await?);

    world
        .roles
        .grant(&world.owner, &role("clerk"), &PURGE)
        .await?;
    assert!(world.allowed(&member, &PURGE).await?);
    assert!(world.allowed_by_sql(&member, &PURGE).await?);
    world
        .roles
        .revoke(&world.owner, &role("clerk"), &PURGE)
        .await?;
    assert!(
        !world.allowed(&member, &PURGE).await?,
        "at once in the process that revoked"
    );
    assert!(!world.allowed_by_sql(&member, &PURGE).await?);

    world
        .roles
        .unassign(&world.owner, user(&member), &role("clerk"))
        .await?;
    assert!(!world.allowed(&member, &READ).await?);
    Ok(())
}

#[tokio::test]
async fn foreign_keys_refuse_what_does_not_exist_and_a_role_of_another_tenant() -> Result {
    let world = World::new().await?;
    let clerk = NewRole::new(role("clerk"), RoleName::parse("Clerk")?);
    world.roles.create(&world.owner, clerk).await?;
    let (here, there) = (world.owner.tenant(), world.other_owner.tenant());
    let me = user(&world.other_owner);
    // As a superuser, whom no policy binds: what refuses is the schema.
    let superuser = world.db.superuser().await?;
    let grant = "INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key) VALUES ($1, $2, $3)";
    for (tenant, role, permission, constraint) in [
        (
            here,
            "nobody",
            "templates.read",
            "role_permissions_tenant_id_role_key_fkey",
        ),
        (
            here,
            "clerk",
            "templates.unheard",
            "role_permissions_permission_key_fkey",
        ),
        (
            there,
            "clerk",
            "templates.read",
            "role_permissions_tenant_id_role_key_fkey",
        ),
    ] {
        let query = sqlx::query(grant).bind(tenant).bind(role).bind(permission);
        let refused = query.execute(&superuser).await.unwrap_err();
        assert_eq!(
            refused.as_database_error().unwrap().constraint(),
            Some(constraint)
        );
    }
    let assign =
        "INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key) VALUES ($1, $2, $3)";
    for (tenant, role, constraint) in [
        (there, "clerk", "member_roles_tenant_id_role_key_fkey"),
        (here, "clerk", "member_roles_tenant_id_user_id_fkey"),
    ] {
        let query = sqlx::query(assign).bind(tenant).bind(me).bind(role);
        let refused = query.execute(&superuser).await.unwrap_err();
        assert_eq!(
            refused.as_database_error().unwrap().constraint(),
            Some(constraint)
        );
    }
    // The planted fault: without the key a role of another tenant can be assigned.
    world
        .as_superuser(
            "ALTER TABLE tenancy.member_roles DROP CONSTRAINT member_roles_tenant_id_role_key_fkey",
        )
        .await?;
    sqlx::query(assign)
        .bind(there)
        .bind(me)
        .bind("clerk")
        .execute(&superuser)
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_service_says_what_is_unknown_and_stores_nothing() -> Result {
    let world = World::new().await?;
    let before = world.dump().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let unheard = PermissionKey::from_static("templates.unheard");
    let kind = |said: Result<(), tenancy_authz::Error>| said.map_err(|error| error.kind());
    let said = roles.grant(owner, &role("nobody"), &READ).await;
    assert_eq!(kind(said), Err(ErrorKind::RoleUnknown));
    let said = roles.grant(owner, &role("viewer"), &unheard).await;
    assert_eq!(kind(said), Err(ErrorKind::PermissionUnknown));
    let said = roles
        .assign(owner, user(&world.other_owner), &role("viewer"), None)
        .await;
    assert_eq!(kind(said), Err(ErrorKind::MemberUnknown));
    let half = NewRole::new(role("half"), RoleName::parse("Half")?)
        .with_permission(READ)
        .with_permission(unheard);
    assert_eq!(
        kind(roles.create(owner, half).await),
        Err(ErrorKind::PermissionUnknown)
    );
    assert_eq!(world.dump().await?, before, "nothing of it, nor an epoch");
    assert!(world.audit.of("role.created").is_empty());
    roles.grant(owner, &role("viewer"), &WRITE).await?;
    Ok(())
}

#[tokio::test]
async fn keys_are_lower_case_ascii_for_the_database_too() -> Result {
    let world = World::new().await?;
    let superuser = world.db.superuser().await?;
    for bad in [
        "Templates.read",
        "templates",
        "templates.read ",
        "templates.réad",
        "a..b",
        "",
    ] {
        let query =
            "INSERT INTO tenancy.permissions (key, description, bit) VALUES ($1, 'x', 60000)";
        let refused = sqlx::query(query)
            .bind(bad)
            .execute(&superuser)
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
    // Compared byte by byte: upper case is another key, and no one's.
    let mut tx = world.db.app.read(&world.owner).await?;
    let shouted: bool = sqlx::query_scalar("SELECT util.user_has_permission($1, 'TEMPLATES.READ')")
        .bind(world.owner.tenant())
        .fetch_one(&mut *tx)
        .await?;
    assert!(!shouted);
    Ok(())
}

#[tokio::test]
async fn a_new_permission_reaches_the_system_roles_of_existing_tenants_and_nothing_else() -> Result
{
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    roles
        .create(
            owner,
            NewRole::new(role("clerk"), RoleName::parse("Clerk")?),
        )
        .await?;
    roles.delete(owner, &role("support")).await?;
    roles.revoke(owner, &role("member"), &WRITE).await?;
    let member = world.member(&["member"]).await?;

    let late = PermissionDef::new("reports.read", "see reports", &["member", "support"]);
    let added = sync_permissions(&world.db.operator, &[definitions(), vec![late]].concat()).await?;
    let reports = PermissionKey::from_static("reports.read");
    assert_eq!(added, std::slice::from_ref(&reports));
    for (key, has) in [
        ("owner", true),
        ("admin", true),
        ("member", true),
        ("viewer", false),
        ("clerk", false),
    ] {
        let granted = roles.permissions_of_role(owner, &role(key)).await?;
        assert_eq!(granted.contains(&reports), has, "{key}");
    }
    let members = roles.permissions_of_role(owner, &role("member")).await?;
    assert!(
        !members.contains(&WRITE),
        "what the tenant took away stays away"
    );
    let gone = roles
        .permissions_of_role(owner, &role("support"))
        .await
        .unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::RoleUnknown);
    assert!(world.allowed(&member, &reports).await?);

    // An older version of the host, which does not know it, takes nothing away.
    let before = world.dump().await?;
    assert_eq!(
        sync_permissions(&world.db.operator, &definitions()).await?,
        []
    );
    assert_eq!(world.dump().await?, before);
    Ok(())
}

#[tokio::test]
async fn the_bit_of_a_deleted_permission_is_not_given_to_another() -> Result {
    let world = World::new().await?;
    let register = |key| {
        let operator = world.db.operator.clone();
        async move { sync_permissions(&operator, &[PermissionDef::new(key, "x", &[])]).await }
    };
    register("reports.read").await?;
    let superuser = world.db.superuser().await?;
    let highest = "SELECT max(bit) FROM tenancy.permissions";
    let old: i32 = sqlx::query_scalar(highest).fetch_one(&superuser).await?;
    world
        .as_superuser(
            "DELETE FROM tenancy.role_permissions WHERE permission_key = 'reports.read';
             DELETE FROM tenancy.permissions WHERE key = 'reports.read'",
        )
        .await?;
    register("billing.read").await?;
    let new: i32 = sqlx::query_scalar(highest).fetch_one(&superuser).await?;
    assert_eq!(new, old + 1);
    Ok(())
}

#[tokio::test]
async fn more_permissions_than_there_are_bits_are_refused_and_nothing_is_registered() -> Result {
    let world = World::new().await?;
    world
        .as_superuser("UPDATE tenancy.permission_bits SET next_bit = 65535")
        .await?;
    let before = world.dump().await?;
    let one = PermissionDef::new("reports.read", "x", &[]);
    let two = PermissionDef::new("reports.write", "x", &[]);
    let known = definitions();
    let refused = sync_permissions(&world.db.operator, &[&known[..], &[one, two]].concat()).await;
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.code()),
        (ErrorKind::Limit, "too_many_permissions")
    );
    assert_eq!(world.dump().await?, before);
    let added = sync_permissions(&world.db.operator, &[&known[..], &[one]].concat()).await?;
    assert_eq!(
        added,
        ["reports.read".parse()?],
        "the last bit is given out"
    );
    assert!(
        world
            .allowed_by_sql(&world.owner, &"reports.read".parse()?)
            .await?
    );
    assert!(
        world
            .allowed(&world.owner, &"reports.read".parse()?)
            .await?
    );
    Ok(())
}
