//! Three answers to the same question: the SQL function, the snapshot in memory, a naive model.
//!
//! `TENANCY_SEED` repeats a run; `TENANCY_CASES` says how many policies are made up (40 by default,
//! each with some 70 decisions).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::{
    collection::{btree_map, btree_set, vec},
    prelude::{Just, Strategy, prop_oneof},
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;
use tenancy_authz::{AuthzOptions, PgAuthorizer, testing};
use tenancy_core::{Authorizer as _, PermissionKey, TenantCtx, testing::MemoryAudit};

use crate::support::{Result, World, user};

const PERMISSIONS: &[&str] = &[
    "templates.read",
    "templates.write",
    "templates.purge",
    "roles.read",
    "roles.manage",
    "members.read",
    "members.invite",
    "no.such",
];
const ROLES: &[&str] = &["alpha", "beta", "gamma", "delta"];
const USERS: usize = 4;

/// A policy as a child would write it down.
#[derive(Clone, Debug)]
struct Made {
    tenant_status: &'static str,
    /// What each role grants.
    roles: BTreeMap<&'static str, BTreeSet<&'static str>>,
    users: Vec<MadeUser>,
}

#[derive(Clone, Debug)]
struct MadeUser {
    status: Option<&'static str>,
    /// His roles, and whether each has ended.
    roles: BTreeMap<&'static str, bool>,
}

impl Made {
    /// The naive model: say what is meant, look at everything.
    fn allows(&self, user: usize, permission: &str) -> bool {
        let user = &self.users[user];
        let open = self.tenant_status == "active" || self.tenant_status == "suspended_read_only";
        let mut allowed = false;
        for (role, ended) in &user.roles {
            for granted in &self.roles[role] {
                if granted == &permission && !ended {
                    allowed = true;
                }
            }
        }
        allowed && open && user.status == Some("active")
    }
}

fn made() -> impl Strategy<Value = Made> {
    let tenant_status = prop_oneof![
        6 => Just("active"),
        1 => Just("suspended_read_only"),
        1 => Just("suspended_blocked"),
    ];
    let registered = PERMISSIONS
        .iter()
        .copied()
        .filter(|key| *key != "no.such")
        .collect::<Vec<_>>();
    let grants = btree_set(proptest::sample::select(registered), 0..6);
    let user_status =
        prop_oneof![6 => Just(Some("active")), 1 => Just(Some("deactivated")), 1 => Just(None)];
    let one_role = btree_map(
        proptest::sample::select(ROLES),
        proptest::bool::weighted(0.25),
        0..4,
    );
    let user = (user_status, one_role).prop_map(|(status, roles)| MadeUser { status, roles });
    (tenant_status, vec(grants, ROLES.len()), vec(user, USERS)).prop_map(
        |(tenant_status, grants, users)| Made {
            tenant_status,
            roles: ROLES.iter().copied().zip(grants).collect(),
            users,
        },
    )
}

pub(crate) fn runner() -> TestRunner {
    let seed = std::env::var("TENANCY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()) ^ entropy());
    eprintln!("TENANCY_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
    )
}

pub(crate) fn make_up<S: Strategy>(strategy: &S, runner: &mut TestRunner) -> Result<S::Value> {
    Ok(strategy
        .new_tree(runner)
        .map_err(|reason| reason.to_string())?
        .current())
}

fn entropy() -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock");
    u64::from(now.subsec_nanos()) | (now.as_secs() << 32)
}

