//! Hearing of new jobs from other processes.

use std::{sync::Arc, time::Duration};

use sqlx::postgres::PgListener;
use tenancy_core::WorkerDb;
use tokio::sync::Notify;

use crate::QueueName;

/// The channel of `sql/notify.sql`; its payload is a queue's name and nothing else.
const CHANNEL: &str = "tenancy_jobs";
/// How long to wait before connecting again. Polling finds the jobs meanwhile.
const PAUSE: Duration = Duration::from_secs(5);

/// Wakes the worker whenever its queue is named; runs until it is dropped.
pub(crate) async fn listen(db: WorkerDb, queue: QueueName, wake: Arc<Notify>) {
    loop {
        if let Err(error) = hear(&db, &queue, &wake).await {
            tracing::debug!(%error, %queue, "listening for new jobs was interrupted");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear(db: &WorkerDb, queue: &QueueName, wake: &Notify) -> Result<(), crate::Error> {
    let mut listener = PgListener::connect_with(db.pool()).await?;
    listener.listen(CHANNEL).await?;
    // What came before the listener stood was not heard.
    wake.notify_one();
    loop {
        let heard = listener.recv().await?;
        if heard.payload() == queue.as_str() {
            wake.notify_one();
        }
    }
}
