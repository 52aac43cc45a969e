//! From the table of events to the queue.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Delivery, KIND, SERVICE, Webhooks};
use crate::{
    Error, ErrorKind, JobSink, NewJob, ParkedEvent, TenantCtx, TenantId, TenantTx, WorkerDb,
    postgres::{
        Turns,
        webhook_events::{self, ClaimedEvent, Settled},
    },
};

/// Events of one page.
const PAGE: u16 = 100;
const MOST_PAGE: u16 = 500;
/// Jobs of one transaction, but for the last event's: an event of 32 endpoints has 32.
const JOBS_OF_TX: usize = 64;
/// How long a page is given to be enqueued, before others may try.
const LEASE: Duration = Duration::from_mins(1);
/// When it leaves off, and how long a batch is given, so that the last one ends within the lease.
const LEAVES_OFF: Duration = Duration::from_secs(30);
const BATCH: Duration = Duration::from_secs(20);
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
/// A process that dies in between leaves it there for a minute, and its jobs are known by their keys
/// when they are enqueued again. An event that the queue refuses for what is in it is parked, and the
/// others go on; any other error holds all of them up until it is over. Tenants take turns: however much
/// one of them has, each page has room for the others. Any number of relays may run at once.
#[derive(Clone)]
pub struct WebhookRelay {
    webhooks: Webhooks,
    worker: WorkerDb,
    jobs: Arc<dyn JobSink>,
    turns: Turns,
    tries: u16,
    pause: Duration,
}

/// What one page of a relay came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Relayed {
    /// Events that were handed over.
    pub events: u64,
    /// Jobs that were enqueued, or known already.
    pub jobs: u64,
    /// Events that the queue refused for what is in them: [`WebhookRelay::parked`] lists them.
    pub parked: u64,
    /// Whether the page was full, so that there may be more.
    pub more: bool,
}

