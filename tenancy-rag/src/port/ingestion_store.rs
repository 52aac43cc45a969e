#![cfg_attr(
    feature = "testing",
    expect(
        clippy::struct_field_names,
        reason = "the mock's fields are named like the methods"
    )
)]

use std::time::Duration;

use async_trait::async_trait;
use tenancy_core::TenantTx;

use crate::{
    Amount, DocId, EmbeddingModel, Error, Ingestion, IngestionFailure, IngestionId, Limits,
    NewDocument, Progress, Quota,
};

/// A vector that no reader sees yet.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StagedVector {
    /// SHA-256 of the chunk's text.
    pub hash: [u8; 32],
    /// The vector, as wide as the column.
    pub vector: Vec<f32>,
}

impl StagedVector {
    /// The vector of a text.
    pub fn new(hash: [u8; 32], vector: Vec<f32>) -> Self {
        Self { hash, vector }
    }
}

/// Keeps uploads on their way, what they hold of the quota, and how far they are.
///
/// # Contract
/// [`reserve_in`](Self::reserve_in) is the only way to room: it fails rather than pass a limit, at
/// any number of callers at once. Everything an ingestion holds is given back when it ends, or
/// when its lease has run out and [`reap_in`](Self::reap_in) is called; leases run on the
/// database's clock.
///
/// # Concurrency
/// Any number of ingestions at once.
///
/// # Errors and retry
/// [`Limit`](crate::ErrorKind::Limit) with the code `quota_exceeded`.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// Shaped by Postgres; the tests of this crate are its suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait IngestionStore: Send + Sync + 'static {
    /// Begins an ingestion that holds nothing yet.
    async fn begin_in(
        &self,
        tx: &mut TenantTx,
        id: IngestionId,
        document: &NewDocument,
        lease: Duration,
    ) -> Result<(), Error>;

    /// Reserves room, under the tenant's limits or these defaults.
    async fn reserve_in(
        &self,
        tx: &mut TenantTx,
        id: IngestionId,
        more: Amount,
        defaults: Limits,
    ) -> Result<(), Error>;

    /// Keeps a part of the upload.
    async fn receive_in(
        &self,
        tx: &mut TenantTx,
        ingestion: &Ingestion,
        part: i32,
        bytes: &[u8],
    ) -> Result<(), Error>;

    /// The whole upload.
    async fn upload_in(&self, tx: &mut TenantTx, id: IngestionId) -> Result<Vec<u8>, Error>;

    /// An ingestion that the caller started, or whose document he may read.
    async fn get_in(&self, tx: &mut TenantTx, id: IngestionId) -> Result<Option<Ingestion>, Error>;

    /// Says how far it is, and renews its lease. `false` if it has ended.
    async fn progress_in(
        &self,
        tx: &mut TenantTx,
        id: IngestionId,
        progress: &Progress,
        lease: Duration,
    ) -> Result<bool, Error>;

    /// The generation that vectors of this model go into, made if the tenant has none.
    ///
    /// Fails with [`ModelMismatch`](crate::ErrorKind::ModelMismatch) if the tenant's vectors come
    /// from another model.
    async fn generation_in(&self, tx: &mut TenantTx, model: &EmbeddingModel) -> Result<i32, Error>;

    /// Which of these texts have no vector yet, neither staged nor in a chunk of the same source
    /// that the bound roles may see.
    ///
    /// Chunks of other sources must not count: the number of vectors that an upload asks for would
    /// tell whoever sent it that somebody's chunk says the same.
    async fn missing_in(
        &self,
        tx: &mut TenantTx,
        ingestion: &Ingestion,
        generation: i32,
        hashes: &[[u8; 32]],
    ) -> Result<Vec<[u8; 32]>, Error>;

    /// Keeps vectors for the publication.
    async fn stage_in(
        &self,
        tx: &mut TenantTx,
        ingestion: &Ingestion,
        vectors: Vec<StagedVector>,
    ) -> Result<(), Error>;

    /// Ends it as done: gives back what it holds and counts what is stored instead. `false` if it
    /// had ended before.
    async fn done_in(
        &self,
        tx: &mut TenantTx,
        id: IngestionId,
        result: (DocId, i32),
        stored: Amount,
    ) -> Result<bool, Error>;

    /// Ends it as failed: gives back what it holds and forgets the upload.
    async fn fail_in(
        &self,
        tx: &mut TenantTx,
        id: IngestionId,
        failure: &IngestionFailure,
    ) -> Result<bool, Error>;

    /// Forgets an ingestion that has ended.
    async fn forget_in(&self, tx: &mut TenantTx, id: IngestionId) -> Result<(), Error>;

    /// Ends the tenant's ingestions whose lease has run out, and forgets what ended a month ago;
    /// answers how many were ended.
    async fn reap_in(&self, tx: &mut TenantTx) -> Result<i64, Error>;

    /// The tenant's limits, or these defaults, and how much is used.
    async fn quota_in(&self, tx: &mut TenantTx, defaults: Limits) -> Result<Quota, Error>;

    /// Sets the tenant's limits.
    async fn set_limits_in(&self, tx: &mut TenantTx, limits: Limits) -> Result<(), Error>;

    /// Gives back room that a removed document took.
    async fn free_in(&self, tx: &mut TenantTx, amount: Amount) -> Result<(), Error>;
}
