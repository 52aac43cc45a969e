//! Reading seals and what they hold, as the tenant or as the operator.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, Transaction};
use tenancy_core::{OperatorDb, Retry, TenantCtx, TenantDb, TenantId, TenantTx};
use uuid::Uuid;

use super::row::{At, Row};
use crate::{
    AuditEntryId, Entry, Error, ErrorKind, Seal, SealSignature,
    error::code,
    merkle::Frontier,
    model::{Adoption, Batch, LostSeal, Nodes, Removal, SealedAs, Unsealed},
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
pub(super) struct SignedRow {
    number: i64,
    first_entry: i64,
    entries: i32,
    root: Vec<u8>,
    ids_hash: Vec<u8>,
    previous: Vec<u8>,
    log_root: Vec<u8>,
    sealed_at: At,
    key_name: String,
    signature: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct SealRow {
    #[sqlx(flatten)]
    signed: SignedRow,
    ids: Vec<u8>,
    leaves: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct SealOf {
    #[sqlx(flatten)]
    seal: SealRow,
    created_at: At,
    txid: String,
}

#[derive(sqlx::FromRow)]
pub(super) struct SealedRow {
    #[sqlx(flatten)]
    row: Row,
    txid: String,
}

#[derive(sqlx::FromRow)]
struct RemovalRow {
    id: Uuid,
    ranges: Vec<i64>,
    reason: String,
    removed_at: At,
    key_name: String,
    signature: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct AdoptionRow {
    id: Uuid,
    number: i64,
    entries: i64,
    loose: i64,
    lost_numbers: Vec<i64>,
    lost_hashes: Vec<u8>,
    reason: String,
    adopted_at: At,
    key_name: String,
    signature: Vec<u8>,
}

/// What a seal holds, without its proof.
pub(crate) struct SealIds {
    pub(crate) number: u64,
    pub(crate) id_min: Uuid,
    pub(crate) id_max: Uuid,
    pub(crate) ids: Vec<Uuid>,
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
    pub(super) fn conn(&mut self) -> &mut PgConnection {
        match self {
            Self::App(tx) => &mut *tx,
            Self::Owner(tx) => &mut *tx,
        }
    }

    /// The owner's, who reads nothing before it is said [of](Self::of) whom.
    pub(crate) async fn owner(operator: &OperatorDb) -> Result<Self, Error> {
        Ok(Self::Owner(operator.owner().await?))
    }

    /// From now on reads this tenant's log; of the owner's transaction.
    pub(crate) async fn of(&mut self, tenant: TenantId) -> Result<&mut Self, Error> {
        sqlx::query(include_str!("sql/read_tenant.sql"))
            .bind(tenant)
            .execute(self.conn())
            .await?;
        Ok(self)
    }

    pub(super) async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Owner(tx) => tx.commit().await.map_err(|error| outcome(error.into())),
            Self::App(tx) => Ok(tx.commit().await?),
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
        Ok(row.and_then(|row| row.into_seal(tenant)))
    }

    /// Seals that may hold entries of this stretch of ids, in their order, from behind this number on.
    pub(crate) async fn seals_within(
        &mut self,
        tenant: TenantId,
        (from, to): (Uuid, Uuid),
        after: u64,
    ) -> Result<Vec<(u64, Option<(Seal, Batch)>)>, Error> {
        let rows: Vec<SealRow> = sqlx::query_as(include_str!("sql/seals_within.sql"))
            .bind(tenant)
            .bind(from)
            .bind(to)
            .bind(after.cast_signed())
            .fetch_all(self.conn())
            .await?;
        let seal = |row: SealRow| (row.signed.number.cast_unsigned(), row.into_seal(tenant));
        Ok(rows.into_iter().map(seal).collect())
    }

    /// What transactions below this one wrote is sealed.
    pub(crate) async fn horizon(&mut self) -> Result<u64, Error> {
        let horizon: String = sqlx::query_scalar(include_str!("sql/horizon.sql"))
            .fetch_one(self.conn())
            .await?;
        horizon.parse().map_err(|_| unreadable())
    }

    /// The next entries behind this one, in the order of their ids.
    pub(crate) async fn entry_ids(
        &mut self,
        tenant: TenantId,
        after: Uuid,
    ) -> Result<Vec<Unsealed>, Error> {
        let rows: Vec<(AuditEntryId, String)> = sqlx::query_as(include_str!("sql/entry_ids.sql"))
            .bind(tenant)
            .bind(after)
            .fetch_all(self.conn())
            .await?;
        let entry = |(id, txid): (AuditEntryId, String)| {
            let transaction = txid.parse().map_err(|_| unreadable())?;
            Ok(Unsealed { id, transaction })
        };
        rows.into_iter().map(entry).collect()
    }

    /// The next seals by the least of their ids, up to this one, from behind such a seal on.
    pub(crate) async fn seal_ids(
        &mut self,
        tenant: TenantId,
        (least, number): (Uuid, u64),
        up_to: Uuid,
    ) -> Result<Vec<SealIds>, Error> {
        let rows: Vec<(i64, Uuid, Uuid, Vec<u8>)> =
            sqlx::query_as(include_str!("sql/seal_ids.sql"))
                .bind(tenant)
                .bind(least)
                .bind(number.cast_signed())
                .bind(up_to)
                .fetch_all(self.conn())
                .await?;
        let seal = |(number, id_min, id_max, ids): (i64, Uuid, Uuid, Vec<u8>)| {
            let (ids, _) = ids.as_chunks::<16>();
            SealIds {
                number: number.cast_unsigned(),
                id_min,
                id_max,
                ids: ids.iter().copied().map(Uuid::from_bytes).collect(),
            }
        };
        Ok(rows.into_iter().map(seal).collect())
    }

    /// What is stored of the tree beside these seals.
    pub(crate) async fn nodes(
        &mut self,
        tenant: TenantId,
        numbers: &[u64],
    ) -> Result<Nodes, Error> {
        let numbers: Vec<i64> = numbers.iter().map(|number| number.cast_signed()).collect();
        let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = sqlx::query_as(include_str!("sql/seal_nodes.sql"))
            .bind(tenant)
            .bind(numbers)
            .fetch_all(self.conn())
            .await?;
        let node = |(number, hash, frontier): (i64, Vec<u8>, Vec<u8>)| {
            let number = number.cast_unsigned();
            let frontier = Frontier::from_bytes(number, &frontier)?;
            Some((number, (hash.try_into().ok()?, frontier)))
        };
        Ok(rows.into_iter().filter_map(node).collect())
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
        let stored = stored(row.created_at.time().unwrap_or_default(), &row.txid)?;
        let sealed = row.seal.into_seal(tenant);
        Ok(sealed.map(|(seal, batch)| (seal, batch, stored)))
    }

    /// The entries of a batch that are left.
    pub(crate) async fn entries(
        &mut self,
        tenant: TenantId,
        batch: &Batch,
    ) -> Result<Vec<(Entry, SealedAs)>, Error> {
        self.entries_of(tenant, &batch.ids).await
    }

    /// Of these entries those that there are, in this order.
    pub(crate) async fn entries_of(
        &mut self,
        tenant: TenantId,
        ids: &[Uuid],
    ) -> Result<Vec<(Entry, SealedAs)>, Error> {
        let rows: Vec<SealedRow> = sqlx::query_as(include_str!("sql/seal_entries.sql"))
            .bind(tenant)
            .bind(ids)
            .bind(ids.iter().min().copied())
            .bind(ids.iter().max().copied())
            .fetch_all(self.conn())
            .await?;
        rows.into_iter().map(SealedRow::into_entry).collect()
    }

    /// Adoptions behind this one, up to ten; what one has that has no meaning is missing.
    pub(crate) async fn adoptions(
        &mut self,
        tenant: TenantId,
        after: Uuid,
    ) -> Result<Vec<(Uuid, Option<Adoption>)>, Error> {
        let query = sqlx::query_as::<_, AdoptionRow>(include_str!("sql/adoptions.sql"));
        let rows = query
            .bind(tenant)
            .bind(after)
            .fetch_all(self.conn())
            .await?;
        Ok(adoptions(tenant, rows))
    }

    /// The same of those that name one of these numbers as lost.
    pub(crate) async fn adoptions_naming(
        &mut self,
        tenant: TenantId,
        after: Uuid,
        numbers: &[u64],
    ) -> Result<Vec<(Uuid, Option<Adoption>)>, Error> {
        let numbers: Vec<i64> = numbers.iter().map(|number| number.cast_signed()).collect();
        let query = sqlx::query_as::<_, AdoptionRow>(include_str!("sql/adoptions_naming.sql"));
        let query = query.bind(tenant).bind(after).bind(numbers);
        Ok(adoptions(tenant, query.fetch_all(self.conn()).await?))
    }

    /// The same of those that name what lies between these numbers.
    pub(crate) async fn adoptions_between(
        &mut self,
        tenant: TenantId,
        after: Uuid,
        (least, most): (u64, u64),
    ) -> Result<Vec<(Uuid, Option<Adoption>)>, Error> {
        let query = sqlx::query_as::<_, AdoptionRow>(include_str!("sql/adoptions_between.sql"));
        let query = query.bind(tenant).bind(after);
        let query = query.bind(least.cast_signed()).bind(most.cast_signed());
        Ok(adoptions(tenant, query.fetch_all(self.conn()).await?))
    }

    /// Removals behind this one, up to a hundred; what one has that has no meaning is missing.
    pub(crate) async fn removals(
        &mut self,
        tenant: TenantId,
        after: Uuid,
    ) -> Result<Vec<(Uuid, Option<Removal>)>, Error> {
        let rows: Vec<RemovalRow> = sqlx::query_as(include_str!("sql/removals.sql"))
            .bind(tenant)
            .bind(after)
            .fetch_all(self.conn())
            .await?;
        let removal = |row: RemovalRow| (row.id, row.into_removal(tenant));
        Ok(rows.into_iter().map(removal).collect())
    }
}

impl SealedRow {
    pub(super) fn into_entry(self) -> Result<(Entry, SealedAs), Error> {
        let entry = Entry::from(self.row);
        let stored = stored(entry.created_at, &self.txid)?;
        Ok((entry, stored))
    }
}

impl SealRow {
    /// The seal; `None` if somebody made it one that has no meaning: it then counts as missing.
    fn into_seal(self, tenant: TenantId) -> Option<(Seal, Batch)> {
        let batch = Batch::from_bytes(&self.ids, &self.leaves)?;
        Some((self.signed.into_seal(tenant)?, batch))
    }
}

impl SignedRow {
    pub(super) fn into_seal(self, tenant: TenantId) -> Option<Seal> {
        Some(Seal {
            tenant,
            number: self.number.cast_unsigned(),
            first: self.first_entry.cast_unsigned(),
            count: self.entries.cast_unsigned(),
            root: array(self.root)?,
            ids_hash: array(self.ids_hash)?,
            previous: array(self.previous)?,
            sealed_at: self.sealed_at.time()?,
            log_root: array(self.log_root)?,
            key: self.key_name,
            signature: SealSignature::from_bytes(array(self.signature)?),
        })
    }
}

impl RemovalRow {
    fn into_removal(self, tenant: TenantId) -> Option<Removal> {
        let (pairs, _) = self.ranges.as_chunks::<2>();
        Some(Removal {
            id: self.id,
            tenant,
            ranges: pairs
                .iter()
                .map(|[first, last]| (first.cast_unsigned(), last.cast_unsigned()))
                .collect(),
            reason: self.reason,
            removed_at: self.removed_at.time()?,
            key: self.key_name,
            signature: SealSignature::from_bytes(array(self.signature)?),
        })
    }
}

impl AdoptionRow {
    fn into_adoption(self, tenant: TenantId) -> Option<Adoption> {
        let (hashes, _) = self.lost_hashes.as_chunks::<32>();
        let lost = self.lost_numbers.iter().zip(hashes);
        Some(Adoption {
            id: self.id,
            tenant,
            number: self.number.cast_unsigned(),
            entries: self.entries.cast_unsigned(),
            loose: self.loose.cast_unsigned(),
            lost: lost
                .map(|(number, hash)| LostSeal::new(number.cast_unsigned(), *hash))
                .collect(),
            reason: self.reason,
            adopted_at: self.adopted_at.time()?,
            key: self.key_name,
            signature: SealSignature::from_bytes(array(self.signature)?),
        })
    }
}

fn adoptions(tenant: TenantId, rows: Vec<AdoptionRow>) -> Vec<(Uuid, Option<Adoption>)> {
    let adoption = |row: AdoptionRow| (row.id, row.into_adoption(tenant));
    rows.into_iter().map(adoption).collect()
}

/// Of the commit of an operator's transaction. What it does can be asked for twice.
fn outcome(error: Error) -> Error {
    if error.code() != code::DATABASE_UNAVAILABLE {
        return error;
    }
    let message = "the connection was lost during the commit: it was done or not";
    let unknown = Error::new(
        ErrorKind::CommitOutcomeUnknown,
        "commit_outcome_unknown",
        message,
    );
    unknown.with_retry(Retry::Backoff)
}

fn stored(created_at: DateTime<Utc>, txid: &str) -> Result<SealedAs, Error> {
    let transaction = txid.parse().map_err(|_| unreadable())?;
    Ok(SealedAs {
        created_at,
        transaction,
    })
}

fn array<const N: usize>(bytes: Vec<u8>) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn unreadable() -> Error {
    let message = "a transaction's number has a shape that this version can't read";
    Error::new(ErrorKind::Internal, "audit_seal_unreadable", message)
}
