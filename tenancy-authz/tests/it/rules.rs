//! The rules of roles as the functions of the database keep them, and as the store in memory does.
//!
//! `TENANCY_SEED` and `TENANCY_CASES` as for the other properties.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, prop_oneof},
};
use tenancy_authz::{
    AuthzOptions, Change, PgAuthorizer, PgPolicyStore, PolicyStore, RoleName,
    testing::{self, MemoryPolicyStore},
};
use tenancy_core::{
    PermissionKey, RoleDirectory as _, RoleKey, TenantCtx, UserId, testing::MemoryAudit,
};

use crate::{
    properties::{cases, make_up, runner},
    support::{PURGE, READ, Result, WRITE, World, definitions, role, user},
};

const MANAGE: PermissionKey = PermissionKey::from_static("roles.manage");
/// An owner, an admin, one who manages roles with little else, and a viewer.
const USERS: usize = 4;
const CHANGED_ROLES: &[&str] = &["alpha", "beta", "owner", "admin", "viewer", "ghost"];

/// A change by one of the users, with everything it could be about.
fn change() -> impl Strategy<Value = (usize, Change, bool)> {
    let a_role = || proptest::sample::select(CHANGED_ROLES).prop_map(RoleKey::from_static);
    let a_permission = || {
        let unheard = PermissionKey::from_static("no.such");
        proptest::sample::select(vec![READ, WRITE, PURGE, MANAGE, unheard])
    };
    let a_wildcard = || {
        let patterns = ["templates.*", "roles.*", "members.*", "no.*"];
        proptest::sample::select(patterns.map(crate::support::wildcard).to_vec())
    };
    let nobody = UserId::from_uuid(uuid::Uuid::nil());
    let far = || {
        let day = |year| format!("{year}-01-01T00:00:00Z").parse().expect("a day");
        proptest::sample::select(vec![
            None,
            Some(day(2001)),
            Some(day(2800)),
            Some(day(2900)),
        ])
    };
    let name = || RoleName::parse("x").expect("a name");
    let kind = prop_oneof![
        2 => a_role().prop_map(move |role| Change::Create { role, name: name() }),
        1 => a_role().prop_map(|role| Change::Delete { role }),
        4 => (a_role(), a_permission()).prop_map(|(role, permission)| Change::Grant { role, permission }),
        3 => (a_role(), a_permission()).prop_map(|(role, permission)| Change::Revoke { role, permission }),
        5 => (a_role(), far()).prop_map(move |(role, expires_at)| Change::Assign { member: nobody, role, expires_at }),
        3 => a_role().prop_map(move |role| Change::Unassign { member: nobody, role }),
        1 => a_role().prop_map(move |role| Change::Rename { role, name: name() }),
        1 => (a_role(), a_role()).prop_map(move |(role, from)| Change::Clone { role, from, name: name() }),
        3 => (a_role(), a_wildcard()).prop_map(|(role, wildcard)| Change::GrantWildcard { role, wildcard }),
        2 => (a_role(), a_wildcard()).prop_map(|(role, wildcard)| Change::RevokeWildcard { role, wildcard }),
        4 => (a_role(), a_role()).prop_map(|(role, parent)| Change::AddParent { role, parent }),
        2 => (a_role(), a_role()).prop_map(|(role, parent)| Change::RemoveParent { role, parent }),
    ];
    let by = prop_oneof![3 => Just(0), 4 => 0..USERS];
    (by, kind, proptest::bool::weighted(0.9))
}

/// Puts a member, or a stranger, where the made-up change has nobody.
fn about(change: Change, whom: UserId) -> Change {
    match change {
        Change::Assign {
            role, expires_at, ..
        } => Change::Assign {
            member: whom,
            role,
            expires_at,
        },
        Change::Unassign { role, .. } => Change::Unassign { member: whom, role },
        other => other,
    }
}

