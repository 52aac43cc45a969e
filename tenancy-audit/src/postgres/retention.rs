//! Taking entries out of the log, as its owner.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{Postgres, Transaction};
use tenancy_core::{OperatorDb, TenantId};
use uuid::Uuid;

use crate::{Error, ErrorKind, Removal};

/// How many seals are read at once.
const PAGE: i32 = 64;

/// A transaction in which entries go and the removal that says so comes.
pub(crate) struct Removing(Transaction<'static, Postgres>);

pub(crate) enum TakenOut {
    Held,
    /// The ids of what went, in their order.
    Ids(Vec<Uuid>),
}

/// A tenant with entries in a month.
#[derive(sqlx::FromRow)]
pub(crate) struct MonthTenant {
    pub(crate) tenant_id: TenantId,
    pub(crate) entries: i64,
    pub(crate) unsealed: i64,
    pub(crate) held: bool,
}

impl Removing {
    pub(crate) async fn begin(operator: &OperatorDb) -> Result<Self, Error> {
        Ok(Self(operator.owner().await?))
    }

    pub(crate) async fn take_out(
        &mut self,
        tenant: TenantId,
        action: Option<&str>,
        before: DateTime<Utc>,
        most: i32,
    ) -> Result<TakenOut, Error> {
        let (state, ids): (String, Vec<Uuid>) = sqlx::query_as(include_str!("sql/take_out.sql"))
            .bind(tenant)
            .bind(action)
            .bind(before)
            .bind(most)
            .fetch_one(&mut *self.0)
            .await?;
        match state.as_str() {
            "held" => Ok(TakenOut::Held),
            _ => Ok(TakenOut::Ids(ids)),
        }
    }

    /// Hands out the place and the id of every sealed entry in seals that reach into this stretch of
    /// ids, in the order of the places.
    pub(crate) async fn places(
        &mut self,
        tenant: TenantId,
        (from, to): (Uuid, Uuid),
        mut each: impl FnMut(u64, Uuid) + Send,
    ) -> Result<(), Error> {
        let mut after = 0_i64;
        loop {
            let seals: Vec<(i64, i64, Vec<u8>)> =
                sqlx::query_as(include_str!("sql/seals_between.sql"))
                    .bind(tenant)
                    .bind(from)
                    .bind(to)
                    .bind(after)
                    .bind(PAGE)
                    .fetch_all(&mut *self.0)
                    .await?;
            let Some((last, ..)) = seals.last() else {
                return Ok(());
            };
            after = *last;
            for (_, first, ids) in &seals {
                let (ids, _) = ids.as_chunks::<16>();
                for (place, id) in (first.cast_unsigned()..).zip(ids) {
                    each(place, Uuid::from_bytes(*id));
                }
            }
        }
    }

    pub(crate) async fn keep(&mut self, removal: &Removal) -> Result<(), Error> {
        let places = removal
            .ranges
            .iter()
            .flat_map(|(first, last)| [first.cast_signed(), last.cast_signed()]);
        sqlx::query(include_str!("sql/removal_store.sql"))
            .bind(removal.tenant)
            .bind(removal.id)
            .bind(places.collect::<Vec<_>>())
            .bind(&removal.reason)
            .bind(removal.removed_at)
            .bind(&removal.key)
            .bind(removal.signature.as_bytes().as_slice())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// The first id of a month, and the first one behind it.
    pub(crate) async fn bounds(&mut self, month: NaiveDate) -> Result<(Uuid, Uuid), Error> {
        let bounds = sqlx::query_as(include_str!("sql/month_bounds.sql")).bind(month);
        Ok(bounds.fetch_one(&mut *self.0).await?)
    }

    pub(crate) async fn month(
        &mut self,
        (from, to): (Uuid, Uuid),
    ) -> Result<Vec<MonthTenant>, Error> {
        let tenants = sqlx::query_as(include_str!("sql/month_tenants.sql"))
            .bind(from)
            .bind(to);
        Ok(tenants.fetch_all(&mut *self.0).await?)
    }

    /// Whether anything was ever sealed.
    pub(crate) async fn sealing(&mut self) -> Result<bool, Error> {
        let health: super::seals::Health = sqlx::query_as(include_str!("sql/seal_health.sql"))
            .fetch_one(&mut *self.0)
            .await?;
        Ok(health.begun)
    }

    pub(crate) async fn drop_month(&mut self, month: NaiveDate) -> Result<(), Error> {
        let state: String = sqlx::query_scalar(include_str!("sql/drop_month.sql"))
            .bind(month)
            .fetch_one(&mut *self.0)
            .await?;
        match state.as_str() {
            "dropped" => Ok(()),
            "recent" => Err(Self::recent()),
            "unknown" => {
                let message = "the log has no partition of this month";
                Err(Error::new(
                    ErrorKind::NotFound,
                    "audit_month_unknown",
                    message,
                ))
            }
            _ => {
                let message = "somebody held the log's table too long";
                Err(Error::new(
                    ErrorKind::Unavailable,
                    "audit_month_busy",
                    message,
                ))
            }
        }
    }

    pub(crate) fn recent() -> Error {
        let message = "this month and the one before it stay";
        Error::invalid("audit_month_recent", message)
    }

    pub(crate) async fn commit(self) -> Result<(), Error> {
        Ok(self.0.commit().await?)
    }
}
