use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{PgStore, interval, unexpected};
use crate::{
    Acceptance, Email, Error, ErrorKind, Invitation, InvitationBatch, InvitationBounds,
    InvitationId, InvitationPage, InvitationStatus, InvitationStore, OpenedInvitation, RoleKey,
    TenantId, TenantStatus, TenantTx, UserId,
    model::invitation_error::{ended, replaced, tenant_closed, unknown, wrong_recipient},
};

#[derive(Debug, sqlx::FromRow)]
struct InvitationRow {
    id: InvitationId,
    email: String,
    role_keys: Vec<String>,
    status: String,
    expires_at: DateTime<Utc>,
}

#[derive(Debug, sqlx::FromRow)]
struct OpenedRow {
    tenant_id: TenantId,
    tenant_status: String,
    invited_by: UserId,
    accepted_by: Option<UserId>,
    replaced: bool,
    #[sqlx(flatten)]
    invitation: InvitationRow,
}

impl TryFrom<InvitationRow> for Invitation {
    type Error = Error;

    fn try_from(row: InvitationRow) -> Result<Self, Error> {
        let roles = row
            .role_keys
            .into_iter()
            .map(RoleKey::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            id: row.id,
            email: row.email,
            roles,
            status: InvitationStatus::parse(&row.status).ok_or_else(unexpected)?,
            expires_at: row.expires_at,
        })
    }
}

impl TryFrom<OpenedRow> for OpenedInvitation {
    type Error = Error;

    fn try_from(row: OpenedRow) -> Result<Self, Error> {
        Ok(Self {
            tenant: row.tenant_id,
            tenant_status: TenantStatus::parse(&row.tenant_status).ok_or_else(unexpected)?,
            invitation: row.invitation.try_into()?,
            invited_by: row.invited_by,
            accepted_by: row.accepted_by,
            replaced: row.replaced,
        })
    }
}

#[async_trait]
impl InvitationStore for PgStore {
    async fn create_in(
        &self,
        tx: &mut TenantTx,
        batch: &InvitationBatch,
    ) -> Result<Vec<Result<Invitation, Error>>, Error> {
        let (recipients, bounds) = (&batch.recipients, batch.bounds);
        let ids: Vec<InvitationId> = recipients.iter().map(|_| InvitationId::new()).collect();
        let typed: Vec<&str> = recipients.iter().map(|(to, _)| to.as_typed()).collect();
        let norms: Vec<&str> = recipients.iter().map(|(to, _)| to.normalised()).collect();
        let hashes: Vec<&[u8]> = recipients.iter().map(|(_, hash)| &hash[..]).collect();
        let roles: Vec<&str> = batch.roles.iter().map(AsRef::as_ref).collect();
        let answers: Vec<(String, DateTime<Utc>)> =
            sqlx::query_as(include_str!("../sql/invitations_create.sql"))
                .bind(&ids)
                .bind(&typed)
                .bind(&norms)
                .bind(&hashes)
                .bind(&roles)
                .bind(interval(bounds.valid_for)?)
                .bind(bound(bounds.most_pending))
                .bind(bound(bounds.sends_an_hour))
                .fetch_all(&mut **tx)
                .await?;
        let stored = ids.iter().zip(recipients).zip(answers);
        let made = stored.map(|((id, (to, _)), (answer, expires_at))| {
            said(&answer)?;
            Ok(Invitation {
                id: *id,
                email: to.as_typed().to_owned(),
                roles: batch.roles.clone(),
                status: InvitationStatus::Pending,
                expires_at,
            })
        });
        Ok(made.collect())
    }

