use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{PgStore, interval};
use crate::{
    Email, Error, Invitation, InvitationId, InvitationStatus, InvitationStore, NewInvitation,
    OpenedInvitation, RoleKey, TenantId, TenantTx, UserId,
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
    invited_by: UserId,
    expired: bool,
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
        let status = match row.status.as_str() {
            "accepted" => InvitationStatus::Accepted,
            "pending" => InvitationStatus::Pending,
            _ => InvitationStatus::Revoked,
        };
        Ok(Self {
            id: row.id,
            email: row.email,
            roles,
            status,
            expires_at: row.expires_at,
        })
    }
}

#[async_trait]
impl InvitationStore for PgStore {
    async fn create_in(
        &self,
        tx: &mut TenantTx,
        invitation: &NewInvitation,
        token_hash: &[u8; 32],
    ) -> Result<Invitation, Error> {
        let id = InvitationId::new();
        let roles: Vec<String> = invitation.roles.iter().map(ToString::to_string).collect();
        let expires_at = sqlx::query_scalar(include_str!("../sql/invitation_create.sql"))
            .bind(id)
            .bind(invitation.email.as_typed())
            .bind(invitation.email.normalised())
            .bind(&roles)
            .bind(token_hash.as_slice())
            .bind(interval(invitation.valid_for)?)
            .fetch_one(&mut **tx)
            .await?;
        Ok(Invitation {
            id,
            email: invitation.email.as_typed().to_owned(),
            roles: invitation.roles.clone(),
            status: InvitationStatus::Pending,
            expires_at,
        })
    }

    async fn open(&self, token_hash: &[u8; 32]) -> Result<Option<OpenedInvitation>, Error> {
        let row: Option<OpenedRow> = sqlx::query_as(include_str!("../sql/invitation_open.sql"))
            .bind(token_hash.as_slice())
            .fetch_optional(self.db.without_tenant())
            .await?;
        row.map(|row| {
            Ok(OpenedInvitation {
                tenant: row.tenant_id,
                invitation: row.invitation.try_into()?,
                invited_by: row.invited_by,
                expired: row.expired,
            })
        })
        .transpose()
    }

    async fn accept_in(
        &self,
        tx: &mut TenantTx,
        token_hash: &[u8; 32],
        user: UserId,
        email: &Email,
    ) -> Result<bool, Error> {
        Ok(
            sqlx::query_scalar("SELECT tenancy.accept_invitation($1, $2, $3)")
                .bind(token_hash.as_slice())
                .bind(user)
                .bind(email.normalised())
                .fetch_one(&mut **tx)
                .await?,
        )
    }

    async fn revoke_in(&self, tx: &mut TenantTx, id: InvitationId) -> Result<bool, Error> {
        Ok(sqlx::query_scalar("SELECT tenancy.revoke_invitation($1)")
            .bind(id)
            .fetch_one(&mut **tx)
            .await?)
    }

    async fn list_in(&self, tx: &mut TenantTx, limit: u16) -> Result<Vec<Invitation>, Error> {
        let tenant = tx.ctx().tenant();
        let rows: Vec<InvitationRow> = sqlx::query_as(include_str!("../sql/invitations_list.sql"))
            .bind(tenant)
            .bind(i64::from(limit))
            .fetch_all(&mut **tx)
            .await?;
        rows.into_iter().map(Invitation::try_from).collect()
    }
}
