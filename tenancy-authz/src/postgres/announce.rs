//! Telling other processes, and hearing of them.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tenancy_core::{PoolerMode, TenantCtx, TenantDb, TenantId};
use tokio_util::sync::CancellationToken;

use super::db;
use crate::{Error, PgAuthorizer, service::Announce};

/// The channel of `sql/announce.sql`; its payload is a tenant's id and nothing else.
const CHANNEL: &str = "tenancy_authz";
/// How long to wait before connecting again, the first time and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// After this many at once everything is doubted instead.
const MANY: usize = 1_000;

/// Announces over a connection of its own, outside of the transaction that made the change.
#[derive(Debug)]
pub(crate) struct PgAnnounce(pub(crate) TenantDb);

#[async_trait]
impl Announce for PgAnnounce {
    async fn announce(&self, ctx: &TenantCtx, tenants: &[TenantId]) -> Result<(), Error> {
        let mut tx = self.0.aside(ctx).await?;
        sqlx::query(include_str!("sql/announce.sql"))
            .bind(tenants)
            .execute(&mut *tx)
            .await
            .map_err(db)?;
        Ok(tx.commit().await?)
    }
}

impl PgAuthorizer {
    /// Hears of changes that other processes make, until it is told to stop: they then count
    /// within milliseconds instead of within the bound.
    ///
    /// It is a hint and nothing more. The bound holds when announcements are lost, and when this
    /// never runs. It takes a connection of its own, and connects again for as long as it takes;
    /// whenever the connection is lost or stands anew, all that is in memory is confirmed by the
    /// tenant's epoch before it counts again. Behind a pooler that gives out connections by the
    /// transaction there is no LISTEN, and it returns at once.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use tenancy_authz::PgAuthorizer;
    /// # use tenancy_core::TenantDb;
    /// # use tokio_util::sync::CancellationToken;
    /// # async fn run(authz: Arc<PgAuthorizer>, db: TenantDb) {
    /// let stop = CancellationToken::new();
    /// let listening = tokio::spawn({
    ///     let stop = stop.clone();
    ///     async move { authz.listen(&db, stop).await }
    /// });
    /// // When the service ends:
    /// stop.cancel();
    /// let _ = listening.await;
    /// # }
    /// ```
    pub async fn listen(&self, db: &TenantDb, stop: CancellationToken) {
        if db.pooler() == PoolerMode::Transaction {
            tracing::info!("behind this pooler nobody hears of changed rights: the bound holds");
            return;
        }
        let _ = stop.run_until_cancelled(self.hear_for_ever(db)).await;
    }

    async fn hear_for_ever(&self, db: &TenantDb) {
        let (shortest, longest) = PAUSES;
        let mut pause = shortest;
        loop {
            match self.hear(db, &mut pause).await {
                Ok(()) => tracing::debug!("the connection that hears of changed rights was lost"),
                Err(error) => tracing::debug!(%error, "nobody hears of changed rights"),
            }
            self.doubt_all();
            metrics::counter!("tenancy_authz_listen_lost_total").increment(1);
            tokio::time::sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }

    /// Returns when the connection is lost.
    async fn hear(&self, tenants: &TenantDb, pause: &mut Duration) -> Result<(), Error> {
        // A pool of one, made anew each time: the password may be another by now.
        let options = tenants.without_tenant().connect_options();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with((*options).clone());
        let mut listener = PgListener::connect_with(&pool).await.map_err(db)?;
        listener.listen(CHANNEL).await.map_err(db)?;
        // What was announced before the listener stood was not heard.
        self.doubt_all();
        *pause = PAUSES.0;
        while let Some(heard) = listener.try_recv().await.map_err(db)? {
            let mut changed = HashSet::new();
            let mut next = Some(heard);
            while let Some(heard) = next {
                changed.extend(heard.payload().parse::<TenantId>());
                next = listener.next_buffered();
            }
            if changed.len() > MANY {
                self.doubt_all();
            } else {
                self.forget(&changed);
            }
        }
        Ok(())
    }
}
