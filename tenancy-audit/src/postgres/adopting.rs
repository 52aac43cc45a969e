//! Adopting a log in another cluster, as its owner.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tenancy_core::{OperatorDb, TenantId};
use uuid::Uuid;

use super::{
    proofs::Reading,
    seals::{NewSeal, Unsealed, UnsealedRow, bind_seals},
};
use crate::{
    Error, ErrorKind,
    model::{Adoption, LostSeal},
};

/// How many tenants are read at once.
const TENANTS: i32 = 1_000;

/// A transaction that keeps everybody out of the log.
pub(crate) struct Adopting {
    reading: Reading,
    start: Start,
    /// What is still to be looked through, the next one last: ids from one to below another, and up to which entry it
    /// was looked.
    left: Vec<(Uuid, Option<Uuid>, Reached)>,
}

#[derive(sqlx::FromRow)]
struct Start {
    /// Whether anything was ever sealed.
    begun: bool,
    /// From which entry on entries are looked for that the sealer has not come to.
    oldest: Uuid,
    /// From which entry on also such that it has passed.
    recent: Uuid,
    /// Which one it has passed.
    at_txid: String,
    at_tenant: Uuid,
    at_entry: Uuid,
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
    /// When something was signed for it last.
    pub(crate) signed_at: Option<DateTime<Utc>>,
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

impl Start {
    /// First what is older than what is looked at again: it lies behind what the sealer has passed.
    fn ways(&self) -> Vec<(Uuid, Option<Uuid>, Reached)> {
        if !self.begun {
            return Vec::new();
        }
        let mut ways = vec![(self.recent, None, Reached::default())];
        if self.oldest < self.recent {
            let passed = Reached {
                txid: self.at_txid.clone(),
                tenant: self.at_tenant,
                entry: self.at_entry,
            };
            ways.push((self.oldest, Some(self.recent), passed));
        }
        ways
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
        let start: Start = sqlx::query_as(include_str!("sql/adopt_start.sql"))
            .fetch_one(reading.conn())
            .await?;
        Ok(Self {
            reading,
            left: start.ways(),
            start,
        })
    }

    /// Whether anything was ever sealed. If not, nothing has to be: the sealer will begin with the first entry.
    pub(crate) fn begun(&self) -> bool {
        self.start.begun
    }

    /// Looks at so many entries more: those that no seal holds, which may be none; `None` at the end. What was found
    /// before has to be sealed by then.
    pub(crate) async fn unsealed(&mut self, most: u32) -> Result<Option<Vec<Unsealed>>, Error> {
        while let Some((first, beyond, reached)) = self.left.pop() {
            let rows: Vec<PageRow> = sqlx::query_as(include_str!("sql/adopt_page.sql"))
                .bind(first)
                .bind(beyond)
                .bind(reached.txid)
                .bind(reached.tenant)
                .bind(reached.entry)
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
            if let Some(reached) = reached {
                self.left.push((first, beyond, reached));
                return Ok(Some(unsealed));
            }
        }
        Ok(None)
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

    /// Of these seals those that are not there, by their places.
    pub(crate) async fn missing(
        &mut self,
        seals: &[(TenantId, LostSeal)],
    ) -> Result<Vec<usize>, Error> {
        missing(self.conn(), seals).await
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

/// Of these seals those that are not there now, by their places.
pub(crate) async fn missing_now(
    operator: &OperatorDb,
    seals: &[(TenantId, LostSeal)],
) -> Result<Vec<usize>, Error> {
    let mut owner = operator.owner().await?;
    missing(&mut owner, seals).await
}

/// Of these seals those that are not there, by their places.
async fn missing(
    conn: &mut PgConnection,
    seals: &[(TenantId, LostSeal)],
) -> Result<Vec<usize>, Error> {
    let (mut tenants, mut numbers, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant, seal) in seals {
        tenants.push(tenant.as_uuid());
        numbers.push(seal.number.cast_signed());
        hashes.push(&seal.seal[..]);
    }
    let places: Vec<i64> = sqlx::query_scalar(include_str!("sql/seals_missing.sql"))
        .bind(tenants)
        .bind(numbers)
        .bind(hashes)
        .fetch_all(conn)
        .await?;
    let place = |place: i64| usize::try_from(place - 1).ok();
    Ok(places.into_iter().filter_map(place).collect())
}
