//! The record of calls: the port's suite on both stores, and what the database itself refuses.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;
use tenancy_core::{
    AuditSink, Error as CoreError, ErrorKind as CoreKind, Event, Kept, TenantCtx, TenantTx,
    WorkerDb, testing::MemoryAudit,
};
use tenancy_mcp::{
    Claim, Claimed, Completed, Completion, EffectClass, ErrorKind, Fingerprint, IdempotencyKey,
    InvocationState, InvocationStore, McpMaintenance, Outcome, PgInvocations, Provider,
    RouterLimits, StoredResponse, ToolDefinition, ToolId,
    testing::{
        FakeTransport, MemoryInvocations,
        conformance::{self, Subject},
    },
};

use crate::common::{Result, SMARTLEAD, World, connect};

const LEASE: Duration = Duration::from_mins(1);

fn definitions() -> Vec<ToolDefinition> {
    vec![
        ToolDefinition::new("once", json!({"type": "object"})),
        ToolDefinition::new("often", json!({"type": "object"})),
    ]
}

/// A tenant with an approved tool of each kind.
pub(crate) async fn subjects(world: &World) -> Result<(Subject, Subject)> {
    world
        .catalog(&[Provider::http(
            SMARTLEAD,
            "Fake",
            "https://fake.example/mcp",
        )?])
        .await?;
    let transport = Arc::new(FakeTransport::offering(definitions()));
    let registry = world.router(transport, RouterLimits::default())?.registry();
    let ctx = world.tenant().await?;
    let classes = [
        ("once", EffectClass::Unsafe),
        ("often", EffectClass::Idempotent),
    ];
    let key = connect(&registry, &ctx, SMARTLEAD, &classes).await?;
    let tools = registry.tools(&ctx, &key).await?;
    let subject = |name: &str| {
        let tool = tools.iter().find(|tool| tool.definition.name == name);
        let tool = tool.ok_or("the tool is not there")?;
        Ok::<_, &str>(Subject::new(
            ctx.clone(),
            tool.id,
            tool.hash,
            tool.effect.clone(),
        ))
    };
    Ok((subject("once")?, subject("often")?))
}

pub(crate) fn claim_of(subject: &Subject, key: &str) -> Result<Claim> {
    let fingerprint = Fingerprint::of(subject.tool, &serde_json::Map::new());
    let key = IdempotencyKey::parse(key)?;
    let claim = Claim::new(subject.tool, key, fingerprint, subject.definition, LEASE)
        .with_effect(subject.effect.clone());
    Ok(claim)
}

pub(crate) fn result(text: &str) -> Outcome {
    Outcome::Succeeded(StoredResponse::new(text, 1_000))
}

#[tokio::test]
async fn the_record_in_postgres_passes_the_ports_suite() -> Result {
    let world = World::new().await?;
    let ((once, often), (elsewhere, _)) = (subjects(&world).await?, subjects(&world).await?);
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(world.audit.clone()));
    conformance::invocation_store(&store, &once, &often, &elsewhere).await?;
    assert!(world.audit.of("mcp.tool.invoked").len() > 5);
    Ok(())
}

#[tokio::test]
async fn the_record_in_memory_passes_the_ports_suite() -> Result {
    let world = World::new().await?;
    let ((once, often), (elsewhere, _)) = (subjects(&world).await?, subjects(&world).await?);
    let store = MemoryInvocations::new(Arc::new(world.audit.clone()));
    conformance::invocation_store(&store, &once, &often, &elsewhere).await?;
    assert!(world.audit.of("mcp.tool.invoked").len() > 5);
    Ok(())
}

#[tokio::test]
async fn the_app_role_can_change_no_row_by_itself() -> Result {
    let world = World::new().await?;
    let (once, _) = subjects(&world).await?;
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(MemoryAudit::new()));
    store.claim(&once.ctx, &claim_of(&once, "k")?).await?;
    for statement in [
        "UPDATE tenancy.mcp_invocations SET state = 'retryable'",
        "DELETE FROM tenancy.mcp_invocations",
        "INSERT INTO tenancy.mcp_invocations DEFAULT VALUES",
        "UPDATE tenancy.mcp_tools SET status = 'approved', approved_at = now()",
        "UPDATE tenancy.mcp_connections SET status = 'connected'",
        "UPDATE tenancy.mcp_providers SET endpoint = 'https://evil.example'",
        "INSERT INTO tenancy.mcp_providers DEFAULT VALUES",
        "SELECT tenancy.mcp_purge('0', 1)",
    ] {
        let mut tx = world.kit.app.write(&once.ctx).await?;
        let error = sqlx::raw_sql(statement)
            .execute(&mut *tx)
            .await
            .unwrap_err();
        let code = error
            .as_database_error()
            .and_then(|db| db.code().map(std::borrow::Cow::into_owned));
        assert_eq!(code.as_deref(), Some("42501"), "{statement}");
    }
    Ok(())
}

