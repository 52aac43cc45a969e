//! A host whose changes are told to two receivers.

use std::sync::Arc;

use serde_json::Value;
use tenancy_core::{
    AuditSink, NewTenant, NoRoles, OwnerAuthorizer, Platform, ServiceKey, Slug, TenantCtx,
    TenantName, Tenants, UserId, WebhookEndpoint, WebhookKeys, WebhookSecret, Webhooks,
    migrate::CORE,
    testing::{self, MemoryAudit, MemoryJobs},
};
use tenancy_testkit::Db;

use crate::Result;

pub(crate) fn endpoint(name: &str) -> Result<WebhookEndpoint> {
    let keys = WebhookKeys::new(WebhookSecret::generate()?);
    Ok(WebhookEndpoint::new(
        name,
        "https://hooks.example.com/x",
        keys,
    )?)
}

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    let found = value.get(field).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// A host that tells `crm` of everything and `exits` of those who leave.
pub(crate) struct Host {
    pub(crate) kit: Db,
    pub(crate) ours: TenantCtx,
    pub(crate) webhooks: Webhooks,
    pub(crate) log: MemoryAudit,
    pub(crate) audit: Arc<dyn AuditSink>,
    pub(crate) tenants: Tenants,
    pub(crate) platform: Platform,
    pub(crate) jobs: MemoryJobs,
}

impl Host {
    pub(crate) async fn new() -> Result<Self> {
        let kit = Db::new(&[&CORE]).await?;
        let ours = testing::tenant(&kit.app).await?;
        let exits = endpoint("exits")?.with_events(["member.left", "tenant.purged"])?;
        let endpoints = vec![endpoint("crm")?, exits];
        let webhooks = Webhooks::new(kit.app.clone(), ours.tenant(), endpoints)?;
        let log = MemoryAudit::new();
        let audit: Arc<dyn AuditSink> = Arc::new(webhooks.audit(Arc::new(log.clone())));
        let authz = Arc::new(OwnerAuthorizer::new(kit.app.clone(), audit.clone()));
        let tenants = Tenants::new(
            kit.app.clone(),
            authz,
            Arc::new(NoRoles::new()),
            audit.clone(),
        );
        let platform = Platform::new(
            kit.app.clone(),
            ServiceKey::from_static("desk"),
            audit.clone(),
        );
        Ok(Self {
            kit,
            ours,
            webhooks,
            log,
            audit,
            tenants,
            platform,
            jobs: MemoryJobs::new(),
        })
    }

    pub(crate) async fn tenant(&self, slug: &str) -> Result<TenantCtx> {
        let new = NewTenant::new(Slug::parse(slug)?, TenantName::parse(slug)?, UserId::new());
        Ok(self.tenants.create(new).await?)
    }

    pub(crate) async fn relay(&self) -> Result {
        let relay = self
            .webhooks
            .relay(self.kit.worker.clone(), Arc::new(self.jobs.clone()));
        while relay.drain(3).await?.more {}
        Ok(())
    }

    /// The bodies that an endpoint is sent, oldest first.
    pub(crate) fn told(&self, endpoint: &str) -> Vec<Value> {
        let jobs = self.jobs.jobs().into_iter();
        let mine = jobs.filter(|(_, _, job)| text(&job.payload, "endpoint") == endpoint);
        mine.map(|(tenant, _, job)| {
            assert_eq!(tenant, self.ours.tenant(), "jobs are the platform's");
            let body = text(&job.payload, "body");
            serde_json::from_str(body).unwrap_or_default()
        })
        .collect()
    }

    pub(crate) fn types(&self, endpoint: &str) -> Vec<String> {
        let told = self.told(endpoint).into_iter();
        told.map(|body| text(&body, "type").to_owned()).collect()
    }

    pub(crate) async fn waiting(&self) -> Result<i64> {
        let superuser = self.kit.superuser().await?;
        let count = sqlx::query_scalar("SELECT count(*) FROM tenancy.webhook_events");
        Ok(count.fetch_one(&superuser).await?)
    }
}
