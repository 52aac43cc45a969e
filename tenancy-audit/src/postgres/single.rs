//! A search by one filter, or by none.

use sqlx::{AssertSqlSafe, postgres::PgArguments};
use tenancy_core::{Outcome, TenantTx};

use super::{
    filters::{Bound, Looking},
    row::Row,
};
use crate::{ActionFilter, AuditQuery, Error, Order, ResourceFilter};

const STATEMENT: &str = include_str!("sql/search_single.sql");
const FILTER: &str = "AND true";
const ORDER: &str = "ORDER BY id DESC";

/// The statement of such a search, whose plan is as good for any value.
pub(super) struct Single {
    statement: String,
    /// Whether it has no filter: it walks the primary key, from the place where a page begins.
    pub(super) is_unfiltered: bool,
}

impl Single {
    /// None where there are more filters or others: which index leaves the fewest entries is seen from their values
    /// then.
    pub(super) fn of(query: &AuditQuery) -> Option<Self> {
        let filters = [
            query.actor.is_some(),
            query.action.is_some(),
            query.resource.is_some(),
            query.outcome.is_some(),
            query.request.is_some(),
            query.is_unindexed(),
        ];
        if filters.into_iter().filter(|is_there| *is_there).count() > 1 {
            return None;
        }
        let (column, filter) = match query {
            AuditQuery { actor: Some(_), .. } => (
                "actor_id",
                "AND actor_kind = $6 AND actor_id BETWEEN $7 AND $7",
            ),
            AuditQuery {
                action: Some(ActionFilter::Exact(_)),
                ..
            } => ("action", "AND action BETWEEN $6 AND $6"),
            AuditQuery {
                resource: Some(ResourceFilter::Exact(_)),
                ..
            } => ("resource", "AND resource BETWEEN $6 AND $6"),
            AuditQuery {
                request: Some(_), ..
            } => ("request_id", "AND request_id BETWEEN $6 AND $6"),
            // A partial index is found by a value that stands in the statement.
            AuditQuery {
                outcome: Some(Outcome::Denied),
                ..
            } => ("outcome", "AND outcome BETWEEN 'denied' AND 'denied'"),
            AuditQuery {
                outcome: Some(Outcome::Error),
                ..
            } => ("outcome", "AND outcome BETWEEN 'error' AND 'error'"),
            _ if filters.contains(&true) => return None,
            _ => ("tenant_id", FILTER),
        };
        let way = match query.order {
            Order::NewestFirst => "DESC",
            Order::OldestFirst => "ASC",
        };
        let order = format!("ORDER BY {column} {way}, id {way}");
        let statement = STATEMENT.replace(FILTER, filter).replace(ORDER, &order);
        Some(Self {
            statement,
            is_unfiltered: filter == FILTER,
        })
    }

    /// The rows of the query that this is the statement of. What the transaction runs later is planned as this is.
    pub(super) async fn rows(
        &self,
        tx: &mut TenantTx,
        looking: &Looking<'_>,
    ) -> Result<Vec<Row>, Error> {
        sqlx::raw_sql(
            "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_sort = off",
        )
        .execute(&mut **tx)
        .await?;
        let statement = AssertSqlSafe(self.statement.clone());
        let rows = sqlx::query_as_with(statement, parameters(looking)?);
        Ok(rows.fetch_all(&mut **tx).await?)
    }
}

fn parameters(looking: &Looking<'_>) -> Result<PgArguments, Error> {
    let query = looking.query;
    let bound = Bound::new()
        .add(looking.tenant)
        .add(looking.ids.0)
        .add(looking.ids.1)
        .add(looking.count)
        .add(query.seen.as_ref().map(|mark| mark.as_str().to_owned()));
    let bound = if let Some(actor) = &query.actor {
        let (kind, id) = actor.columns();
        bound.add(kind).add(id)
    } else if let Some(ActionFilter::Exact(action)) = &query.action {
        bound.add(action.to_string())
    } else if let Some(ResourceFilter::Exact(target)) = &query.resource {
        bound.add(format!("{}:{}", target.kind, target.id))
    } else if let Some(request) = query.request {
        bound.add(request)
    } else {
        bound
    };
    bound.done()
}
