//! Adopting a log in another cluster, as its owner.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tenancy_core::{OperatorDb, TenantId};
use uuid::Uuid;

use super::{
    proofs::Reading,
    seals::{NewSeal, Unsealed, UnsealedRow, bind_seals},
};
use crate::{Adoption, Error, ErrorKind};

/// How many tenants are read at once.
const TENANTS: i32 = 1_000;

/// A transaction that keeps everybody out of the log.
pub(crate) struct Adopting {
    reading: Reading,
    start: Start,
    reached: Reached,
}

#[derive(sqlx::FromRow)]
struct Start {
    /// Whether anything was ever sealed.
    begun: bool,
    /// From which entry on entries without a seal are looked for.
    oldest: Uuid,
}

/// Up to which entry it was looked.
#[derive(sqlx::FromRow)]
struct Reached {
    #[sqlx(rename = "to_txid")]
    txid: String,
    #[sqlx(rename = "to_tenant")]
    tenant: Uuid,
    #[sqlx(rename = "to_entry")]
    entry: Uuid,
}

#[derive(sqlx::FromRow)]
struct PageRow {
    #[sqlx(flatten)]
    reached: Reached,
    #[sqlx(flatten)]
    of: UnsealedRow,
}

/// Where a tenant's seals end.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct SealedTenant {
    pub(crate) tenant_id: TenantId,
    pub(crate) seals: i64,
    pub(crate) entries: i64,
}

impl Default for Reached {
    fn default() -> Self {
        Self {
            txid: "0".to_owned(),
            tenant: Uuid::nil(),
            entry: Uuid::nil(),
        }
    }
}

impl Adopting {
    pub(crate) async fn begin(operator: &OperatorDb) -> Result<Self, Error> {
        let mut reading = Reading::owner(operator).await?;
        let state: String = sqlx::query_scalar(include_str!("sql/lock_log.sql"))
            .fetch_one(reading.conn())
            .await?;
        if state != "locked" {
            let message = "somebody held the log's table too long";
            return Err(Error::new(
                ErrorKind::Unavailable,
                "audit_log_busy",
                message,
            ));
        }
        let start = sqlx::query_as(include_str!("sql/adopt_start.sql"))
            .fetch_one(reading.conn())
            .await?;
        Ok(Self {
            reading,
            start,
            reached: Reached::default(),
        })
    }

    /// Whether anything was ever sealed. If not, nothing has to be: the sealer will begin with the first entry.
    pub(crate) fn begun(&self) -> bool {
        self.start.begun
    }

    /// Looks at so many entries more: those that no seal holds, which may be none; `None` at the end. What was found
    /// before has to be sealed by then.
    pub(crate) async fn unsealed(&mut self, most: u32) -> Result<Option<Vec<Unsealed>>, Error> {
        if !self.begun() {
            return Ok(None);
        }
        let rows: Vec<PageRow> = sqlx::query_as(include_str!("sql/adopt_page.sql"))
            .bind(self.start.oldest)
            .bind(&self.reached.txid)
            .bind(self.reached.tenant)
            .bind(self.reached.entry)
            .bind(i32::try_from(most).unwrap_or(i32::MAX))
            .fetch_all(self.reading.conn())
            .await?;
        let (mut reached, mut unsealed) = (None, Vec::new());
        for row in rows {
            reached = Some(row.reached);
            if row.of.tenant_id.is_some() {
                unsealed.push(Unsealed::try_from(row.of)?);
            }
        }
        Ok(reached.map(|reached| {
            self.reached = reached;
            unsealed
        }))
    }

    /// The next tenants behind one that have seals.
    pub(crate) async fn tenants(&mut self, after: TenantId) -> Result<Vec<SealedTenant>, Error> {
        Ok(sqlx::query_as(include_str!("sql/adopt_tenants.sql"))
            .bind(after)
            .bind(TENANTS)
            .fetch_all(self.reading.conn())
            .await?)
    }

    pub(crate) async fn seal(&mut self, seals: &[NewSeal], at: DateTime<Utc>) -> Result<(), Error> {
        let query = sqlx::query_scalar::<_, ()>(include_str!("sql/adopt_seals.sql"));
        if !seals.is_empty() {
            bind_seals(query, seals, at)
                .fetch_one(self.reading.conn())
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn keep(&mut self, adoption: &Adoption) -> Result<(), Error> {
        let numbers = adoption.lost.iter().map(|lost| lost.number.cast_signed());
        let hashes: Vec<u8> = adoption.lost.iter().flat_map(|lost| lost.seal).collect();
        sqlx::query(include_str!("sql/adoption_store.sql"))
            .bind(adoption.tenant)
            .bind(adoption.id)
            .bind(adoption.number.cast_signed())
            .bind(adoption.entries.cast_signed())
            .bind(adoption.loose.cast_signed())
            .bind(numbers.collect::<Vec<_>>())
            .bind(hashes)
            .bind(&adoption.reason)
            .bind(adoption.adopted_at)
            .bind(&adoption.key)
            .bind(adoption.signature.as_bytes().as_slice())
            .execute(self.reading.conn())
            .await?;
        Ok(())
    }

    /// Reads a tenant's log in this transaction.
    pub(crate) async fn reading(&mut self, tenant: TenantId) -> Result<&mut Reading, Error> {
        self.reading.of(tenant).await
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        let ahead: i64 = sqlx::query_scalar(include_str!("sql/adopt.sql"))
            .fetch_one(self.conn())
            .await?;
        sqlx::query(include_str!("sql/count_from.sql"))
            .bind(ahead)
            .execute(self.conn())
            .await?;
        self.reading.commit().await
    }

    fn conn(&mut self) -> &mut PgConnection {
        self.reading.conn()
    }
}
