use async_trait::async_trait;
use tenancy_core::{Event, TenantCtx, TenantTx};

use crate::{
    Claim, Claimed, Completed, Completion, Error, IdempotencyKey, Invocation, Outcome, ToolId,
};

/// Keeps the record of calls that are made once.
///
/// # Contract
/// The state machine of [`InvocationState`](crate::InvocationState) is held here, not by callers:
/// whatever a caller does, a call that must not be repeated is handed out once. A claim is
/// committed before it is answered. A completion is taken only with the fence of the newest
/// claim, and is stored together with its audit event or not at all. Leases are measured by one
/// clock, the store's.
///
/// A try whose caller is gone is ended by whoever comes upon it first, be it a claim, a
/// [`resolve`](Self::resolve) or [`end_lost`](Self::end_lost), and recorded with that, once, as
/// `mcp.invocation.lost`. A suspended tenant claims nothing.
///
/// # Concurrency
/// Of any number that claim one key at once, one gets
/// [`Claimed::Execute`](crate::Claimed::Execute).
///
/// # Errors and retry
/// A store that can't be reached is [`Unavailable`](crate::ErrorKind::Unavailable). Repeating a
/// completion is safe: it is recorded once.
///
/// # Cancellation
/// A dropped claim may have been granted: it ends with its lease. A dropped completion is
/// recorded whole or not at all.
///
/// # For implementors
/// `tenancy_mcp::testing::conformance::invocation_store` is the suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait InvocationStore: Send + Sync + 'static {
    /// The call of a key, if there is one.
    async fn find(
        &self,
        ctx: &TenantCtx,
        tool: ToolId,
        key: &IdempotencyKey,
    ) -> Result<Option<Invocation>, Error>;

    /// The call of a key, read in the caller's transaction: what is looked at before a call is looked
    /// at together.
    async fn find_in(
        &self,
        tx: &mut TenantTx,
        tool: ToolId,
        key: &IdempotencyKey,
    ) -> Result<Option<Invocation>, Error>;

    /// Asks for the right to send a call.
    async fn claim(&self, ctx: &TenantCtx, claim: &Claim) -> Result<Claimed, Error>;

    /// Ends a claimed call, and records the event with it.
    async fn complete(
        &self,
        ctx: &TenantCtx,
        completion: &Completion,
        event: Event,
    ) -> Result<Completed, Error>;

    /// Settles a call whose outcome was unknown, and records the event with it; `false` if it is
    /// not unknown. Only `Succeeded` and `Failed` settle.
    async fn resolve(
        &self,
        ctx: &TenantCtx,
        tool: ToolId,
        key: &IdempotencyKey,
        outcome: &Outcome,
        event: Event,
    ) -> Result<bool, Error>;

    /// The calls whose outcome is unknown, oldest first. A call whose lease ended counts, if it
    /// must not be repeated.
    async fn unknown(&self, ctx: &TenantCtx, limit: u16) -> Result<Vec<Invocation>, Error>;

    /// Ends up to `limit` tries whose callers are gone, the oldest first, and records each; answers
    /// how many. What may be repeated waits for its next try then, anything else is unknown.
    async fn end_lost(&self, ctx: &TenantCtx, limit: u16) -> Result<u64, Error>;
}
