//! Of an event receivers are told what the log has kept, and once.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tenancy_core::{
    AuditSink, Event, Kept, MockAuditSink, NoAudit, Target, TenantCtx, WebhookAudit,
};

use crate::{Result, host::Host};

const SECRET: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

/// A log that hides what stands under a key, answers that it knows the second event, and records nothing
/// in transactions of its own.
fn hiding() -> MockAuditSink {
    let mut log = MockAuditSink::new();
    let mut recorded = 0;
    log.expect_record_in().times(2).returning(move |_, _| {
        recorded += 1;
        let targets = vec![Target::new("key", "[redacted]")];
        let meta = Map::from_iter([("api_key".to_owned(), json!("[redacted]"))]);
        Ok(match recorded {
            1 => Kept::New { targets, meta },
            _ => Kept::Before,
        })
    });
    log
}

/// Records the event twice through a log: in the caller's transaction, and in one of the sink's own.
async fn twice(host: &Host, ctx: &TenantCtx, audit: &WebhookAudit) -> Result {
    let event = Event::new("tenant.linked")
        .target("key", SECRET)
        .meta("api_key", SECRET)
        .idempotency_key("link:7");
    let mut tx = host.kit.app.write(ctx).await?;
    audit.record_in(&mut tx, event.clone()).await?;
    tx.commit().await?;
    audit.record(ctx, event).await?;
    Ok(())
}

/// The bodies that wait to be told.
async fn stored(host: &Host) -> Result<Vec<String>> {
    let bodies = sqlx::query_scalar("SELECT body FROM tenancy.webhook_events ORDER BY recorded_at");
    Ok(bodies.fetch_all(&host.kit.superuser().await?).await?)
}

#[tokio::test]
async fn what_the_log_hides_and_what_it_knows_already_leaves_nothing_to_tell() -> Result {
    let host = Host::new().await?;
    let a = host.tenant("acme").await?;
    host.relay().await?;
    twice(&host, &a, &host.webhooks.audit(Arc::new(hiding()))).await?;
    let bodies = stored(&host).await?;
    assert_eq!(bodies.len(), 1, "an event that was sent twice: {bodies:?}");
    assert!(!bodies[0].contains("sk_live"), "in the table: {bodies:?}");
    host.relay().await?;
    let told = host.told("crm");
    let linked: Vec<&Value> = told
        .iter()
        .filter(|body| body["type"] == "tenant.linked")
        .collect();
    assert_eq!(linked.len(), 1);
    let data = &linked[0]["data"];
    assert_eq!(data["meta"], json!({"api_key": "[redacted]"}));
    assert_eq!(
        data["targets"],
        json!([{"kind": "key", "id": "[redacted]"}])
    );
    for (_, _, job) in host.jobs.jobs() {
        let payload = job.payload.to_string();
        assert!(!payload.contains("sk_live"), "in the queue: {payload}");
    }
    Ok(())
}

#[tokio::test]
async fn of_what_no_log_keeps_no_details_are_told() -> Result {
    let host = Host::new().await?;
    let a = host.tenant("acme").await?;
    host.relay().await?;
    let audit = host.webhooks.audit(Arc::new(NoAudit::new()));
    twice(&host, &a, &audit).await?;
    host.relay().await?;
    let told = host.told("crm");
    assert_eq!(told.len(), 3, "nobody remembers a key: {told:?}");
    let data = &told[1]["data"];
    assert_eq!(data["tenant_id"], json!(a.tenant()));
    assert_eq!(data["truncated"], true);
    assert!(data.get("meta").is_none() && data.get("targets").is_none());
    Ok(())
}
