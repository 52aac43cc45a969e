//! Access tokens that are valid now.

use async_trait::async_trait;
use tenancy_core::{Credential, CredentialId, CredentialSource, ErrorKind as CoreKind, TenantCtx};

use super::OAuthBroker;
use crate::{
    ConnectionId, ConnectionStatus, Error, ErrorKind,
    postgres::{Loaded, Openness},
    service::keys::KEY_MISSING,
};

/// A token that ends sooner than this, in seconds, is not given out if it can be renewed.
const LEAST: f64 = 60.0;

/// What a caller needs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    /// A token that lives.
    Alive,
    /// A newer one than the generation that was refused.
    NewerThan(i64),
}

/// What is to be done for him.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Give out what there is.
    Use,
    /// Give it out, and renew it meanwhile.
    UseAndRenew,
    /// Renew it first.
    Renew,
}

/// Decides by the states of connection and tenant; pure, so that every case is tested. For a tenant
/// that can only be read a token that lives is given out and none is renewed; for one that is
/// closed there is none.
pub(super) fn judge(loaded: &Loaded, need: Need) -> Result<Verdict, Error> {
    if loaded.openness == Openness::Closed {
        return Err(suspended("tenant_suspended", "the tenant is suspended"));
    }
    match (loaded.openness, wanted(loaded, need)?) {
        (Openness::ReadOnly, Verdict::Renew) => Err(suspended(
            "tenant_read_only",
            "the tenant is suspended, and nothing is renewed for it",
        )),
        (Openness::ReadOnly, _) => Ok(Verdict::Use),
        (_, verdict) => Ok(verdict),
    }
}

/// As the core says it, so that it stays its kind on the way through its ports.
pub(super) fn suspended(code: &'static str, message: &str) -> Error {
    tenancy_core::Error::new(CoreKind::Suspended, code, message).into()
}

fn wanted(loaded: &Loaded, need: Need) -> Result<Verdict, Error> {
    match loaded.connection.status {
        ConnectionStatus::Connected => {}
        ConnectionStatus::NeedsReauth => return Err(needs_reauth()),
        ConnectionStatus::Disconnected => {
            let message = "the connection was disconnected";
            return Err(Error::new(
                ErrorKind::NeedsReauth,
                "connection_disconnected",
                message,
            ));
        }
    }
    let renewable = loaded.refresh.is_some();
    if let Need::NewerThan(refused) = need {
        let newer = loaded.connection.generation > refused;
        return Ok(if newer || !renewable {
            Verdict::Use
        } else {
            Verdict::Renew
        });
    }
    let Some(left) = loaded.expires_in else {
        return Ok(Verdict::Use);
    };
    let lifetime = loaded.lifetime.unwrap_or(3_600.0).max(1.0);
    // A token that lives for less than two minutes in all is good for half of that.
    let least = LEAST.min(lifetime / 2.0);
    let ahead = (lifetime * 0.2).clamp(least, 600.0);
    match (left, renewable) {
        (left, true) if left <= least => Ok(Verdict::Renew),
        (left, true) if left <= ahead => Ok(Verdict::UseAndRenew),
        (left, false) if left <= 0.0 => Err(needs_reauth()),
        _ => Ok(Verdict::Use),
    }
}

pub(super) fn needs_reauth() -> Error {
    Error::new(
        ErrorKind::NeedsReauth,
        "needs_reauth",
        "the account has to be connected again",
    )
}

impl OAuthBroker {
    /// An access token of a connection; `None` if the id is no connection's.
    async fn token(
        &self,
        ctx: &TenantCtx,
        id: CredentialId,
        need: Need,
    ) -> Result<Option<Credential>, Error> {
        let id = ConnectionId::from_uuid(id.as_uuid());
        let Some(loaded) = self.0.connections.load(ctx, id).await? else {
            return Ok(None);
        };
        let credential = match judge(&loaded, need)? {
            Verdict::Use => self.open_access(ctx, loaded).await?,
            Verdict::UseAndRenew => {
                self.renew_behind(ctx, &loaded);
                self.open_access(ctx, loaded).await?
            }
            Verdict::Renew => {
                self.renew(ctx, id, need, loaded.connection.generation)
                    .await?
            }
        };
        Ok(Some(credential))
    }

    /// Opens the access token; looks again where it was sealed anew meanwhile.
    pub(super) async fn open_access(
        &self,
        ctx: &TenantCtx,
        loaded: Loaded,
    ) -> Result<Credential, Error> {
        let id = loaded.connection.id;
        match self.try_open_access(ctx, &loaded).await {
            Err(error) if error.code() == KEY_MISSING => {
                let again = self
                    .0
                    .connections
                    .load(ctx, id)
                    .await?
                    .ok_or_else(needs_reauth)?;
                self.try_open_access(ctx, &again).await
            }
            opened => opened,
        }
    }

    async fn try_open_access(&self, ctx: &TenantCtx, loaded: &Loaded) -> Result<Credential, Error> {
        let sealed = loaded.access.as_ref().ok_or_else(needs_reauth)?;
        let token = self.open_token(ctx, loaded, sealed, "access_token").await?;
        let connection = &loaded.connection;
        Ok(Credential::new(token, connection.generation).with_expires_at(connection.expires_at))
    }
}

#[async_trait]
impl CredentialSource for OAuthBroker {
    async fn credential(
        &self,
        ctx: &TenantCtx,
        id: CredentialId,
    ) -> Result<Credential, tenancy_core::Error> {
        match self.token(ctx, id, Need::Alive).await? {
            Some(credential) => Ok(credential),
            None => self.0.vault.credential(ctx, id).await,
        }
    }

    async fn renewed(
        &self,
        ctx: &TenantCtx,
        id: CredentialId,
        refused: i64,
    ) -> Result<Credential, tenancy_core::Error> {
        match self.token(ctx, id, Need::NewerThan(refused)).await? {
            Some(credential) => Ok(credential),
            None => self.0.vault.renewed(ctx, id, refused).await,
        }
    }
}
