//! What the operator does to the log, as its owner.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use tenancy_core::{OperatorDb, TenantId};
use uuid::Uuid;

use super::{
    policies::pattern,
    proofs::{Reading, SealedRow},
    unknown_word,
};
use crate::{
    ActionFilter, AuditEntryId, Entry, Error, ErrorKind,
    error::code,
    model::{Removal, SealedAs},
};

/// A transaction of the operator as the log's owner: entries go and the removal that says so comes, a hold is placed or
/// lifted, a policy set.
pub(crate) struct OwnerTx(Reading);

/// What came of placing or lifting a hold on the log of a tenant that is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HoldChange {
    Changed,
    /// The tenant is there: core holds it.
    NotGone,
    Unchanged,
}

/// Entries that a stream may not have told of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Untold<'a> {
    pub(crate) tenant: Option<TenantId>,
    pub(crate) action: Option<&'a ActionFilter>,
    pub(crate) before: Option<DateTime<Utc>>,
    /// From one to before another, where there is no such time.
    pub(crate) ids: Option<(Uuid, Uuid)>,
}

/// A tenant with entries in a month.
#[derive(sqlx::FromRow)]
pub(crate) struct MonthTenant {
    pub(crate) tenant_id: TenantId,
    pub(crate) entries: i64,
    pub(crate) unsealed: i64,
    pub(crate) held: bool,
}

impl OwnerTx {
    pub(crate) async fn begin(operator: &OperatorDb) -> Result<Self, Error> {
        Ok(Self(Reading::Owner(operator.owner().await?)))
    }

