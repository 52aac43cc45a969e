use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{PgStore, interval, membership::said, unexpected};
use crate::{
    Error, OfferAnswer, OwnershipOffer, OwnershipOfferId, OwnershipStore, TenantTx, UserId,
};

#[derive(Debug, sqlx::FromRow)]
struct OfferRow {
    id: OwnershipOfferId,
    from_user: UserId,
    to_user: UserId,
    expires_at: DateTime<Utc>,
}

#[async_trait]
impl OwnershipStore for PgStore {
    async fn set_owner_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        is_owner: bool,
    ) -> Result<bool, Error> {
        let answer: String = sqlx::query_scalar("SELECT tenancy.set_owner($1, $2)")
            .bind(member)
            .bind(is_owner)
            .fetch_one(&mut **tx)
            .await?;
        said(&answer)
    }

    async fn offer_in(
        &self,
        tx: &mut TenantTx,
        to: UserId,
        valid_for: Duration,
    ) -> Result<OwnershipOffer, Error> {
        let (id, from) = (OwnershipOfferId::new(), tx.ctx().principal().himself());
        let (answer, until): (String, Option<DateTime<Utc>>) =
            sqlx::query_as(include_str!("../sql/ownership_offer.sql"))
                .bind(id)
                .bind(to)
                .bind(interval(valid_for)?)
                .fetch_one(&mut **tx)
                .await?;
        said(&answer)?;
        let (from, expires_at) = from.zip(until).ok_or_else(unexpected)?;
        Ok(OwnershipOffer {
            id,
            from,
            to,
            expires_at,
        })
    }

    async fn answer_in(
        &self,
        tx: &mut TenantTx,
        offer: OwnershipOfferId,
        answer: OfferAnswer,
    ) -> Result<UserId, Error> {
        let (answer, from): (String, Option<UserId>) =
            sqlx::query_as(include_str!("../sql/ownership_answer.sql"))
                .bind(offer)
                .bind(answer.as_str())
                .fetch_one(&mut **tx)
                .await?;
        said(&answer)?;
        from.ok_or_else(unexpected)
    }

    async fn open_offer_in(&self, tx: &mut TenantTx) -> Result<Option<OwnershipOffer>, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<OfferRow> = sqlx::query_as(include_str!("../sql/ownership_open.sql"))
            .bind(tenant)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(row.map(|row| OwnershipOffer {
            id: row.id,
            from: row.from_user,
            to: row.to_user,
            expires_at: row.expires_at,
        }))
    }
}