#[tokio::test]
async fn a_tenant_sees_only_its_own_rows_even_without_a_predicate() -> Result {
    let world = World::new().await?;
    let (mine, _) = subjects(&world).await?;
    let (theirs, _) = subjects(&world).await?;
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(MemoryAudit::new()));
    for subject in [&mine, &theirs] {
        store.claim(&subject.ctx, &claim_of(subject, "k")?).await?;
    }
    let count = |table: &'static str| {
        let (db, ctx) = (world.kit.app.clone(), mine.ctx.clone());
        async move {
            let mut tx = db.read(&ctx).await?;
            let foreign: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                "SELECT count(*) FROM tenancy.{table} WHERE tenant_id <> $1"
            )))
            .bind(ctx.tenant())
            .fetch_one(&mut *tx)
            .await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(foreign)
        }
    };
    let tables = ["mcp_connections", "mcp_tools", "mcp_invocations"];
    for table in tables {
        assert_eq!(count(table).await?, 0, "{table}");
    }
    // A claim on a tool of another tenant finds no tool.
    assert_eq!(
        store.claim(&theirs.ctx, &claim_of(&mine, "k")?).await?,
        Claimed::Blocked
    );

    // The planted fault: with an open policy the rows of the other tenant show.
    for table in tables {
        let open = format!(
            "CREATE POLICY planted ON tenancy.{table} FOR SELECT TO tenancy_app USING (true)"
        );
        world.superuser(&open).await?;
        assert!(
            count(table).await? > 0,
            "{table}: the planted fault must show"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_older_owner_can_complete_nothing_unless_the_fence_is_removed() -> Result {
    let world = World::new().await?;
    let (_, often) = subjects(&world).await?;
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(MemoryAudit::new()));
    let mut claim = claim_of(&often, "k")?;
    claim.lease = Duration::from_millis(50);
    assert!(matches!(
        store.claim(&often.ctx, &claim).await?,
        Claimed::Execute { fence: 1, .. }
    ));
    tokio::time::sleep(Duration::from_millis(100)).await;
    claim.lease = LEASE;
    assert!(matches!(
        store.claim(&often.ctx, &claim).await?,
        Claimed::Execute { fence: 2, .. }
    ));
    let old = Completion::new(&claim, 1, result("\"old\""));
    let event = || Event::new("mcp.tool.invoked");
    assert_eq!(
        store.complete(&often.ctx, &old, event()).await?,
        Completed::Stale
    );

    world
        .rewrite("mcp_complete", "AND i.fence = p_fence", "")
        .await?;
    let kept = store.complete(&often.ctx, &old, event()).await?;
    assert_eq!(
        kept,
        Completed::Recorded(InvocationState::Succeeded),
        "the planted fault must show"
    );
    Ok(())
}

#[tokio::test]
async fn the_checks_refuse_states_that_make_no_sense_until_they_are_dropped() -> Result {
    let world = World::new().await?;
    let (once, _) = subjects(&world).await?;
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(MemoryAudit::new()));
    store.claim(&once.ctx, &claim_of(&once, "k")?).await?;
    let nonsense = [
        "state = 'succeeded', lease_owner = NULL, lease_until = NULL, completed_at = now()",
        "lease_until = NULL",
        "lease_owner = NULL",
        "state = 'unknown', lease_owner = NULL, lease_until = NULL",
        "state = 'retryable', lease_owner = NULL, lease_until = NULL",
        "completed_at = now()",
        "attempt = 101",
        "fingerprint = '\\x00'",
        "idem_key = ''",
        "response = '{}'",
    ];
    for change in nonsense {
        let error = world
            .superuser(&format!("UPDATE tenancy.mcp_invocations SET {change}"))
            .await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("check constraint"), "{change}: {error}");
    }
    world
        .superuser(
            "DO $$ DECLARE c text; BEGIN
                FOR c IN SELECT conname FROM pg_constraint
                    WHERE conrelid = 'tenancy.mcp_invocations'::regclass AND contype = 'c'
                LOOP EXECUTE format('ALTER TABLE tenancy.mcp_invocations DROP CONSTRAINT %I', c); END LOOP;
            END $$",
        )
        .await?;
    world
        .superuser("UPDATE tenancy.mcp_invocations SET attempt = 101")
        .await?;
    Ok(())
}

