use async_trait::async_trait;

use crate::{Error, Event, Kept, TenantCtx, TenantTx};

/// Keeps a tenant's audit log.
///
/// # Contract
/// Tenant, actor and request id of the entry are those of the context, never the event's.
/// [`record_in`](Self::record_in) writes in the caller's transaction: the entry exists exactly
/// when the change does. [`record`](Self::record) commits by itself before it returns, on a
/// connection that a caller's open transaction can't be waiting for, so that a denial outlives
/// the rollback of what was denied. Neither is ever downgraded to the other, unless the host
/// chose a buffered sink, which documents what it may lose.
/// [`record_in`](Self::record_in) answers what it keeps, and that is what may be handed on: an
/// entry as it will be read, so without secrets; and once, where an event came under a key.
///
/// # Concurrency
/// Any number of calls at once; entries of one transaction keep their order.
///
/// # Errors and retry
/// An event that breaks the grammar or a limit is [`InvalidInput`](crate::ErrorKind::InvalidInput)
/// and leaves the caller's transaction usable. A store that can't be reached is
/// [`Unavailable`](crate::ErrorKind::Unavailable); repeating `record` may then write twice.
///
/// # Cancellation
/// A dropped `record` has written once or not at all.
///
/// # For implementors
/// `tenancy_core::testing::conformance::audit_sink` is the suite. Run it on a real database.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait AuditSink: Send + Sync + 'static {
    /// Records an event in a short transaction of its own.
    async fn record(&self, ctx: &TenantCtx, event: Event) -> Result<(), Error>;

    /// Records an event in the caller's transaction, and says what it keeps of it.
    async fn record_in(&self, tx: &mut TenantTx, event: Event) -> Result<Kept, Error>;
}
