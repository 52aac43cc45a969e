use async_trait::async_trait;
use tenancy_core::{TenantCtx, TenantTx};

use crate::{AuditEntryId, AuditQuery, CountBy, Counts, Draft, Entry, Error, Followed, Mark, Page};

/// Keeps the entries of all tenants.
///
/// # Contract
/// Append-only: there is no way to change or remove an entry. An entry is stored only if its tenant
/// and actor are the context's, and is read only in its own tenant. The store adds the time; it
/// never computes a record anew, so that what is read back verifies. [`append`](Self::append)
/// stores all records or none and commits before it returns, on a connection that a caller's open
/// transaction can't be waiting for; [`append_in`](Self::append_in) joins the caller's transaction.
/// Both answer under which id each record stands, in the order given.
///
/// A draft with a [key](crate::EntryKey) is stored if its tenant has used the key for nothing yet. If the key
/// was used for the same content the answer is the id of the entry that was stored then; the key is taken and
/// the entry stored together or not at all. Keys are remembered for a day at least.
///
/// Following from mark to mark meets every entry that was committed after the first mark exactly once,
/// whatever its id and however long its transaction took.
///
/// # Concurrency
/// Any number of calls at once. Pages are stable: an entry that was there when a search began is
/// on exactly one of its pages.
///
/// # Errors and retry
/// A record that is there already is [`Conflict`](crate::ErrorKind::Conflict) and nothing of the
/// call is stored; so repeating an `append` whose outcome is unknown never stores twice.
/// A key that was used for another content is [`Conflict`](crate::ErrorKind::Conflict) `audit_key_reused`;
/// nothing of the call is stored, and the caller's transaction stays usable.
/// [`Error::retry`] says what else may be repeated, and [`Error::new`] makes one.
///
/// # Cancellation
/// A dropped `append` has stored everything or nothing; `append_in` follows its transaction.
///
/// # For implementors
/// `tenancy_audit::testing::conformance::audit_store` is the suite. What a store keeps of a [`Draft`] is every field
/// of its record; [`Record::new`](crate::Record::new) makes one again, and [`Entry::new`] adds the time. A query says
/// by itself what it finds, and what page that makes:
///
/// ```
/// use tenancy_audit::{AuditQuery, Entry, Error, Order, Page};
/// use tenancy_core::TenantId;
///
/// fn search(kept: &[Entry], tenant: TenantId, query: &AuditQuery) -> Result<Page, Error> {
///     let ids = query.ids(tenant)?;
///     let mut found: Vec<Entry> = kept
///         .iter()
///         .filter(|entry| entry.tenant == tenant && ids.contains(&entry.id) && query.finds(entry))
///         .cloned()
///         .collect();
///     found.sort_by_key(|entry| entry.id);
///     if query.order == Order::NewestFirst {
///         found.reverse();
///     }
///     Ok(query.page(tenant, found, None))
/// }
///
/// let page = search(&[], TenantId::new(), &AuditQuery::new())?;
/// assert!(page.entries.is_empty() && page.next.is_none());
/// # Ok::<(), Error>(())
/// ```
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// Stores records of the context's tenant and actor in a short transaction of its own.
    async fn append(&self, ctx: &TenantCtx, drafts: &[Draft]) -> Result<Vec<AuditEntryId>, Error>;

    /// Stores records of the transaction's tenant and actor in it.
    async fn append_in(
        &self,
        tx: &mut TenantTx,
        drafts: &[Draft],
    ) -> Result<Vec<AuditEntryId>, Error>;

    /// One entry of the context's tenant.
    async fn get(&self, ctx: &TenantCtx, id: AuditEntryId) -> Result<Option<Entry>, Error>;

    /// A page of the context's tenant's entries: of what was there at the query's [mark](AuditQuery::seen), if it has
    /// one.
    ///
    /// Where the query has filters that the store can't look up, the page may end early, with a cursor.
    async fn search(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Page, Error>;

    /// How many entries the query finds: the newest of them, up to `most` (1 to 100,000), in groups. The
    /// query's order, page size and cursor don't count.
    async fn count(
        &self,
        ctx: &TenantCtx,
        query: &AuditQuery,
        by: CountBy,
        most: u32,
    ) -> Result<Counts, Error>;

    /// What is in the context's tenant's log now.
    async fn mark(&self, ctx: &TenantCtx) -> Result<Mark, Error>;

    /// What was committed since the mark, at most so many entries (1 to 1,000); fewer, or none, while
    /// [`Followed::more`] says that the next call goes on.
    async fn follow(&self, ctx: &TenantCtx, mark: &Mark, most: u16) -> Result<Followed, Error>;
}
