//! Connections and their tokens.

use std::{sync::Arc, time::Duration};

use tenancy_core::{
    AuditSink, ErrorKind as CoreKind, Event, TenantCtx, TenantDb, TenantTx, UserId,
};
use uuid::Uuid;

use super::{
    connection_rows::{Loaded, Token, connection, loaded},
    rotation::interval,
    rows,
    secrets::put_in,
};
use crate::{Connection, ConnectionId, Error, KeyId, ProviderKey, SecretWrite, Written};

#[derive(Clone)]
pub(crate) struct PgConnections {
    pub(super) db: TenantDb,
    pub(super) audit: Arc<dyn AuditSink>,
}

/// The lease on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) fence: i64,
    pub(crate) generation: i64,
    /// This attempt, and those before whose outcome nobody knows.
    pub(crate) open_attempts: i32,
}

/// An account that was just connected.
pub(crate) struct NewConnection<'a> {
    pub(crate) id: ConnectionId,
    pub(crate) provider: &'a ProviderKey,
    pub(crate) account_id: Option<&'a str>,
    pub(crate) label: Option<&'a str>,
    pub(crate) requested: &'a [String],
    pub(crate) granted: &'a [String],
    pub(crate) expires_in: Option<f64>,
    pub(crate) user: UserId,
    pub(crate) tokens: Vec<SecretWrite>,
    /// Which older tokens go.
    pub(crate) wipes: &'a [&'a str],
}

/// The fields under which the tokens of a connection are kept.
pub(crate) const ALL_TOKENS: &[&str] = &["access_token", "refresh_token"];

/// What a refresh brought, sealed.
pub(crate) struct Refreshed {
    pub(crate) key: KeyId,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) granted: Option<Vec<String>>,
    pub(crate) access: Token,
    pub(crate) refresh: Option<Token>,
}

impl PgConnections {
    pub(crate) fn new(db: TenantDb, audit: Arc<dyn AuditSink>) -> Self {
        Self { db, audit }
    }