    /// Whether the tenant's log is under a legal hold; if not, it can't be put under one until the end.
    pub(crate) async fn is_held(&mut self, tenant: TenantId) -> Result<bool, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/is_held.sql"))
            .bind(tenant)
            .fetch_one(self.conn())
            .await?)
    }

    /// Places or lifts a hold on the log of a tenant that is gone.
    pub(crate) async fn hold(
        &mut self,
        tenant: TenantId,
        reference: &str,
        place: bool,
    ) -> Result<HoldChange, Error> {
        let word: String = sqlx::query_scalar(include_str!("sql/hold.sql"))
            .bind(tenant)
            .bind(reference)
            .bind(place)
            .fetch_one(self.conn())
            .await?;
        match word.as_str() {
            "not_gone" => Ok(HoldChange::NotGone),
            "ok" => Ok(HoldChange::Changed),
            "unchanged" => Ok(HoldChange::Unchanged),
            _ => Err(unknown_word("a hold").into()),
        }
    }

    /// What went, in the order of its ids; of what is not older than `waits` only what no stream waits for.
    pub(crate) async fn take_out(
        &mut self,
        tenant: TenantId,
        action: Option<&ActionFilter>,
        (before, waits): (DateTime<Utc>, DateTime<Utc>),
        most: i32,
    ) -> Result<Vec<(Entry, SealedAs)>, Error> {
        let rows: Vec<SealedRow> = sqlx::query_as(include_str!("sql/take_out.sql"))
            .bind(tenant)
            .bind(action.map(pattern))
            .bind(storable(before))
            .bind(storable(waits))
            .bind(most)
            .fetch_all(self.conn())
            .await?;
        let entries = rows.into_iter().map(SealedRow::into_entry);
        let mut entries: Vec<(Entry, SealedAs)> = entries.collect::<Result<_, _>>()?;
        entries.sort_by_key(|(entry, _)| entry.id);
        Ok(entries)
    }

    /// Which streams have yet to tell of entries.
    pub(crate) async fn untold(&mut self, what: Untold<'_>) -> Result<Vec<(String, i64)>, Error> {
        let (from, to) = what.ids.unzip();
        Ok(sqlx::query_as(include_str!("sql/untold.sql"))
            .bind(what.tenant)
            .bind(what.action.map(pattern))
            .bind(what.before.map(storable))
            .bind(from)
            .bind(to)
            .fetch_all(self.conn())
            .await?)
    }

    /// Puts what is left of the details of entries in the place of what there was; of how many.
    pub(crate) async fn erase_details(
        &mut self,
        tenant: TenantId,
        changes: &[(AuditEntryId, Value, Value)],
    ) -> Result<u64, Error> {
        let ids: Vec<Uuid> = changes.iter().map(|(id, ..)| id.as_uuid()).collect();
        let before: Vec<&Value> = changes.iter().map(|(_, before, _)| before).collect();
        let after: Vec<&Value> = changes.iter().map(|(_, _, after)| after).collect();
        let erased: i64 = sqlx::query_scalar(include_str!("sql/erase_details.sql"))
            .bind(tenant)
            .bind(ids)
            .bind(before)
            .bind(after)
            .fetch_one(self.conn())
            .await?;
        Ok(erased.cast_unsigned())
    }

    /// Reads a tenant's log in this transaction.
    pub(crate) async fn reading(&mut self, tenant: TenantId) -> Result<&mut Reading, Error> {
        self.0.of(tenant).await
    }

    pub(super) fn conn(&mut self) -> &mut PgConnection {
        self.0.conn()
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
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// The first id of a month, and the first one behind it.
    pub(crate) async fn bounds(&mut self, month: NaiveDate) -> Result<(Uuid, Uuid), Error> {
        let bounds = sqlx::query_as(include_str!("sql/month_bounds.sql")).bind(month);
        Ok(bounds.fetch_one(self.conn()).await?)
    }

    pub(crate) async fn month(
        &mut self,
        (from, to): (Uuid, Uuid),
    ) -> Result<Vec<MonthTenant>, Error> {
        let tenants = sqlx::query_as(include_str!("sql/month_tenants.sql"))
            .bind(from)
            .bind(to);
        Ok(tenants.fetch_all(self.conn()).await?)
    }

    /// Whether anything was ever sealed.
    pub(crate) async fn sealing(&mut self) -> Result<bool, Error> {
        let health: super::seals::Health = sqlx::query_as(include_str!("sql/seal_health.sql"))
            .fetch_one(self.conn())
            .await?;
        Ok(health.begun)
    }

    /// Keeps everybody from changing the month until the end.
    pub(crate) async fn lock_month(&mut self, month: NaiveDate) -> Result<(), Error> {
        self.month_word(include_str!("sql/lock_month.sql"), month)
            .await
    }

    pub(crate) async fn drop_month(&mut self, month: NaiveDate) -> Result<(), Error> {
        self.month_word(include_str!("sql/drop_month.sql"), month)
            .await
    }

    async fn month_word(&mut self, sql: &'static str, month: NaiveDate) -> Result<(), Error> {
        if month < DateTime::UNIX_EPOCH.date_naive() {
            return Err(unknown_month());
        }
        let state: String = sqlx::query_scalar(sql)
            .bind(month)
            .fetch_one(self.conn())
            .await?;
        match state.as_str() {
            "dropped" | "locked" => Ok(()),
            "recent" => Err(recent_month()),
            "unknown" => Err(unknown_month()),
            "busy" => {
                let message = "somebody held the log's table too long";
                Err(Error::new(
                    ErrorKind::Unavailable,
                    "audit_month_busy",
                    message,
                ))
            }
            _ => Err(unknown_word("a month").into()),
        }
    }

    pub(crate) async fn commit(self) -> Result<(), Error> {
        self.0.commit().await
    }
}

/// No id is of a time before, and the database does not know all that a calendar has.
fn storable(at: DateTime<Utc>) -> DateTime<Utc> {
    at.max(DateTime::UNIX_EPOCH)
}

fn unknown_month() -> Error {
    let message = "the log has no partition of this month";
    Error::new(ErrorKind::NotFound, "audit_month_unknown", message)
}

/// A month that is not to be dropped yet.
pub(crate) fn recent_month() -> Error {
    let message = "this month and the one before it stay";
    Error::invalid(code::MONTH_RECENT, message)
}
