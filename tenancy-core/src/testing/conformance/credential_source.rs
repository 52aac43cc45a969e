//! The suite of [`CredentialSource`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::Utc;
use futures_util::future::join_all;

use super::refused;
use crate::{CredentialId, CredentialSource, Error, ErrorKind, TenantCtx};

/// A source under test, and a way to fill it.
#[async_trait]
pub trait CredentialHost: Send + Sync {
    /// The source.
    fn source(&self) -> Arc<dyn CredentialSource>;

    /// Keeps a new credential of the context's tenant.
    async fn store(&self, ctx: &TenantCtx, secret: &str) -> Result<CredentialId, Error>;

    /// Puts another secret in its place.
    async fn replace(&self, ctx: &TenantCtx, id: CredentialId, secret: &str) -> Result<(), Error>;
}

/// Gives out what is valid now, to its own tenant, and counts how often it was replaced. `a` and `b`
/// are contexts of two tenants.
///
/// # Errors
/// What the source failed with.
///
/// # Panics
/// Where the source breaks its contract.
pub async fn credential_source(
    host: &dyn CredentialHost,
    a: &TenantCtx,
    b: &TenantCtx,
) -> Result<(), Error> {
    let source = host.source();
    let (ours, theirs) = (
        host.store(a, "ours-4711").await?,
        host.store(b, "theirs-4712").await?,
    );
    // Cut off after its first step, it has no effect on those that follow.
    drop(tokio::time::timeout(Duration::ZERO, source.credential(a, ours)).await);
    for found in join_all((0..8).map(|_| source.credential(a, ours))).await {
        let found = found?;
        assert_eq!(found.secret.expose(), "ours-4711");
        assert!(
            !format!("{found:?}").contains("ours-4711"),
            "it is not shown"
        );
        let lives = |end| end > Utc::now() + Duration::from_mins(1);
        assert!(
            found.expires_at.is_none_or(lives),
            "a token has at least a minute to live"
        );
    }
    assert_eq!(
        source.credential(b, theirs).await?.secret.expose(),
        "theirs-4712"
    );

    // What belongs to another tenant is answered like what there never was.
    let unknown = refused(
        source.credential(a, CredentialId::new()).await,
        ErrorKind::NotFound,
    );
    for foreign in [
        source.credential(a, theirs).await,
        source.renewed(a, theirs, 1).await,
        source.credential(b, ours).await,
    ] {
        let foreign = refused(foreign, ErrorKind::NotFound);
        assert_eq!(foreign.code(), unknown.code());
        assert_eq!(foreign.to_string(), unknown.to_string());
    }

    let before = source.credential(a, ours).await?;
    let same = source.renewed(a, ours, before.generation).await?;
    assert_eq!(same.generation, before.generation, "there is nothing newer");
    host.replace(a, ours, "ours-4713").await?;
    for after in [
        source.credential(a, ours).await?,
        source.renewed(a, ours, before.generation).await?,
    ] {
        assert_eq!(after.secret.expose(), "ours-4713");
        assert!(
            after.generation > before.generation,
            "a newer one counts up"
        );
    }
    Ok(())
}