impl WebhookRelay {
    pub(super) fn new(webhooks: Webhooks, worker: WorkerDb, jobs: Arc<dyn JobSink>) -> Self {
        Self {
            webhooks,
            worker,
            jobs,
            turns: webhook_events::turns(),
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

    /// Hands a page of events over, at most `limit` of them (500 at most): the oldest of each tenant, then
    /// the second of each. A transaction enqueues some 64 jobs and no more.
    ///
    /// # Errors
    /// Of the database and of the queue, but for a refusal of what is in an event; then what was not
    /// handed over is due again. A platform's tenant that is suspended or gone is an error as well: its
    /// code is that of [`enter`](crate::TenantDb::enter). `webhook_queue_slow`
    /// ([`Unavailable`](ErrorKind::Unavailable)) when the queue does not answer in time.
    pub async fn drain(&self, limit: u16) -> Result<Relayed, Error> {
        let limit = limit.clamp(1, MOST_PAGE);
        let until = Instant::now() + LEAVES_OFF;
        let claimed = webhook_events::claim(&self.worker, &self.turns, limit, LEASE);
        let (claimed, more) = claimed.await?;
        let mut relayed = Relayed {
            more,
            ..Relayed::default()
        };
        if claimed.is_empty() {
            return Ok(relayed);
        }
        let mut left = claimed.as_slice();
        let mut outcome = Ok(());
        while !left.is_empty() && Instant::now() < until {
            let (batch, rest) = left.split_at(batch_of(left));
            let handing_over = timeout(BATCH, self.hand_over(batch, &mut relayed));
            outcome = handing_over.await.unwrap_or_else(|_| Err(too_slow()));
            if outcome.is_err() {
                break;
            }
            left = rest;
        }
        // What was not handed over need not wait for the lease.
        let back: Vec<_> = left.iter().map(|event| (event, Settled::Back)).collect();
        let given_back = webhook_events::settle(&self.worker, &back).await;
        relayed.more |= !left.is_empty();
        metrics::counter!("tenancy_webhook_events_total").increment(relayed.events);
        metrics::counter!("tenancy_webhook_events_parked_total").increment(relayed.parked);
        outcome.and(given_back).map(|()| relayed)
    }

    /// Some events in one transaction; each in its own, if the queue refuses what is in one of them.
    async fn hand_over(&self, batch: &[ClaimedEvent], relayed: &mut Relayed) -> Result<(), Error> {
        let (db, ours) = (&self.webhooks.0.db, self.webhooks.0.ours);
        let ctx = db.enter_system(ours, SERVICE, Vec::new()).await?;
        match self.enqueue_all(&ctx, batch).await {
            Ok(()) => return self.told(batch, relayed).await,
            Err(error) if !is_of_the_event(&error) => return Err(error),
            Err(_) => {}
        }
        for event in batch {
            let alone = std::slice::from_ref(event);
            match self.enqueue_all(&ctx, alone).await {
                Ok(()) => self.told(alone, relayed).await?,
                Err(error) if !is_of_the_event(&error) => return Err(error),
                Err(error) => self.park(event, &error, relayed).await?,
            }
        }
        Ok(())
    }

    async fn enqueue_all(&self, ctx: &TenantCtx, events: &[ClaimedEvent]) -> Result<(), Error> {
        let mut tx = self.webhooks.0.db.write(ctx).await?;
        for event in events {
            for endpoint in &event.endpoints {
                self.enqueue(&mut tx, event, endpoint).await?;
            }
        }
        tx.commit().await
    }

    async fn told(&self, events: &[ClaimedEvent], relayed: &mut Relayed) -> Result<(), Error> {
        let told: Vec<_> = events.iter().map(|event| (event, Settled::Told)).collect();
        webhook_events::settle(&self.worker, &told).await?;
        relayed.events += events.len() as u64;
        relayed.jobs += events.iter().map(jobs_of).sum::<usize>() as u64;
        Ok(())
    }

    async fn park(
        &self,
        event: &ClaimedEvent,
        error: &Error,
        relayed: &mut Relayed,
    ) -> Result<(), Error> {
        tracing::error!(tenant = %event.tenant_id, event = %event.id, %error, code = error.code(),
            "the queue refuses an event, which is parked");
        webhook_events::settle(&self.worker, &[(event, Settled::Parked(error))]).await?;
        relayed.parked += 1;
        Ok(())
    }

    async fn enqueue(
        &self,
        tx: &mut TenantTx,
        event: &ClaimedEvent,
        endpoint: &str,
    ) -> Result<(), Error> {
        let delivery = Delivery {
            endpoint: endpoint.to_owned(),
            // With its tenant: who stores an event chooses its id, and no other tenant's is to go by it.
            id: format!(
                "msg_{}_{}",
                event.tenant_id.as_uuid().simple(),
                event.id.simple()
            ),
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

    /// A page of the events that the queue refused for what is in them, in the order of their ids,
    /// behind the one of this [key](ParkedEvent::key); at most 1,000.
    ///
    /// # Errors
    /// Of the database.
    pub async fn parked(
        &self,
        after: Option<(TenantId, Uuid)>,
        limit: u16,
    ) -> Result<Vec<ParkedEvent>, Error> {
        webhook_events::parked(&self.worker, after, limit.clamp(1, 1_000)).await
    }

    /// Lets parked events be handed over again, once what the queue refused was seen to; how many of
    /// them were parked.
    ///
    /// # Errors
    /// Of the database.
    pub async fn retry_parked(&self, keys: &[(TenantId, Uuid)]) -> Result<u64, Error> {
        webhook_events::release(&self.worker, keys, false).await
    }

    /// Drops parked events: nobody is told of them. Answers how many of them were parked.
    ///
    /// # Errors
    /// Of the database.
    pub async fn drop_parked(&self, keys: &[(TenantId, Uuid)]) -> Result<u64, Error> {
        webhook_events::release(&self.worker, keys, true).await
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

/// Whether the queue refuses this event for what is in it, whatever else there is. All other refusals
/// would be the same for the next event: parking one would park them all.
fn is_of_the_event(error: &Error) -> bool {
    // What the relay itself says of a job is the same for each.
    let of_every_job = matches!(error.code(), "job_attempts_invalid" | "job_timeout_invalid");
    let of_this_one = match error.kind() {
        ErrorKind::InvalidInput => !of_every_job,
        // A queue that is full takes no other either.
        ErrorKind::Limit => error.code() == "job_payload_too_large",
        _ => false,
    };
    of_this_one && !error.retry().is_retryable()
}

fn too_slow() -> Error {
    let message = "the queue did not take webhooks in time";
    Error::new(ErrorKind::Unavailable, "webhook_queue_slow", message)
}

fn jobs_of(event: &ClaimedEvent) -> usize {
    event.endpoints.len()
}

/// How many of these events one transaction takes: one at least.
fn batch_of(events: &[ClaimedEvent]) -> usize {
    let mut jobs = 0;
    let fits = events.iter().take_while(|event| {
        jobs += jobs_of(event);
        jobs <= JOBS_OF_TX
    });
    fits.count().max(1)
}

impl fmt::Debug for WebhookRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRelay").finish_non_exhaustive()
    }
}
