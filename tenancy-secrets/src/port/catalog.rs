use std::sync::Arc;

use async_trait::async_trait;
use tenancy_core::TenantCtx;

use crate::{Error, Provider, ProviderKey};

/// Knows which OAuth providers there are.
///
/// # Contract
/// What it gives was checked by [`Provider`]'s own rules. It may differ by tenant.
///
/// # Concurrency
/// Any number of calls at once.
///
/// # Errors and retry
/// An unknown provider is `None`, not an error.
///
/// # Cancellation
/// A dropped call has changed nothing.
///
/// # For implementors
/// [`Catalog`](crate::Catalog) is the one that ships; most hosts add to it instead.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait ProviderCatalog: Send + Sync + 'static {
    /// A provider by its key.
    async fn provider(
        &self,
        ctx: &TenantCtx,
        key: &ProviderKey,
    ) -> Result<Option<Arc<Provider>>, Error>;

    /// Every provider the tenant may connect, by key.
    async fn providers(&self, ctx: &TenantCtx) -> Result<Vec<Arc<Provider>>, Error>;
}