#[tokio::test]
async fn the_functions_refuse_and_do_what_the_rules_in_rust_do() -> Result {
    let world = World::new().await?;
    let memory = Arc::new(MemoryPolicyStore::new(&definitions())?);
    let in_memory = Arc::new(PgAuthorizer::over(
        memory.clone(),
        Arc::new(MemoryAudit::new()),
        AuthzOptions::default(),
    ));
    let postgres = PgPolicyStore::new(world.db.app.clone());
    let strategy = vec((change(), 0..USERS), 40);
    let mut runner = runner();
    let (mut made, mut refused) = (0, BTreeMap::<&str, usize>::new());
    for case in 0..cases(40) / 2 {
        let (contexts, strangers) = same_tenant_in_both(&world, &in_memory, &memory).await?;
        let has_owner = case % 2 == 0;
        if !has_owner {
            leave_it_to_one(&world, &postgres, &memory, &contexts).await?;
            last_one_stays(&world, [&postgres, &*memory], &contexts).await?;
        }
        for ((by, change, a_member), whom) in make_up(&strategy, &mut runner)? {
            // Who owned the tenant manages nothing any more: let it be the admin.
            let by = if has_owner { by } else { by.max(1) };
            let whom = if a_member {
                user(&contexts[whom])
            } else {
                strangers
            };
            let change = about(change, whom);
            let mut tx = world.db.app.write(&contexts[by]).await?;
            let real = postgres
                .change_in(&mut tx, &change)
                .await
                .map_err(|error| error.code());
            let rules = memory
                .change_in(&mut tx, &change)
                .await
                .map_err(|error| error.code());
            tx.commit().await?;
            let same_outcome = match (&real, &rules) {
                // How an absent moment is written differs; that it was there does not.
                (Ok(real), Ok(rules)) => {
                    std::mem::discriminant(real) == std::mem::discriminant(rules)
                }
                (real, rules) => real == rules,
            };
            assert!(
                same_outcome,
                "{change:?} by {by}: {real:?} in SQL, {rules:?} in Rust"
            );
            match real {
                Ok(_) => made += 1,
                Err(code) => *refused.entry(code).or_default() += 1,
            }
        }
        for ctx in &contexts {
            let mut tx = world.db.app.read(ctx).await?;
            let real = postgres.member_permissions_in(&mut tx, user(ctx)).await?;
            assert_eq!(
                real,
                memory.member_permissions_in(&mut tx, user(ctx)).await?
            );
            for permission in [READ, WRITE, PURGE] {
                let real = postgres.explain_in(&mut tx, user(ctx), &permission).await?;
                let rules = memory.explain_in(&mut tx, user(ctx), &permission).await?;
                assert_eq!(real.to_string(), rules.to_string());
            }
            let (mut real, mut rules) = (
                postgres.policy_in(&mut tx).await?,
                memory.policy_in(&mut tx).await?,
            );
            (real.epoch, rules.epoch) = (None, None);
            assert_eq!(real, rules);
        }
    }
    eprintln!("{made} changes made; refused: {refused:?}");
    for code in [
        "permission_denied",
        "exceeds_own_permissions",
        "role_fixed",
        "granted_otherwise",
        "parent_cycle",
    ] {
        assert!(
            refused.contains_key(code),
            "no case of `{code}` came up: {refused:?}"
        );
    }
    Ok(())
}

/// One tenant with these users, known to both stores. The last value is nobody.
async fn same_tenant_in_both(
    world: &World,
    in_memory: &Arc<PgAuthorizer>,
    memory: &MemoryPolicyStore,
) -> Result<(Vec<TenantCtx>, UserId)> {
    let owner = testing::tenant(&world.db.app, &world.authz).await?;
    let chief = role("chief");
    let new = tenancy_authz::NewRole::new(chief.clone(), RoleName::parse("x")?)
        .with_permission(MANAGE)
        .with_permission(READ);
    world.roles.create(&owner, new).await?;
    let alpha = tenancy_authz::NewRole::new(role("alpha"), RoleName::parse("x")?)
        .with_wildcard(crate::support::wildcard("templates.*"));
    world.roles.create(&owner, alpha).await?;
    let beta =
        tenancy_authz::NewRole::new(role("beta"), RoleName::parse("x")?).with_parent(role("alpha"));
    world.roles.create(&owner, beta).await?;
    let mut contexts = vec![owner.clone()];
    let mut tx = world.db.app.write(&owner).await?;
    in_memory.seed_in(&mut tx, user(&owner)).await?;
    let made = |key: &RoleKey| {
        let (role, name) = (key.clone(), RoleName::parse("x"));
        name.map(|name| Change::Create { role, name })
    };
    let grant = |permission| Change::Grant {
        role: chief.clone(),
        permission,
    };
    memory.change_in(&mut tx, &made(&chief)?).await?;
    for permission in [MANAGE, READ] {
        memory.change_in(&mut tx, &grant(permission)).await?;
    }
    // One below the other, with a wildcard above.
    let (alpha, beta) = (role("alpha"), role("beta"));
    for change in [
        made(&alpha)?,
        made(&beta)?,
        Change::GrantWildcard {
            role: alpha.clone(),
            wildcard: crate::support::wildcard("templates.*"),
        },
        Change::AddParent {
            role: beta,
            parent: alpha,
        },
    ] {
        memory.change_in(&mut tx, &change).await?;
    }
    for has in ["admin", "chief", "viewer"] {
        let ctx = testing::member(&world.db.app, &world.authz, &owner, &[has]).await?;
        memory
            .assign_invited_in(&mut tx, user(&ctx), user(&owner), &[role(has)])
            .await?;
        contexts.push(ctx);
    }
    tx.commit().await?;
    Ok((contexts, UserId::new()))
}

