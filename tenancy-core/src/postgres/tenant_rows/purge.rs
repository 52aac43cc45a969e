//! Removes a tenant's rows, in transactions of bounded size.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, postgres::types::PgInterval, types::Json};
use uuid::Uuid;

use super::{Table, children_first, require, sql, tables};
use crate::{DeletionCertificate, Error, ErrorKind, OperatorDb, PurgeOptions, TenantId, TenantTx};

/// What stays: the tombstone, the number that caches check, the slugs that are kept from others,
/// the count of what went, and the news of it that are on their way, of which no more is left than what
/// happened when. The audit log outlives the tenant, with everything named after it that the owner may not
/// remove.
const STAYS: [&str; 5] = [
    "tenancy.tenant_epoch",
    "tenancy.tenant_purges",
    "tenancy.tenant_slugs",
    "tenancy.tenants",
    "tenancy.webhook_events",
];

/// How many levels of rows that refer to each other go batch by batch.
const LEVELS: usize = 100;

/// How often all tables are gone through for rows that came late.
const ROUNDS: usize = 10;

fn goes(table: &Table) -> bool {
    let of_the_log = table.name.starts_with("tenancy.audit_");
    let removable = table.admitted.iter().any(|command| command == "DELETE");
    !STAYS.contains(&table.name.as_str()) && (removable || !of_the_log)
}

/// Begins a purge in the tenant's context, or goes on with one; `true` if it is begun now.
pub(crate) async fn begin(tx: &mut TenantTx, force: bool, by: &str) -> Result<bool, Error> {
    let answer: String = sqlx::query_scalar("SELECT tenancy.begin_purge($1, $2)")
        .bind(force)
        .bind(by)
        .fetch_one(&mut **tx)
        .await?;
    match answer.as_str() {
        "begun" => Ok(true),
        "ok" | "deleted" => Ok(false),
        answer => Err(refused(answer)),
    }
}

/// Removes every row but what stays, and says how many. Can be cut off at any point and run again.
pub(crate) async fn remove_rows(
    operator: &OperatorDb,
    tenant: TenantId,
    options: &PurgeOptions,
) -> Result<u64, Error> {
    let purge = Purge {
        operator,
        tenant,
        options,
    };
    let mut total = 0;
    for _ in 0..ROUNDS {
        let mut removed = 0;
        for group in doomed(operator, tenant).await? {
            removed += purge.empty(&group).await?;
        }
        total += removed;
        if removed == 0 {
            purge.strip_news().await?;
            return Ok(total);
        }
    }
    let message = "rows of the tenant keep coming: stop whoever writes them, and run it again";
    Err(Error::new(ErrorKind::Conflict, "purge_never_ends", message))
}

/// The tables to be emptied, in their order; an error if one is out of reach.
async fn doomed(operator: &OperatorDb, tenant: TenantId) -> Result<Vec<Vec<Table>>, Error> {
    let mut tx = operator.snapshot_of(tenant).await?;
    let found = tables(&mut tx).await?;
    let doomed: Vec<Table> = found.into_iter().filter(goes).collect();
    require(&doomed, "DELETE")?;
    Ok(children_first(doomed))
}

/// Refuses to begin what could not be brought to an end.
pub(crate) async fn can_remove_rows(operator: &OperatorDb, tenant: TenantId) -> Result<(), Error> {
    doomed(operator, tenant).await.map(drop)
}

struct Purge<'a> {
    operator: &'a OperatorDb,
    tenant: TenantId,
    options: &'a PurgeOptions,
}

