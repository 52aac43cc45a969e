use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::PgStore;
use crate::{Error, ErrorKind, Member, MemberStatus, MembershipStore, TenantTx, UserId};

#[derive(Debug, sqlx::FromRow)]
struct MemberRow {
    user_id: UserId,
    status: String,
    is_owner: bool,
    joined_at: DateTime<Utc>,
}

impl From<MemberRow> for Member {
    fn from(row: MemberRow) -> Self {
        let status = match row.status.as_str() {
            "active" => MemberStatus::Active,
            _ => MemberStatus::Deactivated,
        };
        Self {
            user: row.user_id,
            status,
            is_owner: row.is_owner,
            joined_at: row.joined_at,
        }
    }
}

#[async_trait]
impl MembershipStore for PgStore {
    async fn get_in(&self, tx: &mut TenantTx, member: UserId) -> Result<Option<Member>, Error> {
        let tenant = tx.ctx().tenant();
        let row: Option<MemberRow> = sqlx::query_as(include_str!("../sql/member_get.sql"))
            .bind(tenant)
            .bind(member)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(row.map(Member::from))
    }

    async fn list_in(
        &self,
        tx: &mut TenantTx,
        after: Option<UserId>,
        limit: u16,
    ) -> Result<Vec<Member>, Error> {
        let tenant = tx.ctx().tenant();
        let rows: Vec<MemberRow> = sqlx::query_as(include_str!("../sql/members_list.sql"))
            .bind(tenant)
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&mut **tx)
            .await?;
        Ok(rows.into_iter().map(Member::from).collect())
    }

    async fn set_status_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        to: MemberStatus,
    ) -> Result<bool, Error> {
        let answer: String = sqlx::query_scalar("SELECT tenancy.set_member_status($1, $2)")
            .bind(member)
            .bind(to.as_str())
            .fetch_one(&mut **tx)
            .await?;
        self.db.forget_after(tx);
        said(&answer)
    }

    async fn remove_in(&self, tx: &mut TenantTx, member: UserId) -> Result<(), Error> {
        let answer: String = sqlx::query_scalar("SELECT tenancy.remove_member($1)")
            .bind(member)
            .fetch_one(&mut **tx)
            .await?;
        self.db.forget_after(tx);
        said(&answer).map(drop)
    }
}

/// Reads what a function of members and owners answered; whether it changed anything.
pub(super) fn said(answer: &str) -> Result<bool, Error> {
    use ErrorKind::{Conflict, Denied, NotFound};
    let (kind, code, message) = match answer {
        "ok" => return Ok(true),
        "unchanged" => return Ok(false),
        "already_owner" => (Conflict, "already_owner", "he is an owner already"),
        "last_owner" => (
            Conflict,
            "last_owner",
            "a tenant keeps at least one active owner: make somebody else an owner first",
        ),
        "member_deactivated" => (
            Conflict,
            "member_deactivated",
            "this member is deactivated: activate him first",
        ),
        "member_unknown" => (NotFound, "member_not_found", "there is no such member"),
        "not_owner" => (
            Denied,
            "owner_only",
            "only an owner, by his own hand, may do this",
        ),
        "not_recipient" => (
            Denied,
            "offer_wrong_recipient",
            "this offer is for somebody else",
        ),
        "offer_open" => (
            Conflict,
            "offer_open",
            "another offer of ownership is open: revoke it first",
        ),
        "offer_accepted" => (Conflict, "offer_used", "this offer was accepted already"),
        "offer_declined" => (Conflict, "offer_declined", "this offer was declined"),
        "offer_expired" => (Conflict, "offer_expired", "this offer has expired"),
        "offer_revoked" => (Conflict, "offer_revoked", "this offer was taken back"),
        "offer_stale" => (
            Conflict,
            "offer_stale",
            "who made this offer is no longer an owner",
        ),
        "offer_unknown" => (NotFound, "offer_unknown", "there is no such offer"),
        "owner_protected" => (
            Denied,
            "owner_protected",
            "an owner is kept out or removed by an owner only",
        ),
        _ => {
            return Err(Error::new(
                ErrorKind::Internal,
                "answer_unknown",
                "the database answered a word that this version does not know",
            ));
        }
    };
    Err(Error::new(kind, code, message))
}
