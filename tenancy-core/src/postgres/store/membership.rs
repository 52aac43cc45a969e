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
    ) -> Result<(), Error> {
        let answer: String = sqlx::query_scalar("SELECT tenancy.set_member_status($1, $2)")
            .bind(member)
            .bind(to.as_str())
            .fetch_one(&mut **tx)
            .await?;
        said(&answer)
    }

    async fn remove_in(&self, tx: &mut TenantTx, member: UserId) -> Result<(), Error> {
        let answer: String = sqlx::query_scalar("SELECT tenancy.remove_member($1)")
            .bind(member)
            .fetch_one(&mut **tx)
            .await?;
        said(&answer)
    }
}

fn said(answer: &str) -> Result<(), Error> {
    match answer {
        "ok" => Ok(()),
        "last_owner" => Err(Error::new(
            ErrorKind::Conflict,
            "last_owner",
            "a tenant keeps at least one active owner: make somebody else an owner first",
        )),
        _ => Err(Error::new(
            ErrorKind::NotFound,
            "member_not_found",
            "there is no such member",
        )),
    }
}
