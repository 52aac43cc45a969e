use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{PgStore, interval, unexpected};
use crate::{
    Error, ErrorKind, Impersonation, ImpersonationId, NewImpersonation, SupportGrant, SupportStore,
    TenantTx, UserId,
};

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: ImpersonationId,
    support_user: UserId,
    member: UserId,
    reason: String,
    started_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

/// A word, and since when and until when a session runs.
type Started = (String, Option<DateTime<Utc>>, Option<DateTime<Utc>>);

#[async_trait]
impl SupportStore for PgStore {
    async fn grant_in(
        &self,
        tx: &mut TenantTx,
        grant: &SupportGrant,
    ) -> Result<DateTime<Utc>, Error> {
        let (answer, until): (String, Option<DateTime<Utc>>) =
            sqlx::query_as(include_str!("../sql/support_grant.sql"))
                .bind(uuid::Uuid::now_v7())
                .bind(interval(grant.valid_for)?)
                .bind(grant.may_write)
                .bind(grant.may_be_owner)
                .fetch_one(&mut **tx)
                .await?;
        said(&answer)?;
        until.ok_or_else(unexpected)
    }

    async fn revoke_in(&self, tx: &mut TenantTx) -> Result<bool, Error> {
        let answer: String = sqlx::query_scalar("SELECT tenancy.revoke_support()")
            .fetch_one(&mut **tx)
            .await?;
        said(&answer)
    }

    async fn start_in(
        &self,
        tx: &mut TenantTx,
        new: &NewImpersonation,
    ) -> Result<Impersonation, Error> {
        let id = ImpersonationId::new();
        let (answer, from, until): Started =
            sqlx::query_as(include_str!("../sql/impersonation_start.sql"))
                .bind(id)
                .bind(new.reason.trim())
                .bind(interval(new.valid_for)?)
                .fetch_one(&mut **tx)
                .await?;
        said(&answer)?;
        let (started_at, expires_at) = from.zip(until).ok_or_else(unexpected)?;
        Ok(Impersonation {
            id,
            support: new.support,
            member: new.member,
            reason: new.reason.trim().to_owned(),
            started_at,
            expires_at,
            ended_at: None,
        })
    }

    async fn end_in(&self, tx: &mut TenantTx, id: ImpersonationId) -> Result<(), Error> {
        let answer: String = sqlx::query_scalar("SELECT tenancy.end_impersonation($1)")
            .bind(id)
            .fetch_one(&mut **tx)
            .await?;
        said(&answer).map(drop)
    }

    async fn list_in(
        &self,
        tx: &mut TenantTx,
        after: Option<ImpersonationId>,
        limit: u16,
    ) -> Result<Vec<Impersonation>, Error> {
        let tenant = tx.ctx().tenant();
        let rows: Vec<Row> = sqlx::query_as(include_str!("../sql/impersonations_list.sql"))
            .bind(tenant)
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&mut **tx)
            .await?;
        let session = |row: Row| Impersonation {
            id: row.id,
            support: row.support_user,
            member: row.member,
            reason: row.reason,
            started_at: row.started_at,
            expires_at: row.expires_at,
            ended_at: row.ended_at,
        };
        Ok(rows.into_iter().map(session).collect())
    }
}

fn said(answer: &str) -> Result<bool, Error> {
    use ErrorKind::{Conflict, Denied, NotFound};
    let (kind, code, message) = match answer {
        "ok" => return Ok(true),
        "unchanged" => return Ok(false),
        "member_is_staff" => (
            Denied,
            "member_is_staff",
            "nobody acts for one of the support staff",
        ),
        "member_unknown" => (
            NotFound,
            "member_not_found",
            "there is no such active member",
        ),
        // Whether there is such a tenant is not told.
        "not_granted" => (
            Denied,
            "support_not_granted",
            "no owner has opened this tenant to support",
        ),
        "not_owner" => (
            Denied,
            "owner_only",
            "only an owner, by his own hand, may do this",
        ),
        "not_staff" => (
            Denied,
            "not_support_staff",
            "you are not of the support staff",
        ),
        "owner_protected" => (
            Denied,
            "owner_protected",
            "the tenant has not opened its owners to support",
        ),
        "session_open" => (
            Conflict,
            "impersonation_open",
            "you act for this member already: end that session first",
        ),
        "session_unknown" => (
            NotFound,
            "impersonation_unknown",
            "there is no such open session of yours",
        ),
        "support_is_member" => (
            Denied,
            "support_is_member",
            "a member of the tenant acts as himself",
        ),
        _ => return Err(unexpected()),
    };
    Err(Error::new(kind, code, message))
}
