use std::fmt;

use async_trait::async_trait;
use tenancy_core::{Outcome, TenantCtx, TenantDb, TenantTx};

use super::{append::append, row::Row};
use crate::{
    ActionFilter, ActorFilter, AuditEntryId, AuditQuery, AuditStore, Entry, Error, Order, Page,
    ResourceFilter, model::targets_json,
};

/// Keeps entries in `tenancy.audit_logs`.
#[derive(Clone)]
pub struct PgAuditStore {
    db: TenantDb,
}

impl PgAuditStore {
    /// A store in this database.
    pub fn new(db: TenantDb) -> Self {
        Self { db }
    }
}

#[async_trait]
impl AuditStore for PgAuditStore {
    async fn append(&self, ctx: &TenantCtx, records: &[crate::Record]) -> Result<(), Error> {
        let mut tx = self.db.aside(ctx).await?;
        append(&mut tx, records).await?;
        Ok(tx.commit().await?)
    }

    async fn append_in(&self, tx: &mut TenantTx, records: &[crate::Record]) -> Result<(), Error> {
        append(tx, records).await
    }

    async fn get(&self, ctx: &TenantCtx, id: AuditEntryId) -> Result<Option<Entry>, Error> {
        let mut tx = self.db.read(ctx).await?;
        let row: Option<Row> = sqlx::query_as(include_str!("sql/get.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        Ok(row.map(Entry::from))
    }

    async fn search(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Page, Error> {
        let tenant = ctx.tenant();
        let (from, to) = query.bounds(tenant)?;
        let filters = Filters::of(query);
        let sql = match query.order {
            Order::NewestFirst => include_str!("sql/search_newest.sql"),
            Order::OldestFirst => include_str!("sql/search_oldest.sql"),
        };
        let mut tx = self.db.read(ctx).await?;
        let rows: Vec<Row> = sqlx::query_as(sql)
            // A kept statement would get a plan for any filter, which is good for none.
            .persistent(false)
            .bind(tenant)
            .bind(from)
            .bind(to)
            .bind(filters.actor_kind)
            .bind(filters.actor_id)
            .bind(filters.action)
            .bind(filters.action_from)
            .bind(filters.action_to)
            .bind(filters.resource)
            .bind(filters.resource_from)
            .bind(filters.resource_to)
            .bind(filters.target)
            .bind(query.outcome.map(Outcome::as_str))
            .bind(query.request)
            .bind(i64::from(query.page_size()) + 1)
            .fetch_all(&mut *tx)
            .await?;
        let entries = rows.into_iter().map(Entry::from).collect();
        Ok(query.page(tenant, entries))
    }
}

/// A query's filters as parameters; `None` is no filter.
#[derive(Default)]
struct Filters {
    actor_kind: Option<&'static str>,
    actor_id: Option<String>,
    action: Option<String>,
    action_from: Option<String>,
    action_to: Option<String>,
    resource: Option<String>,
    resource_from: Option<String>,
    resource_to: Option<String>,
    target: Option<serde_json::Value>,
}

impl Filters {
    fn of(query: &AuditQuery) -> Self {
        let mut filters = Self::default();
        if let Some((kind, id)) = query.actor.as_ref().map(ActorFilter::columns) {
            filters.actor_kind = Some(kind);
            filters.actor_id = Some(id);
        }
        match &query.action {
            Some(ActionFilter::Exact(action)) => filters.action = Some(action.to_string()),
            Some(ActionFilter::Prefix(prefix)) => {
                filters.action_from = Some(prefix.as_str().to_owned());
                filters.action_to = Some(prefix.end());
            }
            None => {}
        }
        match &query.resource {
            Some(ResourceFilter::Exact(target)) => {
                filters.resource = Some(format!("{}:{}", target.kind, target.id));
            }
            Some(ResourceFilter::Kind(kind)) => {
                // `;` follows `:` in ASCII.
                filters.resource_from = Some(format!("{kind}:"));
                filters.resource_to = Some(format!("{kind};"));
            }
            None => {}
        }
        filters.target = query
            .target
            .as_ref()
            .map(|target| targets_json(std::slice::from_ref(target)));
        filters
    }
}

impl fmt::Debug for PgAuditStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PgAuditStore")
    }
}
