//! How a tenant is entered: the only ways to a [`TenantCtx`].

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use super::{db::TenantDb, fault::lost_connection, tx::TenantTx};
use crate::{
    Access, Actor, ApiKeyId, Error, ErrorKind, PermissionKey, PlatformEvent, PlatformEventKind,
    Principal, ServiceKey, TenantCtx, TenantId, TenantStatus, UserId,
};

impl TenantDb {
    /// Enters a tenant as one of its members: one round trip, or none within
    /// [`DbOptions::enter_bound`](crate::DbOptions::enter_bound) of the last time. A refusal is noted in the platform's log: there
    /// is no context in which a tenant's own log could be written.
    ///
    /// # Errors
    /// [`NotAMember`](ErrorKind::NotAMember) whether the tenant exists or not;
    /// [`Suspended`](ErrorKind::Suspended) if nobody may enter it.
    pub async fn enter(&self, tenant: TenantId, user: UserId) -> Result<TenantCtx, Error> {
        let entered = &self.pools().entered;
        if let Some(access) = entered.get(tenant, user) {
            return Ok(TenantCtx::proven(tenant, Principal::user(user), access));
        }
        let asked = entered.ask();
        let ctx = self.enter_as(tenant, Principal::user(user)).await?;
        entered.keep(asked, tenant, user, ctx.access());
        Ok(ctx)
    }

    /// Lets the next [`enter`](Self::enter) of this tenant ask the database. The services of this
    /// crate do it themselves; it is for a host that hears of a change in another process.
    pub fn forget(&self, tenant: TenantId) {
        self.pools().entered.forget(tenant);
    }

    /// The same after the commit of a transaction that changes who may enter.
    pub(crate) fn forget_after(&self, tx: &mut TenantTx) {
        let (db, tenant) = (self.clone(), tx.ctx().tenant());
        tx.after_commit(move || db.forget(tenant));
    }

    /// Enters a tenant as a part of the host, with exactly these permissions.
    ///
    /// # Errors
    /// As [`enter`](Self::enter); the tenant has to exist.
    pub async fn enter_system(
        &self,
        tenant: TenantId,
        service: ServiceKey,
        permissions: Vec<PermissionKey>,
    ) -> Result<TenantCtx, Error> {
        self.enter_as(tenant, Principal::service(service, permissions))
            .await
    }

    /// Enters a tenant as a stored principal, checked anew: how a job resumes. A person who acts for
    /// another needs a session that runs ([`Support`](crate::Support)).
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    #[tracing::instrument(level = "debug", skip_all, fields(%tenant))]
    pub async fn enter_as(
        &self,
        tenant: TenantId,
        principal: Principal,
    ) -> Result<TenantCtx, Error> {
        let actor = PlatformEvent::new(PlatformEventKind::EnterRefused, "")
            .with_tenant(tenant)
            .with_actor(&principal);
        let entered = self.admit(tenant, principal).await;
        if let Err(error) = &entered
            && matches!(error.kind(), ErrorKind::NotAMember | ErrorKind::Suspended)
        {
            let code = error.code();
            self.platform_log().note(PlatformEvent { code, ..actor });
        }
        entered
    }

    async fn admit(&self, tenant: TenantId, principal: Principal) -> Result<TenantCtx, Error> {
        let mut maker = None;
        let (status, may_write) = match (&principal.actor, principal.on_behalf_of) {
            (Actor::User { id }, None) => (self.member_tenant_status(tenant, *id).await?, true),
            (Actor::User { id }, Some(member)) => self.impersonated(tenant, *id, member).await?,
            (Actor::ApiKey { id, .. }, _) => {
                let (status, by) = self.key_tenant_status(tenant, *id).await?.unzip();
                maker = by;
                (status, true)
            }
            _ => (self.tenant_status(tenant).await?, true),
        };
        let in_session =
            matches!(principal.actor, Actor::User { .. }) && principal.on_behalf_of.is_some();
        let access = match status.as_deref().and_then(TenantStatus::parse) {
            Some(TenantStatus::Active) if may_write => Access::ReadWrite,
            Some(TenantStatus::Active | TenantStatus::SuspendedReadOnly) => Access::ReadOnly,
            Some(TenantStatus::SuspendedBlocked | TenantStatus::Deleting) => {
                return Err(Error::new(
                    ErrorKind::Suspended,
                    "tenant_suspended",
                    "the tenant is suspended",
                ));
            }
            Some(TenantStatus::Purging | TenantStatus::Deleted) | None => {
                return Err(Error::not_a_member());
            }
        };
        let ctx = TenantCtx::proven(tenant, principal, access);
        Ok(match maker {
            Some(maker) => ctx.made_by(maker),
            None if in_session => ctx.in_session(),
            None => ctx,
        })
    }

    /// The tenant's state and whether writing is open, if a session of support runs.
    async fn impersonated(
        &self,
        tenant: TenantId,
        support: UserId,
        member: UserId,
    ) -> Result<(Option<String>, bool), Error> {
        let row: Option<(String, bool)> = self
            .ask(|conn| {
                let question = sqlx::query_as(include_str!("sql/enter_impersonating.sql"));
                let question = question.bind(tenant).bind(support).bind(member);
                Box::pin(question.fetch_optional(conn))
            })
            .await?;
        Ok(row.map_or((None, false), |(status, may_write)| {
            (Some(status), may_write)
        }))
    }

    /// The tenant's state, if the user is an active member.
    pub(crate) async fn member_tenant_status(
        &self,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Option<String>, Error> {
        let row: Option<(String, String)> = self
            .ask(|conn| {
                let question = sqlx::query_as(include_str!("sql/enter.sql"));
                Box::pin(question.bind(tenant).bind(user).fetch_optional(conn))
            })
            .await?;
        Ok(row
            .filter(|(_, member)| member == "active")
            .map(|(tenant, _)| tenant))
    }

    /// The tenant's state and who made the key, if it is one of its own that can be used.
    async fn key_tenant_status(
        &self,
        tenant: TenantId,
        key: ApiKeyId,
    ) -> Result<Option<(String, UserId)>, Error> {
        self.ask(|conn| {
            let question = sqlx::query_as(include_str!("sql/enter_api_key.sql"));
            Box::pin(question.bind(tenant).bind(key).fetch_optional(conn))
        })
        .await
    }

    pub(crate) async fn tenant_status(&self, tenant: TenantId) -> Result<Option<String>, Error> {
        self.ask(|conn| {
            let question = sqlx::query_scalar("SELECT tenancy.tenant_status($1)");
            Box::pin(question.bind(tenant).fetch_one(conn))
        })
        .await
    }

    /// Asks something that changes nothing, and asks again where the connection turns out to be
    /// dead: after a restart of the server, idle ones are.
    async fn ask<T>(
        &self,
        question: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send,
    ) -> Result<T, Error> {
        let mut left = self.pools().aside.tries();
        loop {
            let mut conn = self.unbound_aside().await?;
            match question(&mut conn).await {
                Err(error) if left > 0 && lost_connection(&error) => left -= 1,
                answer => return Ok(answer?),
            }
        }
    }

    /// The user of an outside login, made at the first sight of it.
    pub async fn user_for(&self, issuer: &str, subject: &str) -> Result<UserId, Error> {
        let mut conn = self.unbound_aside().await?;
        let user = sqlx::query_scalar("SELECT tenancy.user_for_identity($1, $2, $3)")
            .bind(issuer)
            .bind(subject)
            .bind(UserId::new())
            .fetch_one(&mut *conn)
            .await?;
        conn.done().await?;
        Ok(user)
    }
}