impl Purge<'_> {
    /// Removes the rows of tables that refer to each other, or of one that does not.
    ///
    /// Batch by batch those go that no other refers to, and so level by level of a hierarchy. What
    /// is left then refers to each other in a circle, or lies deeper than [`LEVELS`], and goes in one
    /// statement.
    async fn empty(&self, group: &[Table]) -> Result<u64, Error> {
        let mut removed = 0;
        for _ in 0..LEVELS {
            let mut level = 0;
            for table in group {
                level += self.free_rows(table, group).await?;
            }
            if level == 0 {
                break;
            }
            removed += level;
        }
        let tangled = group
            .iter()
            .any(|table| group.iter().any(|other| other.refers(table)));
        if tangled {
            removed += self.all_at_once(group).await?;
        }
        Ok(removed)
    }

    /// Removes rows of a table until a batch is not full.
    async fn free_rows(&self, table: &Table, group: &[Table]) -> Result<u64, Error> {
        let batch = self.options.batch.max(1);
        let mut removed = 0;
        loop {
            let mut tx = self.operator.inside(self.tenant).await?;
            let gone = sqlx::query(sql::remove_some(table, group, self.tenant, batch))
                .persistent(false)
                .execute(&mut *tx)
                .await?
                .rows_affected();
            self.count(&mut tx, table, gone).await?;
            tx.commit().await?;
            removed += gone;
            if gone < u64::from(batch) {
                return Ok(removed);
            }
            tokio::time::sleep(self.options.pause).await;
        }
    }

    /// Takes the details out of the events that no receiver was told of yet.
    async fn strip_news(&self) -> Result<(), Error> {
        let batch = self.options.batch.max(1);
        let mut after: Option<Uuid> = None;
        loop {
            let mut tx = self.operator.inside(self.tenant).await?;
            after = sqlx::query_scalar(include_str!("../sql/webhook_events_strip.sql"))
                .bind(after)
                .bind(i32::from(batch))
                .fetch_one(&mut *tx)
                .await?;
            tx.commit().await?;
            if after.is_none() {
                return Ok(());
            }
            tokio::time::sleep(self.options.pause).await;
        }
    }

    async fn all_at_once(&self, group: &[Table]) -> Result<u64, Error> {
        let mut tx = self.operator.inside(self.tenant).await?;
        let gone: Vec<i64> = sqlx::query_scalar(sql::remove_all(group, self.tenant))
            .persistent(false)
            .fetch_one(&mut *tx)
            .await?;
        let mut removed = 0;
        for (table, gone) in group.iter().zip(gone) {
            self.count(&mut tx, table, gone.unsigned_abs()).await?;
            removed += gone.unsigned_abs();
        }
        tx.commit().await?;
        Ok(removed)
    }

    /// Counts what went, in the same transaction; an error if it may not go.
    async fn count(&self, tx: &mut PgConnection, table: &Table, gone: u64) -> Result<(), Error> {
        if gone == 0 {
            return Ok(());
        }
        let answer: String = sqlx::query_scalar("SELECT tenancy.purge_progress($1, $2)")
            .bind(&table.name)
            .bind(i64::try_from(gone).unwrap_or(i64::MAX))
            .fetch_one(tx)
            .await?;
        match answer.as_str() {
            "ok" => Ok(()),
            answer => Err(refused(answer)),
        }
    }
}

#[derive(Debug, sqlx::FromRow)]
struct PurgeRow {
    answer: String,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    forced: bool,
    started_by: String,
    counts: Json<BTreeMap<String, u64>>,
}

/// Leaves the tombstone; the certificate, and whether this call is the one that finished.
pub(crate) async fn finish(
    tx: &mut TenantTx,
    options: &PurgeOptions,
) -> Result<(DeletionCertificate, bool), Error> {
    let tenant = tx.ctx().tenant();
    let keep = PgInterval::try_from(options.keep_slugs)
        .map_err(|_| Error::invalid("time_span", "the time span is no interval"))?;
    let row: Option<PurgeRow> = sqlx::query_as(include_str!("../sql/purge_finish.sql"))
        .bind(keep)
        .fetch_optional(&mut **tx)
        .await?;
    let row = row.ok_or_else(|| refused("not_purging"))?;
    let certificate = DeletionCertificate {
        tenant,
        started_at: row.started_at,
        finished_at: row.finished_at.unwrap_or(row.started_at),
        forced: row.forced,
        started_by: row.started_by,
        rows: row.counts.0,
    };
    Ok((certificate, row.answer == "ok"))
}

fn refused(answer: &str) -> Error {
    let (kind, code, message) = match answer {
        "held" => (
            ErrorKind::Conflict,
            "legal_hold",
            "a legal hold stands: nothing is purged before it is released",
        ),
        "too_early" => (
            ErrorKind::Conflict,
            "grace_not_over",
            "the period of grace is not over: wait, or force it",
        ),
        "not_deleting" => (
            ErrorKind::Conflict,
            "deletion_not_scheduled",
            "the tenant is not to be deleted: schedule that first",
        ),
        "not_purging" => (
            ErrorKind::Conflict,
            "stale",
            "the tenant is in another state by now",
        ),
        "not_platform" => (
            ErrorKind::Denied,
            "purge_not_yours",
            "a tenant does not purge itself",
        ),
        _ => (
            ErrorKind::NotFound,
            "tenant_unknown",
            "there is no such tenant",
        ),
    };
    Error::new(kind, code, message)
}
