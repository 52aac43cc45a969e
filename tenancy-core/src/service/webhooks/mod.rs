//! Events of tenants' lives, told to receivers outside.

mod audit;
mod handler;
mod relay;
mod sender;

use std::{fmt, sync::Arc};

use tokio::sync::Notify;

pub use self::{
    audit::WebhookAudit,
    handler::WebhookHandler,
    relay::{Relayed, WebhookRelay},
    sender::WebhookSender,
};
use crate::{
    AuditSink, Error, ErrorKind, JobKind, JobSink, ServiceKey, TenantDb, TenantId, WebhookEndpoint,
    WebhookTransport, WorkerDb, postgres::webhook_state,
};

/// The kind of the jobs that send.
const KIND: JobKind = JobKind::from_static("tenancy.webhook");
/// As whom the jobs are enqueued and run, with no permission at all.
const SERVICE: ServiceKey = ServiceKey::from_static("webhooks");
/// The most endpoints.
const MOST_ENDPOINTS: usize = 32;

/// Tells the platform's own receivers (billing, CRM, a data warehouse) what happens to tenants, by
/// signed webhooks.
///
/// An event is stored in the transaction that changes something, through the audit sink that the
/// services are given; a relay hands it to the job queue, one job for each endpoint that wants it;
/// a job's handler signs it, sends it, and is tried again until the receiver has taken it. Nothing
/// is sent for what was rolled back, and nothing is lost with a process. A receiver may get a
/// message more than once and in another order: it tells by the `webhook-id`.
///
/// The jobs belong to a tenant of the platform's own, which stays open: the news that a tenant was
/// suspended, or is gone, must not wait in that tenant's queue.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Error, JobHandler, JobSink, TenantDb, TenantId, WorkerDb};
/// # async fn run(db: TenantDb, worker: WorkerDb, log: Arc<dyn AuditSink>, jobs: Arc<dyn JobSink>,
/// #     ours: TenantId, stop: tokio_util::sync::CancellationToken) -> Result<(), Error> {
/// use tenancy_core::{ReqwestWebhooks, WebhookEndpoint, WebhookKeys, WebhookSecret, Webhooks};
///
/// let secret = std::env::var("BILLING_WEBHOOK_SECRET").unwrap_or_default();
/// let keys = WebhookKeys::new(WebhookSecret::parse(&secret)?);
/// let billing = WebhookEndpoint::new("billing", "https://billing.example.com/tenancy", keys)?;
/// let webhooks = Webhooks::new(db, ours, vec![billing])?;
///
/// // In every process: the sink that Tenants, Members, Invitations and the others are given.
/// let audit = Arc::new(webhooks.audit(log));
///
/// // In the worker's process: what hands events to the queue, and what the queue's worker runs.
/// let relay = webhooks.relay(worker, jobs);
/// tokio::spawn(async move { relay.run(stop).await });
/// let handler: Arc<dyn JobHandler> = Arc::new(webhooks.handler(Arc::new(ReqwestWebhooks::new()?)));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Webhooks(Arc<Shared>);

struct Shared {
    db: TenantDb,
    ours: TenantId,
    endpoints: Vec<WebhookEndpoint>,
    stored: Notify,
}

impl Webhooks {
    /// Puts the service together. `ours` is the platform's own tenant.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) `webhook_endpoint_twice` for two endpoints of one
    /// name, `too_many_webhook_endpoints` for more than 32.
    pub fn new(
        db: TenantDb,
        ours: TenantId,
        endpoints: Vec<WebhookEndpoint>,
    ) -> Result<Self, Error> {
        let wrong =
            |code, message: String| Err(Error::new(ErrorKind::Misconfigured, code, message));
        if endpoints.len() > MOST_ENDPOINTS {
            let message = format!("there are at most {MOST_ENDPOINTS} webhook endpoints");
            return wrong("too_many_webhook_endpoints", message);
        }
        for (at, endpoint) in endpoints.iter().enumerate() {
            let mut before = endpoints.iter().take(at);
            if before.any(|other| other.name() == endpoint.name()) {
                let message = format!("two webhook endpoints are named `{}`", endpoint.name());
                return wrong("webhook_endpoint_twice", message);
            }
        }
        Ok(Self(Arc::new(Shared {
            db,
            ours,
            endpoints,
            stored: Notify::new(),
        })))
    }

    /// The audit sink to give to the services: it records as `inner` does, and stores what an
    /// endpoint wants to hear of.
    pub fn audit(&self, inner: Arc<dyn AuditSink>) -> WebhookAudit {
        WebhookAudit::new(self.clone(), inner)
    }

    /// Hands stored events to the queue.
    pub fn relay(&self, worker: WorkerDb, jobs: Arc<dyn JobSink>) -> WebhookRelay {
        WebhookRelay::new(self.clone(), worker, jobs)
    }

    /// Sends what the queue gives out.
    pub fn handler(&self, transport: Arc<dyn WebhookTransport>) -> WebhookHandler {
        WebhookHandler::new(self.clone(), WebhookSender::new(transport))
    }

    /// Tells an endpoint again that has answered 410. What was parked meanwhile is in the queue of the
    /// platform's tenant. Answers whether it was closed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) `webhook_endpoint_unknown` for an endpoint that is not known
    /// here; those of [`enter`](TenantDb::enter) and of the database.
    pub async fn reopen(&self, endpoint: &str) -> Result<bool, Error> {
        if self.endpoint(endpoint).is_none() {
            let message = format!("there is no webhook endpoint `{endpoint}` here");
            let unknown = Error::new(ErrorKind::NotFound, "webhook_endpoint_unknown", message);
            return Err(unknown);
        }
        let db = &self.0.db;
        let ctx = db.enter_system(self.0.ours, SERVICE, Vec::new()).await?;
        let mut tx = db.write(&ctx).await?;
        let was_closed = webhook_state::forget_gone(&mut tx, endpoint).await?;
        tx.commit().await?;
        Ok(was_closed)
    }

    fn endpoint(&self, name: &str) -> Option<&WebhookEndpoint> {
        let mut known = self.0.endpoints.iter();
        known.find(|endpoint| endpoint.name() == name)
    }

    fn wanting<'a>(&'a self, action: &'a str) -> impl Iterator<Item = &'a WebhookEndpoint> {
        self.0
            .endpoints
            .iter()
            .filter(move |endpoint| endpoint.wants(action))
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks")
            .field("endpoints", &self.0.endpoints)
            .finish_non_exhaustive()
    }
}

/// What a job holds: the body as it is signed, so that each try sends the same bytes.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
struct Delivery {
    endpoint: String,
    id: String,
    body: String,
}
