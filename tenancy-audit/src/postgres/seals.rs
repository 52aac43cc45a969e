//! Seals in the database.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction, postgres::PgArguments, query::QueryScalar};
use tenancy_core::{TenantId, WorkerDb};
use uuid::Uuid;

use super::proofs::SignedRow;
use crate::{
    Error, ErrorKind, Seal, SealHead,
    error::code,
    merkle::Frontier,
    model::{Batch, Chain, LEAF_RECORD, Leaf},
};

/// How many tenants' heads are read at once.
const TENANTS: i32 = 1_000;

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
    at_txid: Option<String>,
    #[sqlx(flatten)]
    of: UnsealedRow,
}

#[derive(sqlx::FromRow)]
pub(super) struct UnsealedRow {
    pub(super) tenant_id: Option<TenantId>,
    records: Option<Vec<u8>>,
    seals: Option<i64>,
    entries: Option<i64>,
    hash: Option<Vec<u8>>,
    frontier: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct UnanchoredRow {
    tenant_id: TenantId,
    #[sqlx(flatten)]
    signed: SignedRow,
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
            "restored" => return Err(Error::log_restored()),
            _ => {}
        }
        let from = first.at_txid.clone().ok_or_else(unreadable)?;
        let tenants = rows
            .into_iter()
            .map(|row| Unsealed::try_from(row.of))
            .collect::<Result<_, _>>()?;
        Ok(Round::Ready(Box::new(Pending { tx, from, tenants })))
    }

    /// The newest heads of the next tenants behind this one, of those that a place does not have.
    pub(crate) async fn unanchored(
        &self,
        place: &str,
        after: TenantId,
    ) -> Result<Vec<SealHead>, Error> {
        let rows: Vec<UnanchoredRow> = sqlx::query_as(include_str!("sql/unanchored.sql"))
            .bind(place)
            .bind(after)
            .bind(TENANTS)
            .fetch_all(self.0.pool())
            .await?;
        let head = |row: UnanchoredRow| Some(row.signed.into_seal(row.tenant_id)?.head());
        Ok(rows.into_iter().filter_map(head).collect())
    }

    /// Says that a place has these.
    pub(crate) async fn set_anchored(&self, place: &str, heads: &[SealHead]) -> Result<(), Error> {
        let tenants: Vec<Uuid> = heads.iter().map(|head| head.tenant.as_uuid()).collect();
        let numbers: Vec<i64> = heads.iter().map(|head| head.number.cast_signed()).collect();
        sqlx::query(include_str!("sql/set_anchored.sql"))
            .bind(place)
            .bind(tenants)
            .bind(numbers)
            .execute(self.0.pool())
            .await?;
        Ok(())
    }

    pub(crate) async fn health(&self) -> Result<Health, Error> {
        Ok(sqlx::query_as(include_str!("sql/seal_health.sql"))
            .fetch_one(self.0.pool())
            .await?)
    }
}

impl Pending {
    /// Where the sealer was, by the number of a transaction.
    pub(crate) fn from(&self) -> &str {
        &self.from
    }

    /// Stores the seals of all entries of the round, all or none, and says where the sealer is then.
    pub(crate) async fn store(
        mut self,
        seals: &[NewSeal],
        at: DateTime<Utc>,
    ) -> Result<String, Error> {
        let last = self
            .tenants
            .iter()
            .filter_map(|of| Some((of.entries.last()?, of.tenant)));
        let last = last
            .map(|(leaf, tenant)| (leaf.transaction, tenant, leaf.id))
            .max();
        let Some((txid, tenant, entry)) = last else {
            return Ok(self.from);
        };
        let reached = txid.to_string();
        let query: Storing<'_> = sqlx::query_scalar(include_str!("sql/seal_store.sql"));
        let query = query
            .bind(&self.from)
            .bind(&reached)
            .bind(tenant)
            .bind(entry);
        let state = bind_seals(query, seals, at)
            .fetch_one(&mut *self.tx)
            .await?;
        match state.as_str() {
            "done" => {
                self.tx.commit().await?;
                Ok(reached)
            }
            "unfit" => {
                let message = "the seals do not hold what the log does up to there";
                Err(Error::new(ErrorKind::Internal, "audit_seal_unfit", message))
            }
            _ => {
                let message = "another sealer has gone on meanwhile";
                Err(Error::new(ErrorKind::Conflict, code::SEAL_MOVED, message))
            }
        }
    }
}

type Storing<'a> = QueryScalar<'a, Postgres, String, PgArguments>;

/// One array a column; time, key, signatures.
pub(super) fn bind_seals<'a, O>(
    query: QueryScalar<'a, Postgres, O, PgArguments>,
    seals: &'a [NewSeal],
    at: DateTime<Utc>,
) -> QueryScalar<'a, Postgres, O, PgArguments> {
    bind_hashes(bind_entries(query, seals), seals, at)
}

fn column<'a, T>(seals: &'a [NewSeal], of: impl Fn(&'a NewSeal) -> T) -> Vec<T> {
    seals.iter().map(of).collect()
}

/// Which entries each seal holds.
fn bind_entries<'a, O>(
    query: QueryScalar<'a, Postgres, O, PgArguments>,
    seals: &'a [NewSeal],
) -> QueryScalar<'a, Postgres, O, PgArguments> {
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
fn bind_hashes<'a, O>(
    query: QueryScalar<'a, Postgres, O, PgArguments>,
    seals: &'a [NewSeal],
    at: DateTime<Utc>,
) -> QueryScalar<'a, Postgres, O, PgArguments> {
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

impl TryFrom<UnsealedRow> for Unsealed {
    type Error = Error;

    fn try_from(row: UnsealedRow) -> Result<Self, Error> {
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

fn unreadable() -> Error {
    let message = "a seal has a shape that this version can't read";
    Error::new(ErrorKind::Internal, "audit_seal_unreadable", message)
}