    pub(crate) async fn load(
        &self,
        ctx: &TenantCtx,
        id: ConnectionId,
    ) -> Result<Option<Loaded>, Error> {
        let mut tx = self.db.read(ctx).await?;
        let row = sqlx::query(include_str!("sql/connection_load.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        row.as_ref().map(loaded).transpose()
    }

    pub(crate) async fn list(
        &self,
        ctx: &TenantCtx,
        after: Option<ConnectionId>,
        limit: u16,
    ) -> Result<Vec<Connection>, Error> {
        let mut tx = self.db.read(ctx).await?;
        let rows = sqlx::query(include_str!("sql/connection_list.sql"))
            .bind(ctx.tenant())
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&mut *tx)
            .await?;
        rows::all(&rows, connection)
    }

    /// The connection that an account has already.
    pub(crate) async fn of_account(
        &self,
        ctx: &TenantCtx,
        provider: &ProviderKey,
        account: &str,
    ) -> Result<Option<ConnectionId>, Error> {
        let mut tx = self.db.read(ctx).await?;
        Ok(
            sqlx::query_scalar(include_str!("sql/connection_by_account.sql"))
                .bind(ctx.tenant())
                .bind(provider.as_str())
                .bind(account)
                .fetch_optional(&mut *tx)
                .await?,
        )
    }

    /// Stores a connection with its tokens and the event: all of it or nothing.
    pub(crate) async fn save(
        &self,
        ctx: &TenantCtx,
        new: &NewConnection<'_>,
        event: Event,
    ) -> Result<Written, Error> {
        let mut tx = self.db.write(ctx).await?;
        let generation: i64 = sqlx::query_scalar(include_str!("sql/connection_save.sql"))
            .bind(ctx.tenant())
            .bind(new.id)
            .bind(new.provider.as_str())
            .bind(new.account_id)
            .bind(new.label)
            .bind(new.requested)
            .bind(new.granted)
            .bind(new.expires_in)
            .bind(new.user)
            .fetch_one(&mut *tx)
            .await?;
        wipe(&mut tx, new.provider, new.id, new.wipes).await?;
        for token in &new.tokens {
            match put_in(&mut tx, token).await? {
                Written::Done => {}
                other => return Ok(other),
            }
        }
        let event = event.meta("generation", generation);
        self.audit.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(Written::Done)
    }

    /// Takes the lease if nobody has it and the generation is still this one.
    pub(crate) async fn claim(
        &self,
        ctx: &TenantCtx,
        id: ConnectionId,
        generation: i64,
        lease: Duration,
    ) -> Result<Option<Claim>, Error> {
        let mut tx = self.db.write(ctx).await?;
        let row: Option<(i64, i32)> = sqlx::query_as(include_str!("sql/connection_claim.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .bind(Uuid::now_v7())
            .bind(generation)
            .bind(lease.as_secs_f64())
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(row.map(|(fence, open_attempts)| Claim {
            fence,
            generation,
            open_attempts,
        }))
    }

    /// Gives the lease back. `unknown` keeps the attempt on record as one without an outcome.
    pub(crate) async fn release(
        &self,
        ctx: &TenantCtx,
        id: ConnectionId,
        claim: Claim,
        unknown: bool,
        reason: &str,
        wait: (f64, f64),
    ) -> Result<(), Error> {
        let mut tx = self.settling(ctx).await?;
        sqlx::query(include_str!("sql/connection_release.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .bind(claim.fence)
            .bind(unknown)
            .bind(reason)
            .bind(wait.0)
            .bind(wait.1)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Marks the grant as dead and records it; nothing if the lease was lost.
    pub(crate) async fn needs_reauth(
        &self,
        ctx: &TenantCtx,
        id: ConnectionId,
        claim: Claim,
        reason: &str,
        event: Event,
    ) -> Result<(), Error> {
        let mut tx = self.settling(ctx).await?;
        let done = sqlx::query(include_str!("sql/connection_reauth.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .bind(claim.fence)
            .bind(claim.generation)
            .bind(reason)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 1 {
            self.audit.record_in(&mut tx, event).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Ends a refresh by compare-and-set on fence and generation.
    pub(crate) async fn commit(
        &self,
        ctx: &TenantCtx,
        id: ConnectionId,
        claim: Claim,
        new: &Refreshed,
        event: Option<Event>,
    ) -> Result<Written, Error> {
        let mut tx = self.settling(ctx).await?;
        let refresh = new.refresh.as_ref();
        let word: String = sqlx::query_scalar(include_str!("sql/connection_commit.sql"))
            .bind(id)
            .bind(claim.fence)
            .bind(claim.generation)
            .bind(new.expires_in.map(interval))
            .bind(new.granted.as_deref())
            .bind(new.key)
            .bind(new.access.id)
            .bind(new.access.version)
            .bind(new.access.envelope.to_json())
            .bind(refresh.map(|token| token.id))
            .bind(refresh.map(|token| token.version))
            .bind(refresh.map(|token| token.envelope.to_json()))
            .fetch_one(&mut *tx)
            .await?;
        let written = rows::written(&word)?;
        if written == Written::Done {
            if let Some(event) = event {
                self.audit.record_in(&mut tx, event).await?;
            }
            tx.commit().await?;
        }
        Ok(written)
    }

    /// A transaction for what has happened at the provider already: it is stored even where the
    /// tenant was suspended meanwhile, for else a rotated token would be lost.
    pub(super) async fn settling(&self, ctx: &TenantCtx) -> Result<TenantTx, Error> {
        match self.db.write(ctx).await {
            Err(error) if error.kind() == CoreKind::Suspended => Ok(self.db.aside(ctx).await?),
            opened => Ok(opened?),
        }
    }

    /// Whether a connection lives on the same grant.
    pub(crate) async fn is_shared(&self, ctx: &TenantCtx, id: ConnectionId) -> Result<bool, Error> {
        let mut tx = self.db.read(ctx).await?;
        Ok(
            sqlx::query_scalar(include_str!("sql/connection_shared.sql"))
                .bind(id)
                .fetch_one(&mut *tx)
                .await?,
        )
    }
}

pub(super) async fn wipe(
    tx: &mut TenantTx,
    provider: &ProviderKey,
    id: ConnectionId,
    fields: &[&str],
) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    sqlx::query(include_str!("sql/connection_wipe.sql"))
        .bind(tenant)
        .bind(provider.as_str())
        .bind(id.to_string())
        .bind(id)
        .bind(fields)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