/// An audit log that fails for the entries of calls.
pub(crate) struct BrokenAudit;

#[async_trait]
impl AuditSink for BrokenAudit {
    async fn record(&self, _: &TenantCtx, _: Event) -> std::result::Result<(), CoreError> {
        Err(CoreError::new(
            CoreKind::Unavailable,
            "audit_down",
            "the audit log is down",
        ))
    }

    async fn record_in(
        &self,
        tx: &mut TenantTx,
        event: Event,
    ) -> std::result::Result<Kept, CoreError> {
        let ctx = tx.ctx().clone();
        self.record(&ctx, event).await.map(|()| Kept::Nowhere)
    }
}

#[tokio::test]
async fn an_outcome_and_its_audit_entry_are_kept_together_or_not_at_all() -> Result {
    let world = World::new().await?;
    let (once, _) = subjects(&world).await?;
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(BrokenAudit));
    let claim = claim_of(&once, "k")?;
    store.claim(&once.ctx, &claim).await?;
    let completion = Completion::new(&claim, 1, result("{}"));
    let event = Event::new("mcp.tool.invoked");
    let error = store
        .complete(&once.ctx, &completion, event.clone())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let found = store.find(&once.ctx, once.tool, &claim.key).await?.unwrap();
    assert_eq!(found.state, InvocationState::Dispatched);

    let whole = PgInvocations::new(world.kit.app.clone(), Arc::new(world.audit.clone()));
    whole.complete(&once.ctx, &completion, event).await?;
    assert_eq!(world.audit.of("mcp.tool.invoked").len(), 1);
    Ok(())
}

#[tokio::test]
async fn purging_takes_old_calls_of_all_tenants_and_nothing_open_or_unknown() -> Result {
    let world = World::new().await?;
    let ((a, _), (b, _)) = (subjects(&world).await?, subjects(&world).await?);
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(MemoryAudit::new()));
    for subject in [&a, &b] {
        for key in ["old", "new", "unknown", "open", "waiting"] {
            let claim = claim_of(subject, key)?;
            store.claim(&subject.ctx, &claim).await?;
            let trouble = tenancy_mcp::StoredError::new("timeout", "late");
            let outcome = match key {
                "unknown" => Outcome::Ambiguous(trouble, Duration::ZERO),
                "waiting" => Outcome::NotExecuted(trouble, Duration::ZERO),
                "open" => continue,
                _ => result("{}"),
            };
            let completion = Completion::new(&claim, 1, outcome);
            store
                .complete(&subject.ctx, &completion, Event::new("mcp.tool.invoked"))
                .await?;
        }
    }
    world
        .superuser(
            "UPDATE tenancy.mcp_invocations SET created_at = now() - interval '9 days',
                completed_at = completed_at - interval '9 days',
                next_attempt_at = next_attempt_at - interval '9 days' WHERE idem_key <> 'new'",
        )
        .await?;
    let worker: WorkerDb = world.kit.worker.clone();
    let maintenance = McpMaintenance::new(worker);
    assert_eq!(
        maintenance.purge(Duration::from_hours(7 * 24), 100).await?,
        4,
        "what was settled, and what waits for a try that never came"
    );
    assert_eq!(
        maintenance.purge(Duration::ZERO, 100).await?,
        0,
        "a day is the least"
    );
    let find = async |key: &str| {
        store
            .find(&a.ctx, a.tool, &IdempotencyKey::parse(key).unwrap())
            .await
    };
    assert!(find("old").await?.is_none() && find("waiting").await?.is_none());
    for key in ["new", "unknown", "open"] {
        assert!(find(key).await?.is_some(), "{key}");
    }
    Ok(())
}

#[tokio::test]
async fn a_tool_that_is_no_longer_approved_is_not_claimed() -> Result {
    let world = World::new().await?;
    let (once, _) = subjects(&world).await?;
    let store = PgInvocations::new(world.kit.app.clone(), Arc::new(MemoryAudit::new()));
    let revoke = format!(
        "UPDATE tenancy.mcp_tools SET status = 'revoked' WHERE id = '{}'",
        once.tool
    );
    world.superuser(&revoke).await?;
    assert_eq!(
        store.claim(&once.ctx, &claim_of(&once, "k")?).await?,
        Claimed::Blocked
    );
    let mut nobodys = claim_of(&once, "k")?;
    nobodys.tool = ToolId::new();
    assert_eq!(store.claim(&once.ctx, &nobodys).await?, Claimed::Blocked);
    Ok(())
}