    async fn get_in(
        &self,
        tx: &mut TenantTx,
        id: InvitationId,
    ) -> Result<Option<Invitation>, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<InvitationRow> = sqlx::query_as(include_str!("../sql/invitation_get.sql"))
            .bind(tenant)
            .bind(id)
            .fetch_optional(&mut **tx)
            .await?;
        row.map(Invitation::try_from).transpose()
    }

    async fn resend_in(
        &self,
        tx: &mut TenantTx,
        id: InvitationId,
        token_hash: &[u8; 32],
        bounds: InvitationBounds,
    ) -> Result<DateTime<Utc>, Error> {
        let (answer, expires_at): (String, Option<DateTime<Utc>>) =
            sqlx::query_as(include_str!("../sql/invitation_resend.sql"))
                .bind(id)
                .bind(token_hash.as_slice())
                .bind(interval(bounds.valid_for)?)
                .bind(bound(bounds.most_pending))
                .bind(bound(bounds.sends_an_hour))
                .fetch_one(&mut **tx)
                .await?;
        said(&answer)?;
        expires_at.ok_or_else(unexpected)
    }

    async fn open(&self, token_hash: &[u8; 32]) -> Result<Option<OpenedInvitation>, Error> {
        let row: Option<OpenedRow> = sqlx::query_as(include_str!("../sql/invitation_open.sql"))
            .bind(token_hash.as_slice())
            .fetch_optional(&mut *self.db.unbound().await?)
            .await?;
        row.map(OpenedInvitation::try_from).transpose()
    }

    async fn accept_in(
        &self,
        tx: &mut TenantTx,
        token_hash: &[u8; 32],
        user: UserId,
        email: &Email,
        let_in: bool,
    ) -> Result<Acceptance, Error> {
        let answer: String = sqlx::query_scalar(include_str!("../sql/invitation_answer.sql"))
            .bind(token_hash.as_slice())
            .bind(user)
            .bind(email.normalised())
            .bind(InvitationStatus::Accepted.as_str())
            .bind(let_in)
            .fetch_one(&mut **tx)
            .await?;
        if answer == "kept_out" {
            return Ok(Acceptance::KeptOut);
        }
        said(&answer).map(|()| Acceptance::Joined)
    }

    async fn decline_in(
        &self,
        tx: &mut TenantTx,
        token_hash: &[u8; 32],
        user: UserId,
        email: &Email,
    ) -> Result<(), Error> {
        let answer: String = sqlx::query_scalar(include_str!("../sql/invitation_answer.sql"))
            .bind(token_hash.as_slice())
            .bind(user)
            .bind(email.normalised())
            .bind(InvitationStatus::Declined.as_str())
            .bind(false)
            .fetch_one(&mut **tx)
            .await?;
        said(&answer)
    }

    async fn revoke_in(&self, tx: &mut TenantTx, id: InvitationId) -> Result<bool, Error> {
        Ok(sqlx::query_scalar("SELECT tenancy.revoke_invitation($1)")
            .bind(id)
            .fetch_one(&mut **tx)
            .await?)
    }

    async fn list_in(
        &self,
        tx: &mut TenantTx,
        page: &InvitationPage,
    ) -> Result<Vec<Invitation>, Error> {
        let tenant = tx.ctx().tenant();
        let rows: Vec<InvitationRow> = sqlx::query_as(include_str!("../sql/invitations_list.sql"))
            .bind(tenant)
            .bind(page.after)
            .bind(page.status.map(InvitationStatus::as_str))
            .bind(i64::from(page.limit.clamp(1, 200)))
            .fetch_all(&mut **tx)
            .await?;
        rows.into_iter().map(Invitation::try_from).collect()
    }
}

/// A bound as the database counts; beyond its numbers there is none.
fn bound(most: u64) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn said(answer: &str) -> Result<(), Error> {
    let error = match answer {
        "ok" => return Ok(()),
        "limit" => Error::new(
            ErrorKind::Limit,
            "too_many_invitations",
            "too many invitations wait for an answer: take some back first",
        ),
        "too_often" => Error::new(
            ErrorKind::Limit,
            "invited_too_often",
            "this address was written to too often within an hour",
        )
        .with_retry(crate::Retry::After(std::time::Duration::from_hours(1))),
        "tenant_closed" => tenant_closed(),
        "wrong_recipient" => wrong_recipient(),
        "unknown" => unknown(),
        "replaced" => replaced(),
        status => match InvitationStatus::parse(status) {
            Some(status) => ended(status),
            None => unexpected(),
        },
    };
    Err(error)
}
