//! Reads that a replica may serve.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    connections::Connections,
    context_sql::{Isolation, Mode, TxOptions},
    login,
    options::DbOptions,
    tx::TenantTx,
};
use crate::{Error, ErrorKind, SecretText, TenantCtx};

/// Connections to a replica, and whether it is worth asking.
#[derive(Debug)]
pub(crate) struct Replica {
    connections: Connections,
    /// Whether the login was found fit; a replica that is away when a service starts is looked at
    /// when it is back.
    checked: AtomicBool,
    /// Until when it is left alone after it did not answer.
    away_until: Mutex<Option<Instant>>,
}

impl Replica {
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) if its login sees more than its tenant; not if
    /// it can't be reached.
    pub(crate) async fn connect(url: &str, options: &DbOptions) -> Result<Self, Error> {
        let connect = options.connect_options(url)?;
        let mut patient = options.clone();
        patient.acquire_timeout = PATIENCE.min(options.acquire_timeout);
        let replica = Self {
            connections: patient.connections(options.max_connections, connect),
            checked: AtomicBool::new(false),
            away_until: Mutex::new(None),
        };
        match replica.check().await {
            Err(error) if error.kind() == ErrorKind::Misconfigured => Err(error),
            Err(error) => {
                replica.leave_alone(&error);
                Ok(replica)
            }
            Ok(()) => Ok(replica),
        }
    }

    /// A transaction on the replica, or `None` if the primary has to serve this read.
    ///
    /// # Errors
    /// Of a read that would fail on the primary as well.
    pub(crate) async fn open(
        &self,
        ctx: &TenantCtx,
        mode: Mode,
        options: &TxOptions,
    ) -> Result<Option<TenantTx>, Error> {
        // A standby can't keep the promise of serializable transactions.
        if options.isolation == Some(Isolation::Serializable) || self.is_away() {
            return Ok(None);
        }
        let opened = async {
            self.check().await?;
            TenantTx::open(&self.connections, ctx, mode, options).await
        };
        match opened.await {
            Ok(tx) => Ok(Some(tx)),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.leave_alone(&error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn set_password(&self, password: &SecretText) {
        self.connections.set_password(password);
    }

    pub(crate) async fn close(&self) {
        self.connections.close().await;
    }

    async fn check(&self) -> Result<(), Error> {
        if self.checked.load(Ordering::Acquire) {
            return Ok(());
        }
        login::check_app(&mut *self.connections.acquire().await?).await?;
        self.checked.store(true, Ordering::Release);
        Ok(())
    }

    fn is_away(&self) -> bool {
        let until = *self
            .away_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn leave_alone(&self, error: &Error) {
        metrics::counter!("tenancy_replica_fallbacks_total").increment(1);
        tracing::warn!(%error, "the replica does not answer: the primary serves its reads");
        let until = Instant::now() + PAUSE;
        *self
            .away_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

/// How long a read waits for the replica before it goes to the primary.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a replica that did not answer is left alone; until then no read waits for it.
const PAUSE: Duration = Duration::from_secs(5);
