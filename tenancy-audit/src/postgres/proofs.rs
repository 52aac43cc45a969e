//! Reading seals and what they hold, as the tenant or as the operator.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, Transaction};
use tenancy_core::{OperatorDb, TenantCtx, TenantDb, TenantId, TenantTx};
use uuid::Uuid;

use super::row::Row;
use crate::{
    AuditEntryId, Entry, Error, ErrorKind, Removal, Seal, SealSignature, SealedAs, merkle::Hash,
    model::Batch,
};

/// Who reads a tenant's log.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    App(TenantDb, Box<TenantCtx>),
    /// Also of a tenant that is gone.
    Owner(OperatorDb, TenantId),
}

/// A transaction in which one tenant's log can be read.
pub(crate) enum Reading {
    App(TenantTx),
    Owner(Transaction<'static, Postgres>),
}

#[derive(sqlx::FromRow)]
pub(super) struct SealRow {
    number: i64,
    first_entry: i64,
    entries: i32,
    root: Vec<u8>,
    ids_hash: Vec<u8>,
    previous: Vec<u8>,
    log_root: Vec<u8>,
    sealed_at: DateTime<Utc>,
    key_name: String,
    signature: Vec<u8>,
    ids: Vec<u8>,
    leaves: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct SealOf {
    #[sqlx(flatten)]
    seal: SealRow,
    created_at: DateTime<Utc>,
    txid: String,
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    #[sqlx(flatten)]
    row: Row,
    txid: String,
}

#[derive(sqlx::FromRow)]
struct RemovalRow {
    id: Uuid,
    ranges: Vec<i64>,
    reason: String,
    removed_at: DateTime<Utc>,
    key_name: String,
    signature: Vec<u8>,
}

/// A seal, its batch, and what of the entry that was asked for is sealed.
pub(crate) type Holding = (Seal, Batch, SealedAs);

impl Reader {
    pub(crate) fn tenant(&self) -> TenantId {
        match self {
            Self::App(_, ctx) => ctx.tenant(),
            Self::Owner(_, tenant) => *tenant,
        }
    }

    pub(crate) async fn begin(&self) -> Result<Reading, Error> {
        match self {
            Self::App(db, ctx) => Ok(Reading::App(db.read(ctx).await?)),
            Self::Owner(operator, tenant) => {
                let mut tx = operator.owner().await?;
                sqlx::query(include_str!("sql/read_tenant.sql"))
                    .bind(*tenant)
                    .execute(&mut *tx)
                    .await?;
                Ok(Reading::Owner(tx))
            }
        }
    }
}

impl Reading {
    fn conn(&mut self) -> &mut PgConnection {
        match self {
            Self::App(tx) => &mut *tx,
            Self::Owner(tx) => &mut *tx,
        }
    }

    /// How many seals there are.
    pub(crate) async fn newest(&mut self, tenant: TenantId) -> Result<u64, Error> {
        let newest: i64 = sqlx::query_scalar(include_str!("sql/seal_newest.sql"))
            .bind(tenant)
            .fetch_one(self.conn())
            .await?;
        Ok(newest.cast_unsigned())
    }

    pub(crate) async fn seal(
        &mut self,
        tenant: TenantId,
        number: u64,
    ) -> Result<Option<(Seal, Batch)>, Error> {
        let row: Option<SealRow> = sqlx::query_as(include_str!("sql/seal_get.sql"))
            .bind(tenant)
            .bind(number.cast_signed())
            .fetch_optional(self.conn())
            .await?;
        row.map(|row| row.into_seal(tenant)).transpose()
    }

    /// The seal that holds an entry.
    pub(crate) async fn holding(
        &mut self,
        tenant: TenantId,
        entry: AuditEntryId,
    ) -> Result<Option<Holding>, Error> {
        let row: Option<SealOf> = sqlx::query_as(include_str!("sql/seal_of.sql"))
            .bind(tenant)
            .bind(entry)
            .fetch_optional(self.conn())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let stored = stored(row.created_at, &row.txid)?;
        let (seal, batch) = row.seal.into_seal(tenant)?;
        Ok(Some((seal, batch, stored)))
    }

    /// The hashes of the seals up to a number.
    pub(crate) async fn hashes(&mut self, tenant: TenantId, to: u64) -> Result<Vec<Hash>, Error> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(include_str!("sql/seal_hashes.sql"))
            .bind(tenant)
            .bind(to.cast_signed())
            .fetch_all(self.conn())
            .await?;
        rows.into_iter().map(array).collect()
    }

    /// The entries of a batch that are left.
    pub(crate) async fn entries(
        &mut self,
        tenant: TenantId,
        batch: &Batch,
    ) -> Result<Vec<(Entry, SealedAs)>, Error> {
        let rows: Vec<SealedRow> = sqlx::query_as(include_str!("sql/seal_entries.sql"))
            .bind(tenant)
            .bind(&batch.ids)
            .bind(batch.ids.iter().min().copied())
            .bind(batch.ids.iter().max().copied())
            .fetch_all(self.conn())
            .await?;
        let entry = |row: SealedRow| {
            let entry = Entry::try_from(row.row)?;
            let stored = stored(entry.created_at, &row.txid)?;
            Ok((entry, stored))
        };
        rows.into_iter().map(entry).collect()
    }

    /// Removals behind this one, up to a hundred.
    pub(crate) async fn removals(
        &mut self,
        tenant: TenantId,
        after: Uuid,
    ) -> Result<Vec<Removal>, Error> {
        let rows: Vec<RemovalRow> = sqlx::query_as(include_str!("sql/removals.sql"))
            .bind(tenant)
            .bind(after)
            .fetch_all(self.conn())
            .await?;
        rows.into_iter()
            .map(|row| row.into_removal(tenant))
            .collect()
    }
}

impl SealRow {
    fn into_seal(self, tenant: TenantId) -> Result<(Seal, Batch), Error> {
        let seal = Seal {
            tenant,
            number: self.number.cast_unsigned(),
            first: self.first_entry.cast_unsigned(),
            count: self.entries.cast_unsigned(),
            root: array(self.root)?,
            ids_hash: array(self.ids_hash)?,
            previous: array(self.previous)?,
            sealed_at: self.sealed_at,
            log_root: array(self.log_root)?,
            key: self.key_name,
            signature: SealSignature::from_bytes(array(self.signature)?),
        };
        let batch = Batch::from_bytes(&self.ids, &self.leaves).ok_or_else(unreadable)?;
        Ok((seal, batch))
    }
}

impl RemovalRow {
    fn into_removal(self, tenant: TenantId) -> Result<Removal, Error> {
        let (pairs, _) = self.ranges.as_chunks::<2>();
        Ok(Removal {
            id: self.id,
            tenant,
            ranges: pairs
                .iter()
                .map(|[first, last]| (first.cast_unsigned(), last.cast_unsigned()))
                .collect(),
            reason: self.reason,
            removed_at: self.removed_at,
            key: self.key_name,
            signature: SealSignature::from_bytes(array(self.signature)?),
        })
    }
}

fn stored(created_at: DateTime<Utc>, txid: &str) -> Result<SealedAs, Error> {
    let transaction = txid.parse().map_err(|_| unreadable())?;
    Ok(SealedAs {
        created_at,
        transaction,
    })
}

fn array<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| unreadable())
}

fn unreadable() -> Error {
    let message = "a seal has a shape that this version can't read";
    Error::new(ErrorKind::Internal, "audit_seal_unreadable", message)
}
