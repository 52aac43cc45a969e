//! From the table of events to the queue.

use std::{fmt, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Delivery, KIND, SERVICE, Webhooks};
use crate::{
    Error, ErrorKind, JobSink, NewJob, TenantTx, WorkerDb,
    postgres::webhook_events::{self, StoredEvent},
};

/// Events of one page.
const PAGE: u16 = 100;
const MOST_PAGE: u16 = 500;
/// How long it rests when there is nothing; what is stored in its own process wakes it at once.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it rests after an error.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);
/// How often a message is tried. With the default waits of `tenancy-jobs`, half a day and more.
const TRIES: u16 = 100;
const MOST_TRIES: u16 = 1_000;
/// How long one try may take, beyond any transport's own limit.
const TRY: Duration = Duration::from_secs(90);

/// Hands the stored events to the queue, across tenants, as the worker.
///
/// At least once and in effect once: an event is taken from its table when its jobs are committed.
/// A process that dies in between leaves it there, and its jobs are known by their keys when they
/// are enqueued again. Any number of relays may run at once.
#[derive(Clone)]
pub struct WebhookRelay {
    webhooks: Webhooks,
    worker: WorkerDb,
    jobs: Arc<dyn JobSink>,
    tries: u16,
    pause: Duration,
}

/// What one page of a relay came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Relayed {
    /// Events that were taken.
    pub events: u64,
    /// Jobs that were enqueued, or known already.
    pub jobs: u64,
    /// Whether the page was full, so that there may be more.
    pub more: bool,
}

impl WebhookRelay {
    pub(super) fn new(webhooks: Webhooks, worker: WorkerDb, jobs: Arc<dyn JobSink>) -> Self {
        Self {
            webhooks,
            worker,
            jobs,
            tries: TRIES,
            pause: PAUSE,
        }
    }

    /// Sets how often a message is tried in all: 100 times by default, 1,000 at most.
    pub fn with_tries(mut self, tries: u16) -> Self {
        self.tries = tries.clamp(1, MOST_TRIES);
        self
    }

    /// Sets how often it looks for events of other processes: each second by default, at least
    /// every minute.
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause.clamp(Duration::from_millis(10), Duration::from_mins(1));
        self
    }

    /// Hands a page of events over, the oldest first, at most `limit` of them (500 at most).
    ///
    /// # Errors
    /// Of the database and of the queue; then nothing of the page is lost. A platform's tenant that
    /// is suspended or gone is an error as well: its code is that of
    /// [`enter`](crate::TenantDb::enter).
    pub async fn drain(&self, limit: u16) -> Result<Relayed, Error> {
        let limit = limit.clamp(1, MOST_PAGE);
        let taken = webhook_events::take(&self.worker, limit).await?;
        let mut relayed = Relayed {
            events: taken.events.len() as u64,
            jobs: 0,
            more: taken.events.len() == usize::from(limit),
        };
        if taken.events.is_empty() {
            return Ok(relayed);
        }
        let (db, ours) = (&self.webhooks.0.db, self.webhooks.0.ours);
        let ctx = db.enter_system(ours, SERVICE, Vec::new()).await?;
        let mut tx = db.write(&ctx).await?;
        for event in &taken.events {
            for endpoint in &event.endpoints {
                self.enqueue(&mut tx, event, endpoint).await?;
                relayed.jobs += 1;
            }
        }
        tx.commit().await?;
        taken.done().await?;
        metrics::counter!("tenancy_webhook_events_total").increment(relayed.events);
        Ok(relayed)
    }

    async fn enqueue(
        &self,
        tx: &mut TenantTx,
        event: &StoredEvent,
        endpoint: &str,
    ) -> Result<(), Error> {
        let delivery = Delivery {
            endpoint: endpoint.to_owned(),
            id: format!("msg_{}", event.id.simple()),
            body: event.body.clone(),
        };
        let key = format!("{}:{}", delivery.id, delivery.endpoint);
        let payload = serde_json::to_value(delivery).map_err(|error| {
            let message = "a webhook could not be written down";
            Error::new(ErrorKind::Internal, "webhook_unwritable", message).with_source(error)
        })?;
        let job = NewJob::new(KIND, payload)
            .with_idempotency_key(key)
            .with_max_attempts(self.tries)
            .with_timeout(TRY);
        self.jobs.enqueue_in(tx, job).await?;
        Ok(())
    }

    /// Hands over what there is and what comes, until `stop`. Errors are logged and counted, and
    /// what they held up is tried again.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let rest = match self.drain(PAGE).await {
                Ok(relayed) if relayed.more => continue,
                Ok(_) => self.pause,
                Err(error) => {
                    metrics::counter!("tenancy_webhook_relay_errors_total").increment(1);
                    tracing::error!(%error, code = error.code(), "webhooks could not be enqueued");
                    PAUSE_AFTER_ERROR
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.webhooks.0.stored.notified() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }
}

impl fmt::Debug for WebhookRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRelay").finish_non_exhaustive()
    }
}
