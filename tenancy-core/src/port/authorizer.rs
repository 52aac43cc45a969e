use async_trait::async_trait;

use crate::{Decision, Error, Granted, Permission, PermissionKey, RoleKey, TenantCtx, TenantTx};

/// Decides what a principal may do in his tenant.
///
/// # Contract
/// [`require_key`](Self::require_key) records a denial, once, before it returns
/// [`Denied`](crate::ErrorKind::Denied), or [`NotAMember`](crate::ErrorKind::NotAMember) to whom is no
/// member (any more); a denial that can't be recorded is a denial all the same, and is counted. [`check`](Self::check) records nothing: it is for hiding a button. A back end
/// that can't answer is [`Unavailable`](crate::ErrorKind::Unavailable), never an allowance and
/// never a denial. A service has exactly the permissions of its principal. An API key has those of its
/// principal that its [maker](crate::TenantCtx::maker) holds himself: who is demoted keeps no way around
/// it in his pocket.
///
/// # Concurrency
/// A cached answer may be stale for a bound that the implementation documents. The `*_in` forms
/// ask the database inside the caller's transaction and are never stale.
///
/// # Errors and retry
/// `Unavailable` may be retried; a denial may not.
///
/// # Cancellation
/// A dropped call has decided nothing; its denial may or may not be recorded.
///
/// # For implementors
/// `tenancy_core::testing::conformance::authorizer` is the suite. Run it on a real database.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Decides without recording.
    async fn check(&self, ctx: &TenantCtx, permission: &PermissionKey) -> Result<Decision, Error>;

    /// Decides freshly, in the caller's transaction, without recording.
    async fn check_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<Decision, Error>;

    /// Returns only if the permission is held; records the denial otherwise.
    async fn require_key(&self, ctx: &TenantCtx, permission: &PermissionKey) -> Result<(), Error>;

    /// Like [`require_key`](Self::require_key), deciding freshly in the caller's transaction. The
    /// denial is recorded outside it, so that it survives the rollback.
    async fn require_key_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<(), Error>;

    /// The roles the transaction's principal has now, sorted; none for services and API keys.
    async fn roles_in(&self, tx: &mut TenantTx) -> Result<Vec<RoleKey>, Error>;
}

/// Checks with permissions as types. Implemented for every [`Authorizer`]; don't implement it.
#[async_trait]
pub trait AuthorizerExt: Authorizer {
    /// Returns the proof that the permission is held; records the denial otherwise.
    async fn require<P: Permission>(&self, ctx: &TenantCtx, _: P) -> Result<Granted<P>, Error> {
        self.require_key(ctx, &P::KEY).await?;
        Ok(Granted::to(ctx))
    }

    /// The same, decided freshly in the caller's transaction: for dangerous actions.
    async fn require_in<P: Permission>(
        &self,
        tx: &mut TenantTx,
        _: P,
    ) -> Result<Granted<P>, Error> {
        self.require_key_in(tx, &P::KEY).await?;
        Ok(Granted::to(tx.ctx()))
    }
}

impl<A: Authorizer + ?Sized> AuthorizerExt for A {}

/// An [`Authorizer`] that can answer for a permission as a type without waiting.
///
/// # Contract
/// [`peek`](Self::peek) says what [`check`](Authorizer::check) would say, no staler, or nothing. It
/// records nothing.
///
/// # Concurrency
/// As [`Authorizer`]. It neither blocks nor waits.
///
/// # Errors and retry
/// Who would have to ask a back end answers `None`.
///
/// # Cancellation
/// There is nothing to cancel.
///
/// # For implementors
/// Beside the suite of [`Authorizer`]: what is peeked at is what is checked.
pub trait PeekAuthorizer: Authorizer {
    /// What is known without waiting; `None` if a back end would have to be asked.
    fn peek<P: Permission>(&self, ctx: &TenantCtx, permission: P) -> Option<Decision>;
}

impl<P: Permission> Granted<P> {
    /// What [`AuthorizerExt::require`] is, without its allocation while the authorizer can answer
    /// without waiting.
    pub async fn required<A: PeekAuthorizer>(
        authorizer: &A,
        ctx: &TenantCtx,
        permission: P,
    ) -> Result<Self, Error> {
        match authorizer.peek(ctx, permission) {
            Some(Decision::Allow) => Ok(Self::to(ctx)),
            _ => authorizer.require(ctx, permission).await,
        }
    }
}
