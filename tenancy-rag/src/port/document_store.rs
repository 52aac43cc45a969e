#![cfg_attr(
    feature = "testing",
    expect(
        clippy::struct_field_names,
        reason = "the mock's fields are named like the methods"
    )
)]

use async_trait::async_trait;
use tenancy_core::{RoleKey, TenantTx};

use crate::{Amount, DocId, DocUri, Document, Error, Source, SourceId, SourceName};

/// That a document exists, and who must be asked about it: nothing that it says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KnownDocument {
    /// Which one.
    pub id: DocId,
    /// The source it belongs to, whose writers may change it.
    pub source: SourceId,
    /// Who may read it.
    pub allowed_roles: Vec<RoleKey>,
}

impl KnownDocument {
    /// A document of this source with these readers.
    pub fn new(id: DocId, source: SourceId, allowed_roles: Vec<RoleKey>) -> Self {
        Self {
            id,
            source,
            allowed_roles,
        }
    }
}

/// Keeps sources and what is known about documents.
///
/// # Contract
/// Documents are shown to a transaction that is bound to one of their roles. [`find_in`] and
/// [`place_of_in`] answer whoever may read: services ask them to decide, and tell only a writer of
/// the source.
///
/// [`find_in`]: Self::find_in
/// [`place_of_in`]: Self::place_of_in
///
/// # Concurrency
/// Two calls that make the same source at once make one.
///
/// # Errors and retry
/// As the database's.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// Shaped by Postgres; the tests of this crate are its suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait DocumentStore: Send + Sync + 'static {
    /// The source of this name, made with these writers if there is none.
    async fn source_in(
        &self,
        tx: &mut TenantTx,
        name: &SourceName,
        writers: &[RoleKey],
    ) -> Result<SourceId, Error>;

    /// Who may write to a source; `None` if there is none.
    async fn writers_in(
        &self,
        tx: &mut TenantTx,
        source: SourceId,
    ) -> Result<Option<Vec<RoleKey>>, Error>;

    /// Sets who may write to a source; `false` if there is none.
    async fn set_writers_in(
        &self,
        tx: &mut TenantTx,
        source: SourceId,
        writers: &[RoleKey],
    ) -> Result<bool, Error>;

    /// The sources by name, behind the one given.
    async fn sources_in(
        &self,
        tx: &mut TenantTx,
        after: Option<String>,
        limit: u16,
    ) -> Result<Vec<Source>, Error>;

    /// The document at a place, whoever may read it.
    async fn find_in(
        &self,
        tx: &mut TenantTx,
        source: SourceId,
        uri: &DocUri,
    ) -> Result<Option<KnownDocument>, Error>;

    /// Source and readers of a document, whoever may read it.
    async fn place_of_in(
        &self,
        tx: &mut TenantTx,
        doc: DocId,
    ) -> Result<Option<KnownDocument>, Error>;

    /// A document.
    async fn get_in(&self, tx: &mut TenantTx, doc: DocId) -> Result<Option<Document>, Error>;

    /// Documents in the order in which they were made, behind the one given.
    async fn list_in(
        &self,
        tx: &mut TenantTx,
        source: Option<SourceId>,
        after: Option<DocId>,
        limit: u16,
    ) -> Result<Vec<Document>, Error>;

    /// Sets who may read a document, its text and its chunks; `false` if it is gone. The
    /// transaction has to be bound to the roles before and after.
    async fn set_roles_in(
        &self,
        tx: &mut TenantTx,
        doc: DocId,
        roles: &[RoleKey],
    ) -> Result<bool, Error>;

    /// Removes a document with everything that belongs to it; answers what that frees.
    async fn delete_in(&self, tx: &mut TenantTx, doc: DocId) -> Result<Option<Amount>, Error>;
}
