//! What handlers of the tests do.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tenancy_core::{Error, ErrorKind, JobKind, JobRun, Retry, TenantCtx, TenantTx};
use tenancy_jobs::TxHandler;
use tokio::sync::Semaphore;

use crate::support::{AsyncWork, KIND, effect, until};

/// Waits at a gate; counts who came to it.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) came: Arc<AtomicUsize>,
    pub(crate) open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            came: Arc::default(),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    pub(crate) async fn wait_for(&self, jobs: usize) {
        until("jobs at the gate", async || {
            (self.came.load(Ordering::SeqCst) >= jobs).then_some(())
        })
        .await;
    }
}

#[async_trait]
impl AsyncWork for Gate {
    async fn work(&self, _: &TenantCtx, run: &JobRun) -> Result<Value, Error> {
        self.came.fetch_add(1, Ordering::SeqCst);
        tokio::select! {
            _ = self.open.acquire() => Ok(json!("through")),
            () = run.cancel.cancelled() => Err(flaky()),
        }
    }
}

/// Panics for one tenant and hangs for any other.
pub(crate) struct Bad(pub(crate) TenantCtx);
#[async_trait]
impl AsyncWork for Bad {
    async fn work(&self, ctx: &TenantCtx, _: &JobRun) -> Result<Value, Error> {
        assert_ne!(ctx.tenant(), self.0.tenant(), "planted");
        std::future::pending().await
    }
}

/// Does not heed its cancellation.
pub(crate) struct Stubborn(pub(crate) Gate);
#[async_trait]
impl AsyncWork for Stubborn {
    async fn work(&self, _: &TenantCtx, _: &JobRun) -> Result<Value, Error> {
        self.0.came.fetch_add(1, Ordering::SeqCst);
        let _ = self.0.open.acquire().await;
        Ok(json!("through"))
    }
}

/// Counts itself and never ends.
pub(crate) struct Deaf(pub(crate) Gate);
#[async_trait]
impl AsyncWork for Deaf {
    async fn work(&self, _: &TenantCtx, _: &JobRun) -> Result<Value, Error> {
        self.0.came.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

/// Writes an effect, waits for its cancellation, and claims to have succeeded.
pub(crate) struct UntilCancelled(pub(crate) Arc<AtomicUsize>);
#[async_trait]
impl TxHandler for UntilCancelled {
    fn kind(&self) -> JobKind {
        KIND
    }
    async fn run_in(&self, tx: &mut TenantTx, run: &JobRun) -> Result<Value, Error> {
        effect(tx, run).await?;
        self.0.fetch_add(1, Ordering::SeqCst);
        run.cancel.cancelled().await;
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(json!("too late"))
    }
}

/// Reports before and after the gate.
pub(crate) struct Reporting(pub(crate) Gate);
#[async_trait]
impl AsyncWork for Reporting {
    async fn work(&self, ctx: &TenantCtx, run: &JobRun) -> Result<Value, Error> {
        run.progress.report(1, 10).await;
        self.0.work(ctx, run).await?;
        run.progress.report(10, 10).await;
        Ok(Value::Null)
    }
}

/// A failure that another try may not meet.
pub(crate) fn flaky() -> Error {
    Error::new(ErrorKind::Unavailable, "flaky", "not now").with_retry(Retry::Backoff)
}
