//! What templates do to roles goes on with the next tenant, whatever is wrong with one.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tenancy_authz::{RoleTemplate, Roles, record_upgrades, sync_roles};
use tenancy_core::{
    AuditSink, Error, ErrorKind, Event, Kept, PermissionDef, RoleKey, TenantCtx, TenantId,
    TenantTx, testing::MemoryAudit,
};

use crate::support::{Result, World, definitions, role};

const MANY: usize = 150;

/// Permissions whose keys are about as long as they may be.
fn long() -> Vec<&'static str> {
    let key = |at| format!("long.{}_{at:03}", "k".repeat(115));
    (0..MANY).map(|at| &*key(at).leak()).collect()
}

fn known() -> Vec<PermissionDef> {
    let long = long().into_iter();
    let mut known = definitions();
    known.extend(long.map(|key| PermissionDef::new(key, "x", &[])));
    known
}

fn template(version: u16) -> RoleTemplate {
    let granted = if version == 1 {
        vec!["templates.read"]
    } else {
        long()
    };
    RoleTemplate::new("auditor", version, "Auditor").with_grants(granted.leak())
}

/// A log that takes entries of 16 KiB, as the one of the family does, and none of one tenant.
struct Strict {
    inner: MemoryAudit,
    refused: Option<TenantId>,
}

/// What the log counts of a value: keys and texts, and eight for any other.
fn bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(bytes).sum(),
        Value::Object(fields) => fields.iter().map(|(key, it)| key.len() + bytes(it)).sum(),
        _ => 8,
    }
}

/// What it counts beside them: keys and elements.
fn items(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len() + items.iter().map(self::items).sum::<usize>(),
        Value::Object(fields) => fields.len() + fields.values().map(self::items).sum::<usize>(),
        _ => 0,
    }
}

#[async_trait]
impl AuditSink for Strict {
    async fn record(&self, ctx: &TenantCtx, event: Event) -> Result<(), Error> {
        self.inner.record(ctx, event).await
    }

    async fn record_in(&self, tx: &mut TenantTx, event: Event) -> Result<Kept, Error> {
        let size = event.meta.iter().map(|(key, it)| key.len() + bytes(it));
        let items = event.meta.values().map(|it| 1 + items(it)).sum::<usize>();
        let too_large = size.sum::<usize>() > 16 * 1_024 || items > 512;
        if too_large || self.refused == Some(tx.ctx().tenant()) {
            let code = "audit_meta_too_large";
            return Err(Error::new(ErrorKind::InvalidInput, code, "too large"));
        }
        self.inner.record_in(tx, event).await
    }
}

#[tokio::test]
async fn what_is_too_large_for_an_entry_is_cut_with_the_number_of_all() -> Result {
    let world = World::new().await?;
    let log = Strict {
        inner: world.audit.clone(),
        refused: None,
    };
    for version in [1, 2, 3] {
        sync_roles(&world.db.operator, &known(), &[template(version.min(2))]).await?;
    }
    record_upgrades(&world.db.operator, &world.db.app, &log).await?;
    let auditors = log.inner.of("role.template_followed");
    let after = auditors
        .iter()
        .filter(|entry| entry.event.targets[0].id == "auditor")
        .map(|entry| &entry.event.meta["after"]);
    let counts: Vec<_> = after
        .map(|after| {
            let named = after["permissions"].as_array().map_or(0, Vec::len);
            assert!((10..100).contains(&named), "{named}");
            after["permission_count"].as_u64()
        })
        .collect();
    assert_eq!(counts, [Some(MANY as u64); 2], "one for each tenant");

    // And what is deleted by hand, with heirs that are as many, and members.
    let roles = Roles::new(world.db.app.clone(), world.authz.clone(), Arc::new(log));
    sqlx::query(
        "WITH made AS (
            INSERT INTO tenancy.roles (tenant_id, key, name)
            SELECT $1, rpad('heir' || n || '_', 63, 'x'), 'Heir' FROM generate_series(1, 150) n RETURNING key
         )
         INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key) SELECT $1, key, 'auditor' FROM made",
    )
    .bind(world.owner.tenant())
    .execute(&world.db.superuser().await?)
    .await?;
    sqlx::query(
        "WITH made AS (
            INSERT INTO tenancy.memberships (tenant_id, user_id)
            SELECT $1, gen_random_uuid() FROM generate_series(1, 150) RETURNING user_id
         )
         INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key) SELECT $1, user_id, 'auditor' FROM made",
    )
    .bind(world.owner.tenant())
    .execute(&world.db.superuser().await?)
    .await?;
    roles.delete(&world.owner, &role("auditor")).await?;
    let deleted = &world.audit.of("role.deleted")[0].event.meta["before"];
    assert_eq!(deleted["permission_count"].as_u64(), Some(MANY as u64));
    assert_eq!(deleted["heir_count"].as_u64(), Some(150));
    assert_eq!(deleted["member_count"].as_u64(), Some(150));
    assert_eq!(deleted["members"].as_array().map(Vec::len), Some(100));
    Ok(())
}

