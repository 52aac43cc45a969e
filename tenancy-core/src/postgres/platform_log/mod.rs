//! The log of what happened outside of every tenant, on Postgres.

mod events;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::runtime::Handle;

pub use events::{PlatformEvents, PlatformQuery};

use super::{connections::Connections, options::PoolerMode, unbound::Unbound};
use crate::{Error, PlatformEvent, PlatformLog, model::Fold};

/// How many different events a process stores in a minute; the rest are folded together.
const MOST_DIFFERENT: usize = 200;
/// How long events wait for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long the wait grows while the database does not answer.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Stores events in `tenancy.platform_log`: at most one statement a second and two hundred different
/// events a minute for each process, equal ones of a minute as one row with a count.
///
/// Events wait a second for others; a process that dies loses those. While the database does not
/// answer they are kept, and folded further. A count may be too high by what was sent twice because
/// an answer was lost.
///
/// A [`TenantDb`](crate::TenantDb) has one and notes each refused [`enter`](crate::TenantDb::enter)
/// in it. [`PlatformEvents`] reads it, as the operator.
#[derive(Clone)]
pub struct PgPlatformLog {
    connections: Connections,
    pooler: PoolerMode,
    state: Arc<Mutex<State>>,
    /// Held while events are stored: a flush waits for those that are on their way.
    storing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    fold: Fold,
    is_scheduled: bool,
}

impl PgPlatformLog {
    /// Over connections of the app's login.
    pub(super) fn new(connections: Connections, pooler: PoolerMode) -> Self {
        Self {
            connections,
            pooler,
            state: Arc::default(),
            storing: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores what comes in, and ends when nothing has come for a while.
    async fn run(self) {
        let mut scheduled = Scheduled(Some(self.clone()));
        let mut delay = DELAY;
        loop {
            tokio::time::sleep(delay).await;
            let stored = self.store().await;
            delay = if stored {
                DELAY
            } else {
                LONGEST_DELAY.min(delay * 2)
            };
            let mut state = self.state();
            if stored && state.fold.is_empty() {
                state.is_scheduled = false;
                scheduled.0 = None;
                return;
            }
        }
    }

    /// Whether there is nothing left that another try could store.
    async fn store(&self) -> bool {
        let _storing = self.storing.lock().await;
        let events = self.state().fold.take();
        if events.is_empty() {
            return true;
        }
        let Err(error) = self.write(&events).await else {
            return true;
        };
        let count = events.values().sum();
        if error.retry().is_retryable() {
            tracing::warn!(%error, count, "platform events could not be stored yet");
            let mut state = self.state();
            for (event, count) in events {
                state.fold.put_back(event, count);
            }
            return false;
        }
        lost(count, &error);
        true
    }

    async fn write(&self, events: &HashMap<PlatformEvent, u64>) -> Result<(), Error> {
        let rows: Vec<Value> = events.iter().map(row).collect();
        let mut conn = Unbound::open(&self.connections, self.pooler).await?;
        sqlx::query("SELECT tenancy.note_platform_events($1)")
            .bind(Value::Array(rows))
            .execute(&mut *conn)
            .await?;
        conn.done().await
    }
}

/// Codes come from hosts' authenticators as well, and one that the table refuses would take the others
/// along.
fn word(code: &'static str) -> &'static str {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = code.starts_with(|first: char| first.is_ascii_lowercase());
    if begins && code.len() <= 63 && code.bytes().all(fits) {
        code
    } else {
        "other"
    }
}

/// A task that goes with its runtime lets the next event start another.
struct Scheduled(Option<PgPlatformLog>);

impl Drop for Scheduled {
    fn drop(&mut self) {
        if let Some(log) = &self.0 {
            log.state().is_scheduled = false;
        }
    }
}

fn row((event, count): (&PlatformEvent, &u64)) -> Value {
    json!({
        "kind": event.kind.as_str(),
        "code": word(event.code),
        "tenant": event.tenant,
        "actor": event.actor,
        "address": event.address,
        "count": count,
    })
}

fn lost(count: u64, error: &Error) {
    metrics::counter!("tenancy_platform_events_lost_total").increment(count);
    tracing::error!(%error, code = error.code(), count, "platform events are lost");
}

#[async_trait]
impl PlatformLog for PgPlatformLog {
    fn note(&self, event: PlatformEvent) {
        metrics::counter!("tenancy_platform_events_total", "kind" => event.kind.as_str())
            .increment(1);
        let mut state = self.state();
        state.fold.add(event, MOST_DIFFERENT, Instant::now());
        if state.is_scheduled {
            return;
        }
        // Without a runtime the next event that has one takes this one along.
        if let Ok(runtime) = Handle::try_current() {
            state.is_scheduled = true;
            runtime.spawn(self.clone().run());
        }
    }

    /// In a task: what was taken to be stored must not be lost with a caller who goes away.
    async fn flush(&self) {
        let log = self.clone();
        let _ = tokio::spawn(async move { log.store().await }).await;
    }
}

impl std::fmt::Debug for PgPlatformLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgPlatformLog").finish_non_exhaustive()
    }
}
