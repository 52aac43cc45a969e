//! Storing jobs, many in one statement.

use std::collections::{HashMap, HashSet};

use sqlx::types::Json;
use tenancy_core::{JobId, TenantTx};

use super::millis;
use crate::{Error, ErrorKind, JobSpec, QueueName};

type Timestamp = chrono::DateTime<chrono::Utc>;

/// The jobs of one queue as columns.
#[derive(Default)]
struct Columns {
    ids: Vec<JobId>,
    kinds: Vec<String>,
    payloads: Vec<String>,
    run_at: Vec<Option<Timestamp>>,
    max_attempts: Vec<i32>,
    timeouts: Vec<i32>,
    priorities: Vec<i16>,
    hashes: Vec<Option<Vec<u8>>>,
}

impl Columns {
    fn push(&mut self, job: JobSpec) {
        self.ids.push(job.id);
        self.kinds.push(job.kind.into());
        self.payloads.push(job.payload);
        self.run_at.push(job.run_at);
        self.max_attempts.push(i32::from(job.max_attempts));
        self.timeouts.push(millis(job.timeout));
        self.priorities.push(job.priority);
        self.hashes.push(job.key_hash.map(Vec::from));
    }
}

/// Stores the jobs and answers their ids in order; for a known key, the id that exists.
pub(super) async fn enqueue(tx: &mut TenantTx, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, Error> {
    let keys: Vec<(JobId, Option<[u8; 32]>)> =
        jobs.iter().map(|job| (job.id, job.key_hash)).collect();
    let keep_key = jobs
        .iter()
        .map(|job| job.keep_key.as_secs())
        .max()
        .unwrap_or_default();
    let mut by_queue: HashMap<QueueName, Columns> = HashMap::new();
    for job in jobs {
        by_queue.entry(job.queue.clone()).or_default().push(job);
    }
    let mut stored = HashSet::new();
    for (queue, columns) in by_queue {
        if columns.hashes.iter().all(Option::is_none) {
            plain(tx, &queue, columns).await?;
        } else {
            stored.extend(keyed(tx, &queue, columns, keep_key).await?);
        }
    }
    existing(tx, keys, &stored).await
}

async fn plain(tx: &mut TenantTx, queue: &QueueName, jobs: Columns) -> Result<(), Error> {
    let ctx = tx.ctx().clone();
    sqlx::query(include_str!("sql/enqueue.sql"))
        .bind(ctx.tenant())
        .bind(queue.as_str())
        .bind(Json(ctx.principal()))
        .bind(ctx.request_id())
        .bind(jobs.ids)
        .bind(jobs.kinds)
        .bind(jobs.payloads)
        .bind(jobs.run_at)
        .bind(jobs.max_attempts)
        .bind(jobs.timeouts)
        .bind(jobs.priorities)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn keyed(
    tx: &mut TenantTx,
    queue: &QueueName,
    jobs: Columns,
    keep_key: u64,
) -> Result<Vec<JobId>, Error> {
    let ctx = tx.ctx().clone();
    Ok(sqlx::query_scalar(include_str!("sql/enqueue_keyed.sql"))
        .bind(ctx.tenant())
        .bind(queue.as_str())
        .bind(Json(ctx.principal()))
        .bind(ctx.request_id())
        .bind(jobs.ids)
        .bind(jobs.kinds)
        .bind(jobs.payloads)
        .bind(jobs.run_at)
        .bind(jobs.max_attempts)
        .bind(jobs.timeouts)
        .bind(jobs.priorities)
        .bind(jobs.hashes)
        .bind(i32::try_from(keep_key).unwrap_or(i32::MAX))
        .fetch_all(&mut **tx)
        .await?)
}

/// Replaces the ids of jobs whose key was taken. A statement of its own: only a new snapshot sees
/// what another transaction stored while this one waited for it.
async fn existing(
    tx: &mut TenantTx,
    keys: Vec<(JobId, Option<[u8; 32]>)>,
    stored: &HashSet<JobId>,
) -> Result<Vec<JobId>, Error> {
    let is_taken = |id: &JobId, hash: &Option<[u8; 32]>| hash.is_some() && !stored.contains(id);
    let taken: Vec<Vec<u8>> = keys
        .iter()
        .filter(|(id, hash)| is_taken(id, hash))
        .filter_map(|(_, hash)| hash.map(Vec::from))
        .collect();
    if taken.is_empty() {
        return Ok(keys.into_iter().map(|(id, _)| id).collect());
    }
    let tenant = tx.ctx().tenant();
    let rows: Vec<(Vec<u8>, JobId)> = sqlx::query_as(include_str!("sql/keys_lookup.sql"))
        .bind(tenant)
        .bind(taken)
        .fetch_all(&mut **tx)
        .await?;
    let known: HashMap<Vec<u8>, JobId> = rows.into_iter().collect();
    keys.into_iter()
        .map(|(id, hash)| match hash {
            Some(hash) if is_taken(&id, &Some(hash)) => {
                known.get(hash.as_slice()).copied().ok_or_else(key_moved)
            }
            _ => Ok(id),
        })
        .collect()
}

/// Under repeatable read the snapshot is older than what was waited for.
fn key_moved() -> Error {
    let message = "another transaction stored this idempotency key and can't be seen from here";
    Error::new(ErrorKind::Unavailable, "job_key_contended", message)
}
