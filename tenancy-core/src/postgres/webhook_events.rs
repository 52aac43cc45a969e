//! Events that wait to be handed to the queue.

use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::{tx::TenantTx, worker::WorkerDb};
use crate::Error;

/// Stores an event in the caller's transaction.
pub(crate) async fn put(
    tx: &mut TenantTx,
    endpoints: Vec<String>,
    body: String,
) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    sqlx::query(include_str!("sql/webhook_event_put.sql"))
        .bind(tenant)
        .bind(Uuid::now_v7())
        .bind(endpoints)
        .bind(body)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A stored event. Whose it is stands in its body.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct StoredEvent {
    pub(crate) id: Uuid,
    pub(crate) endpoints: Vec<String>,
    pub(crate) body: String,
}

/// Events that are gone from their table once this is [`done`](Self::done), and are there again if
/// it is dropped or its process dies. Other takers pass them over meanwhile.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) events: Vec<StoredEvent>,
    tx: Transaction<'static, Postgres>,
}

impl Taken {
    pub(crate) async fn done(self) -> Result<(), Error> {
        Ok(self.tx.commit().await?)
    }
}

/// Takes the oldest events of all tenants.
pub(crate) async fn take(worker: &WorkerDb, limit: u16) -> Result<Taken, Error> {
    let mut tx = worker.pool().begin().await?;
    let events = sqlx::query_as(include_str!("sql/webhook_events_take.sql"))
        .bind(i32::from(limit))
        .fetch_all(&mut *tx)
        .await?;
    Ok(Taken { events, tx })
}
