//! All tenants, for the platform's own staff and jobs.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{operator::OperatorDb, store::status, worker::WorkerDb};
use crate::{Error, ListedTenant, TenantFilter, TenantId};

/// Lists the tenants of the whole database.
///
/// It takes the handle of a worker or of the operator: a host's own login sees one tenant at a
/// time.
///
/// ```no_run
/// # async fn run(worker: tenancy_core::WorkerDb) -> Result<(), tenancy_core::Error> {
/// use tenancy_core::{TenantFilter, TenantList};
///
/// let list = TenantList::of_worker(&worker);
/// let mut after = None;
/// loop {
///     let page = list.page(TenantFilter::Due, after, 100).await?;
///     let Some(last) = page.last() else { break };
///     after = Some(last.id);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TenantList(PgPool);

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: TenantId,
    slug: Option<String>,
    name: String,
    status: String,
    created_at: DateTime<Utc>,
    delete_after: Option<DateTime<Utc>>,
    held: bool,
}

impl TenantList {
    /// As a worker.
    pub fn of_worker(worker: &WorkerDb) -> Self {
        Self(worker.pool().clone())
    }

    /// As the operator.
    pub fn of_operator(operator: &OperatorDb) -> Self {
        Self(operator.pool().clone())
    }

    /// A page in the order of the ids, after the one given; at most 1,000.
    pub async fn page(
        &self,
        filter: TenantFilter,
        after: Option<TenantId>,
        limit: u16,
    ) -> Result<Vec<ListedTenant>, Error> {
        let wanted = match filter {
            TenantFilter::Status(status) => Some(status.as_str()),
            _ => None,
        };
        let rows: Vec<Row> = sqlx::query_as(include_str!("sql/tenants_list.sql"))
            .bind(wanted)
            .bind(filter == TenantFilter::Due)
            .bind(after)
            .bind(i32::from(limit.clamp(1, 1_000)))
            .fetch_all(&self.0)
            .await?;
        rows.into_iter().map(ListedTenant::try_from).collect()
    }
}

impl TryFrom<Row> for ListedTenant {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id,
            slug: row.slug,
            name: row.name,
            status: status(&row.status)?,
            created_at: row.created_at,
            delete_after: row.delete_after,
            held: row.held,
        })
    }
}
