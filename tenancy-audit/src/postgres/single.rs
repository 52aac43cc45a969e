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
pub(super) struct Single(String);

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
        let filter = match query {
            AuditQuery { actor: Some(_), .. } => "AND actor_kind = $6 AND actor_id = $7",
            AuditQuery {
                action: Some(ActionFilter::Exact(_)),
                ..
            } => "AND action = $6",
            AuditQuery {
                resource: Some(ResourceFilter::Exact(_)),
                ..
            } => "AND resource = $6",
            AuditQuery {
                request: Some(_), ..
            } => "AND request_id = $6",
            // A partial index is found by a value that stands in the statement.
            AuditQuery {
                outcome: Some(Outcome::Denied),
                ..
            } => "AND outcome = 'denied'",
            AuditQuery {
                outcome: Some(Outcome::Error),
                ..
            } => "AND outcome = 'error'",
            _ if filters.contains(&true) => return None,
            _ => FILTER,
        };
        let order = match (query.order, query.request) {
            (Order::NewestFirst, None) => ORDER,
            (Order::OldestFirst, None) => "ORDER BY id ASC",
            // Its index is not in this order, and the log should not be walked for the few that it has.
            (Order::NewestFirst, Some(_)) => "ORDER BY ROW(id) DESC",
            (Order::OldestFirst, Some(_)) => "ORDER BY ROW(id) ASC",
        };
        let statement = STATEMENT.replace(FILTER, filter).replace(ORDER, order);
        Some(Self(statement))
    }

    /// Has statements of this transaction planned for any value from now on.
    pub(super) async fn prepare(tx: &mut TenantTx) -> Result<(), Error> {
        sqlx::raw_sql("SET LOCAL plan_cache_mode = force_generic_plan")
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// The rows of the query that this is the statement of.
    pub(super) async fn rows(
        &self,
        tx: &mut TenantTx,
        looking: &Looking<'_>,
    ) -> Result<Vec<Row>, Error> {
        let statement = AssertSqlSafe(self.0.clone());
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