#[tokio::test]
async fn a_tenant_whose_entries_are_refused_stops_no_other() -> Result {
    let world = World::new().await?;
    for version in [1, 2] {
        sync_roles(&world.db.operator, &known(), &[template(version)]).await?;
    }
    // The first that is looked at.
    let first = world.owner.tenant().min(world.other_owner.tenant());
    let mut log = Strict {
        inner: world.audit.clone(),
        refused: Some(first),
    };
    let (operator, app) = (&world.db.operator, &world.db.app);
    let refused = record_upgrades(operator, app, &log).await.err();
    let refused = refused.ok_or("it has to be told of")?;
    assert_eq!(refused.code(), "audit_meta_too_large");
    let recorded = || {
        let mut tenants: Vec<_> = world.audit.of("role.template_followed");
        tenants.retain(|entry| entry.event.targets[0].id == "auditor");
        tenants.iter().map(|entry| entry.tenant).collect::<Vec<_>>()
    };
    let second = world.owner.tenant().max(world.other_owner.tenant());
    assert_eq!(recorded(), [second]);
    log.refused = None;
    record_upgrades(operator, app, &log).await?;
    assert_eq!(recorded(), [second, first]);
    Ok(())
}

#[tokio::test]
async fn a_tenant_that_can_not_follow_stops_no_other() -> Result {
    let world = World::new().await?;
    sync_roles(&world.db.operator, &known(), &[template(1)]).await?;
    world
        .as_superuser(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF NEW.tenant_id = (SELECT min(id::text)::uuid FROM tenancy.tenants) THEN RAISE EXCEPTION 'not here'; END IF;
                RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON tenancy.role_upgrades FOR EACH ROW EXECUTE FUNCTION public.refuse()",
        )
        .await?;
    let first = world.owner.tenant().min(world.other_owner.tenant());
    let synced = sync_roles(&world.db.operator, &known(), &[template(2)]).await;
    let told = synced.err().ok_or("it has to be told of")?;
    assert_eq!(told.code(), "tenants_left_behind");
    assert!(told.to_string().contains(&first.to_string()), "{told}");
    let granted = async |owner: &TenantCtx| -> Result<usize> {
        let auditor = RoleKey::from_static("auditor");
        Ok(world
            .roles
            .permissions_of_role(owner, &auditor)
            .await?
            .len())
    };
    let (one, two) = if world.owner.tenant() == first {
        (&world.owner, &world.other_owner)
    } else {
        (&world.other_owner, &world.owner)
    };
    assert_eq!((granted(one).await?, granted(two).await?), (1, MANY));

    world
        .as_superuser("DROP TRIGGER refuse ON tenancy.role_upgrades")
        .await?;
    let done = sync_roles(&world.db.operator, &known(), &[template(2)]).await?;
    assert_eq!((done.tenants, done.upgraded), (1, 1));
    assert_eq!(granted(one).await?, MANY);
    Ok(())
}
