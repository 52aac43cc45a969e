//! Seals in the database.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction, postgres::PgArguments, query::QueryScalar};
use tenancy_core::{TenantId, WorkerDb};
use uuid::Uuid;

use crate::{
    Error, ErrorKind, Seal,
    merkle::Frontier,
    model::{Batch, Chain, LEAF_RECORD, Leaf},
};

/// Reads what has to be sealed and stores seals, across tenants.
#[derive(Clone, Debug)]
pub(crate) struct PgSeals(WorkerDb);

/// What a round found.
pub(crate) enum Round {
    /// Another sealer is at it.
    Busy,
    Idle,
    Ready(Box<Pending>),
}

/// Entries to seal, in a transaction that keeps other sealers out.
pub(crate) struct Pending {
    tx: Transaction<'static, Postgres>,
    from: String,
    pub(crate) tenants: Vec<Unsealed>,
}

/// A tenant's entries to seal.
pub(crate) struct Unsealed {
    pub(crate) tenant: TenantId,
    pub(crate) chain: Chain,
    pub(crate) entries: Vec<Leaf>,
}

/// A seal with what is stored beside it.
pub(crate) struct NewSeal {
    pub(crate) seal: Seal,
    pub(crate) batch: Batch,
    pub(crate) chain: Chain,
}

#[derive(sqlx::FromRow)]
struct Row {
    state: String,
    tenant_id: Option<TenantId>,
    records: Option<Vec<u8>>,
    seals: Option<i64>,
    entries: Option<i64>,
    hash: Option<Vec<u8>>,
    frontier: Option<Vec<u8>>,
    at_txid: Option<String>,
}

/// How the log is.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Health {
    pub(crate) waiting_since: Option<DateTime<Utc>>,
    pub(crate) begun: bool,
    pub(crate) restored: bool,
    pub(crate) stray_entries: bool,
}

impl PgSeals {
    pub(crate) fn new(worker: WorkerDb) -> Self {
        Self(worker)
    }

    /// The next entries, at most so many.
    pub(crate) async fn begin(&self, most: u32) -> Result<Round, Error> {
        let mut tx = self.0.pool().begin().await?;
        let rows: Vec<Row> = sqlx::query_as(include_str!("sql/seal_begin.sql"))
            .bind(i32::try_from(most).unwrap_or(i32::MAX))
            .fetch_all(&mut *tx)
            .await?;
        let Some(first) = rows.first() else {
            return Ok(Round::Idle);
        };
        match first.state.as_str() {
            "busy" => return Ok(Round::Busy),
            "restored" => return Err(restored()),
            _ => {}
        }
        let from = first.at_txid.clone().ok_or_else(unreadable)?;
        let tenants = rows
            .into_iter()
            .map(Unsealed::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Round::Ready(Box::new(Pending { tx, from, tenants })))
    }

    pub(crate) async fn health(&self) -> Result<Health, Error> {
        Ok(sqlx::query_as(include_str!("sql/seal_health.sql"))
            .fetch_one(self.0.pool())
            .await?)
    }
}

impl Pending {
    /// Stores the seals of all entries of the round, all or none.
    pub(crate) async fn store(mut self, seals: &[NewSeal], at: DateTime<Utc>) -> Result<(), Error> {
        let last = self
            .tenants
            .iter()
            .filter_map(|of| Some((of.entries.last()?, of.tenant)));
        let last = last
            .map(|(leaf, tenant)| (leaf.transaction, tenant, leaf.id))
            .max();
        let Some((txid, tenant, entry)) = last else {
            return Ok(());
        };
        let query: Storing<'_> = sqlx::query_scalar(include_str!("sql/seal_store.sql"));
        let query = query
            .bind(&self.from)
            .bind(txid.to_string())
            .bind(tenant)
            .bind(entry);
        let state = bind_hashes(bind_entries(query, seals), seals, at)
            .fetch_one(&mut *self.tx)
            .await?;
        match state.as_str() {
            "done" => Ok(self.tx.commit().await?),
            "unfit" => {
                let message = "the seals do not hold what the log does up to there";
                Err(Error::new(ErrorKind::Internal, "audit_seal_unfit", message))
            }
            _ => {
                let message = "another sealer has gone on meanwhile";
                Err(Error::new(ErrorKind::Conflict, "audit_seal_moved", message))
            }
        }
    }
}

type Storing<'a> = QueryScalar<'a, Postgres, String, PgArguments>;

fn column<'a, T>(seals: &'a [NewSeal], of: impl Fn(&'a NewSeal) -> T) -> Vec<T> {
    seals.iter().map(of).collect()
}

/// Which entries each seal holds.
fn bind_entries<'a>(query: Storing<'a>, seals: &'a [NewSeal]) -> Storing<'a> {
    let end = |id: Option<&Uuid>| id.copied().unwrap_or_default();
    query
        .bind(column(seals, |new| new.seal.tenant.as_uuid()))
        .bind(column(seals, |new| new.seal.number.cast_signed()))
        .bind(column(seals, |new| new.seal.first.cast_signed()))
        .bind(column(seals, |new| new.seal.count.cast_signed()))
        .bind(column(seals, |new| new.batch.ids_bytes()))
        .bind(column(seals, |new| new.batch.leaves.concat()))
        .bind(column(seals, |new| end(new.batch.ids.iter().min())))
        .bind(column(seals, |new| end(new.batch.ids.iter().max())))
}

/// What each seal proves it with.
fn bind_hashes<'a>(query: Storing<'a>, seals: &'a [NewSeal], at: DateTime<Utc>) -> Storing<'a> {
    query
        .bind(column(seals, |new| new.seal.root.as_slice()))
        .bind(column(seals, |new| new.seal.ids_hash.as_slice()))
        .bind(column(seals, |new| new.seal.previous.as_slice()))
        .bind(column(seals, |new| new.chain.previous.as_slice()))
        .bind(column(seals, |new| new.chain.frontier.to_bytes()))
        .bind(column(seals, |new| new.seal.log_root.as_slice()))
        .bind(at)
        .bind(seals.first().map(|new| new.seal.key.as_str()))
        .bind(column(seals, |new| {
            new.seal.signature.as_bytes().as_slice()
        }))
}

impl TryFrom<Row> for Unsealed {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let records = row.records.unwrap_or_default();
        let (records, rest) = records.as_chunks::<LEAF_RECORD>();
        if !rest.is_empty() {
            return Err(unreadable());
        }
        let chain = match (row.seals, row.entries, row.hash, row.frontier) {
            (Some(seals), Some(entries), Some(hash), Some(frontier)) => Chain {
                previous: hash.try_into().map_err(|_| unreadable())?,
                entries: entries.cast_unsigned(),
                frontier: Frontier::from_bytes(seals.cast_unsigned(), &frontier)
                    .ok_or_else(unreadable)?,
            },
            _ => Chain::default(),
        };
        Ok(Self {
            tenant: row.tenant_id.ok_or_else(unreadable)?,
            chain,
            entries: records.iter().map(Leaf::from_record).collect(),
        })
    }
}

fn restored() -> Error {
    Error::new(
        ErrorKind::Misconfigured,
        "audit_log_restored",
        "the log was restored into another cluster than the one whose transactions were counted: \
         have it adopted before sealing goes on",
    )
}

fn unreadable() -> Error {
    let message = "a seal has a shape that this version can't read";
    Error::new(ErrorKind::Internal, "audit_seal_unreadable", message)
}
