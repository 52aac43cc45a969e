use async_trait::async_trait;

use crate::{Credential, CredentialId, Error, TenantCtx};

/// Gives out what opens a door outside: a stored key, or an OAuth token that is valid now.
///
/// # Contract
/// The credential belongs to the context's tenant. A token has at least a minute to live, or was
/// just refreshed. Nothing is cached beyond what the implementation documents.
///
/// # Concurrency
/// However many callers and processes ask at once, a provider sees one refresh.
///
/// # Errors and retry
/// An unknown id is [`NotFound`](crate::ErrorKind::NotFound). A grant that is dead (revoked,
/// expired) is [`Conflict`](crate::ErrorKind::Conflict) with the code `needs_reauth`: a person has
/// to connect again. A provider that can't be reached is
/// [`Unavailable`](crate::ErrorKind::Unavailable).
///
/// # Cancellation
/// A dropped call never loses a refreshed token.
///
/// # For implementors
/// `testing::conformance::credential_source` is the contract as a suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait CredentialSource: Send + Sync + 'static {
    /// The credential as it is valid now.
    async fn credential(&self, ctx: &TenantCtx, id: CredentialId) -> Result<Credential, Error>;

    /// A newer one than the generation that was refused outside; the same one, if it can't be
    /// renewed.
    async fn renewed(
        &self,
        ctx: &TenantCtx,
        id: CredentialId,
        refused: i64,
    ) -> Result<Credential, Error>;
}
