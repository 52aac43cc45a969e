//! Adopting a log in another cluster, as its owner.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tenancy_core::{OperatorDb, TenantId};

use super::{
    proofs::Reading,
    seals::{NewSeal, Row, Unsealed, bind_seals},
};
use crate::{Adoption, Error, ErrorKind};

/// A transaction that keeps everybody out of the log.
pub(crate) struct Adopting(Reading);

impl Adopting {
    pub(crate) async fn begin(operator: &OperatorDb) -> Result<Self, Error> {
        let mut adopting = Self(Reading::Owner(operator.owner().await?));
        let state: String = sqlx::query_scalar(include_str!("sql/lock_log.sql"))
            .fetch_one(adopting.0.conn())
            .await?;
        if state == "locked" {
            return Ok(adopting);
        }
        let message = "somebody held the log's table too long";
        Err(Error::new(
            ErrorKind::Unavailable,
            "audit_log_busy",
            message,
        ))
    }

    /// Each tenant with what no seal of it holds, which may be nothing.
    pub(crate) async fn unsealed(&mut self) -> Result<Vec<Unsealed>, Error> {
        let rows: Vec<Row> = sqlx::query_as(include_str!("sql/adopt_begin.sql"))
            .fetch_all(self.0.conn())
            .await?;
        rows.into_iter().map(Unsealed::try_from).collect()
    }

    pub(crate) async fn seal(&mut self, seals: &[NewSeal], at: DateTime<Utc>) -> Result<(), Error> {
        let query = sqlx::query_scalar::<_, ()>(include_str!("sql/adopt_seals.sql"));
        if !seals.is_empty() {
            bind_seals(query, seals, at)
                .fetch_one(self.0.conn())
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
            .execute(self.0.conn())
            .await?;
        Ok(())
    }

    /// Reads a tenant's log in this transaction.
    pub(crate) async fn reading(&mut self, tenant: TenantId) -> Result<&mut Reading, Error> {
        self.0.of(tenant).await
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        let ahead: i64 = sqlx::query_scalar(include_str!("sql/adopt.sql"))
            .fetch_one(self.conn())
            .await?;
        sqlx::query(include_str!("sql/count_from.sql"))
            .bind(ahead)
            .execute(self.conn())
            .await?;
        self.0.commit().await
    }

    fn conn(&mut self) -> &mut PgConnection {
        self.0.conn()
    }
}
