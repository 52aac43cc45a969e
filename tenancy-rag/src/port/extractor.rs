use std::sync::Arc;

use async_trait::async_trait;
use tenancy_core::TenantCtx;

use crate::{Error, Extracted, MediaType};

/// An upload, whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Upload {
    /// What kind of file it is.
    pub media_type: MediaType,
    /// Its bytes, at least one.
    pub bytes: Arc<[u8]>,
}

impl Upload {
    /// Bytes of a media type.
    pub fn new(media_type: MediaType, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self {
            media_type,
            bytes: bytes.into(),
        }
    }
}

/// Takes the text out of an upload.
///
/// # Contract
/// The same bytes give the same text. Runs of [`Origins`](crate::Origins) are in order and inside
/// text and upload. Nothing that an upload refers to is fetched.
///
/// # Concurrency
/// Any number of calls at once; work that takes long leaves the async threads alone.
///
/// # Errors and retry
/// A broken upload is [`InvalidInput`](crate::ErrorKind::InvalidInput), whatever is broken: no
/// bytes make an extractor panic or run without end.
///
/// # Cancellation
/// A dropped call leaves nothing behind.
///
/// # For implementors
/// `tenancy_rag::testing::conformance::extractor` is the suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Extractor: Send + Sync + 'static {
    /// Whether it reads files of this type.
    fn reads(&self, media_type: &MediaType) -> bool;

    /// The text of an upload, and what is known about places in it.
    async fn extract(&self, ctx: &TenantCtx, upload: &Upload) -> Result<Extracted, Error>;
}