/// Leaves the admin as the only one who manages roles: the owner loses his role by other means than those
/// of these functions, none of which takes it from him.
async fn leave_it_to_one(
    world: &World,
    postgres: &PgPolicyStore,
    memory: &MemoryPolicyStore,
    contexts: &[TenantCtx],
) -> Result {
    let (owner, chief) = (&contexts[0], &contexts[2]);
    let stores: [&dyn PolicyStore; 2] = [postgres, memory];
    for store in stores {
        let mut tx = world.db.app.write(owner).await?;
        let viewer = assign(owner, "viewer", None);
        store.change_in(&mut tx, &viewer).await?;
        store.change_in(&mut tx, &unassign(chief, "chief")).await?;
        tx.commit().await?;
    }
    for sql in [
        "DELETE FROM tenancy.member_roles WHERE tenant_id = $1 AND role_key = 'owner'",
        "UPDATE tenancy.memberships SET is_owner = false WHERE tenant_id = $1",
    ] {
        let query = sqlx::query(sql).bind(owner.tenant());
        query.execute(&world.db.superuser().await?).await?;
    }
    let mut tx = world.db.app.write(owner).await?;
    memory.set_owner_in(&mut tx, user(owner), false).await?;
    Ok(tx.commit().await?)
}

/// Whatever would leave nobody who manages roles is refused, whichever way it is asked for.
async fn last_one_stays(
    world: &World,
    stores: [&dyn PolicyStore; 2],
    contexts: &[TenantCtx],
) -> Result {
    let (admin, chief) = (&contexts[1], &contexts[2]);
    let ends = "2900-01-01T00:00:00Z".parse()?;
    let admin_role = || role("admin");
    let ways = [
        unassign(admin, "admin"),
        assign(admin, "admin", Some(ends)),
        Change::Delete { role: admin_role() },
        Change::Revoke {
            role: admin_role(),
            permission: MANAGE,
        },
    ];
    for (store, which) in stores.into_iter().zip(["SQL", "Rust"]) {
        let mut tx = world.db.app.write(admin).await?;
        for way in &ways {
            let refused = store.change_in(&mut tx, way).await;
            let code = refused.map_err(|error| error.code());
            assert_eq!(code, Err("last_administrator"), "{way:?} in {which}");
            let with_more = [assign(admin, "viewer", None), way.clone()];
            let refused = store.change_all_in(&mut tx, &with_more).await;
            let code = refused.map_err(|refused| (refused.at, refused.error.code()));
            assert_eq!(
                code,
                Err((None, "last_administrator")),
                "{way:?} in {which}, as one of two"
            );
        }
        let refused = store
            .set_roles_in(&mut tx, user(admin), &[role("viewer")])
            .await;
        let code = refused.map_err(|error| error.code());
        assert_eq!(code, Err("last_administrator"), "in {which}");
        // Once somebody else manages them, each of it is done. Nothing of it is kept.
        let successor = assign(chief, "chief", None);
        for way in &ways {
            let both = [successor.clone(), way.clone()];
            let made = store.change_all_in(&mut tx, &both).await;
            made.map_err(|refused| refused.error)?;
            tx.rollback().await?;
            tx = world.db.app.write(admin).await?;
        }
        store.change_in(&mut tx, &successor).await?;
        store
            .set_roles_in(&mut tx, user(admin), &[role("viewer")])
            .await?;
        tx.rollback().await?;
    }
    Ok(())
}

fn assign(
    ctx: &TenantCtx,
    key: &'static str,
    expires_at: Option<chrono::DateTime<chrono::Utc>>,
) -> Change {
    Change::Assign {
        member: user(ctx),
        role: role(key),
        expires_at,
    }
}

fn unassign(ctx: &TenantCtx, key: &'static str) -> Change {
    Change::Unassign {
        member: user(ctx),
        role: role(key),
    }
}

#[tokio::test]
async fn who_ceases_to_own_the_tenant_is_not_missed_in_memory_either() -> Result {
    let world = World::new().await?;
    let memory = Arc::new(MemoryPolicyStore::new(&definitions())?);
    let in_memory = PgAuthorizer::over(
        memory.clone(),
        Arc::new(MemoryAudit::new()),
        AuthzOptions::default(),
    );
    let owner = &world.owner;
    let mut tx = world.db.app.write(owner).await?;
    in_memory.seed_in(&mut tx, user(owner)).await?;
    memory
        .change_in(&mut tx, &assign(owner, "viewer", None))
        .await?;
    let refused = memory.set_owner_in(&mut tx, user(owner), false).await;
    let code = refused.map_err(|error| error.code());
    assert_eq!(code, Err("last_administrator"));
    memory
        .change_in(&mut tx, &assign(owner, "admin", None))
        .await?;
    memory.set_owner_in(&mut tx, user(owner), false).await?;
    assert_eq!(
        memory.roles_in(&mut tx).await?,
        [role("admin"), role("viewer")]
    );
    Ok(())
}