pub(crate) fn cases(default: usize) -> usize {
    std::env::var("TENANCY_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(default)
}

/// Writes a policy down behind all functions, and enters as each of its users while they still may.
async fn store(world: &World, made: &Made) -> Result<Vec<TenantCtx>> {
    let owner = testing::tenant(&world.db.app, &world.authz).await?;
    let mut users = Vec::new();
    for _ in &made.users {
        users.push(testing::member(&world.db.app, &world.authz, &owner, &["viewer"]).await?);
    }
    let roles: Vec<_> = made
        .roles
        .iter()
        .map(|(role, grants)| json!({ "role": role, "grants": grants }))
        .collect();
    let assigned: Vec<_> = made
        .users
        .iter()
        .zip(&users)
        .map(|(made, ctx)| json!({ "user": user(ctx), "status": made.status, "roles": made.roles }))
        .collect();
    sqlx::query(WRITE_DOWN)
        .bind(owner.tenant())
        .bind(made.tenant_status)
        .bind(json!(roles))
        .bind(json!(assigned))
        .execute(&world.db.superuser().await?)
        .await?;
    Ok(users)
}

const WRITE_DOWN: &str = "
    WITH roles AS (
        INSERT INTO tenancy.roles (tenant_id, key, name)
        SELECT $1, r->>'role', 'x' FROM jsonb_array_elements($3) r
    ), grants AS (
        INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
        SELECT $1, r->>'role', g FROM jsonb_array_elements($3) r, jsonb_array_elements_text(r->'grants') g
    ), old AS (
        DELETE FROM tenancy.member_roles WHERE tenant_id = $1 AND role_key = 'viewer'
    ), assigned AS (
        INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, expires_at)
        SELECT $1, (u->>'user')::uuid, r.key,
            CASE WHEN r.value::boolean THEN now() - interval '1 s' ELSE now() + interval '1 h' END
        FROM jsonb_array_elements($4) u, jsonb_each_text(u->'roles') r
        WHERE u->>'status' IS NOT NULL
    ), gone AS (
        DELETE FROM tenancy.memberships m USING jsonb_array_elements($4) u
        WHERE m.tenant_id = $1 AND m.user_id = (u->>'user')::uuid AND u->>'status' IS NULL
    ), members AS (
        UPDATE tenancy.memberships m SET status = u->>'status' FROM jsonb_array_elements($4) u
        WHERE m.tenant_id = $1 AND m.user_id = (u->>'user')::uuid AND u->>'status' IS NOT NULL
    ), tenants AS (
        UPDATE tenancy.tenants SET status = $2 WHERE id = $1
    )
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = $1";

/// What the SQL function says of each permission.
async fn by_sql(world: &World, ctx: &TenantCtx) -> Result<Vec<bool>> {
    let mut tx = world.db.app.read(ctx).await?;
    Ok(sqlx::query_scalar(
        "SELECT util.user_has_permission($1, p) FROM unnest($2::text[]) WITH ORDINALITY u(p, n) ORDER BY n",
    )
    .bind(ctx.tenant())
    .bind(PERMISSIONS)
    .fetch_all(&mut *tx)
    .await?)
}

#[tokio::test]
async fn sql_snapshot_and_a_naive_model_agree_on_made_up_policies() -> Result {
    let world = World::new().await?;
    let fresh = AuthzOptions::default().with_bound(std::time::Duration::from_hours(1));
    let authz = Arc::new(PgAuthorizer::with_options(
        world.db.app.clone(),
        Arc::new(MemoryAudit::new()),
        fresh,
    ));
    let (mut runner, strategy) = (runner(), made());
    let (mut decisions, mut allowed) = (0, 0);
    for _ in 0..cases(40) {
        let made = make_up(&strategy, &mut runner)?;
        let users = store(&world, &made).await?;
        for (at, ctx) in users.iter().enumerate() {
            let naive: Vec<_> = PERMISSIONS.iter().map(|key| made.allows(at, key)).collect();
            let mut snapshot = Vec::new();
            for key in PERMISSIONS {
                let key = PermissionKey::parse(*key)?;
                snapshot.push(authz.check(ctx, &key).await?.is_allowed());
                // The second answer comes from memory.
                assert_eq!(
                    authz.check(ctx, &key).await?.is_allowed(),
                    snapshot[snapshot.len() - 1]
                );
            }
            assert_eq!(
                by_sql(&world, ctx).await?,
                naive,
                "sql, user {at} of {made:#?}"
            );
            assert_eq!(snapshot, naive, "snapshot, user {at} of {made:#?}");
            decisions += naive.len() * 2;
            allowed += naive.iter().filter(|yes| **yes).count() * 2;
        }
    }
    eprintln!("{allowed} of {decisions} decisions allowed");
    assert!(
        allowed * 50 > decisions,
        "{allowed} of {decisions} allowed: too one-sided to prove much"
    );
    Ok(())
}
