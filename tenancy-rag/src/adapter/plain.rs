use async_trait::async_trait;
use tenancy_core::TenantCtx;

use super::utf8;
use crate::{Error, Extracted, Extractor, Markup, MediaType, Upload};

/// Plain text in UTF-8: the text is the upload, byte by byte.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PlainExtractor;

impl PlainExtractor {
    /// Reads `text/plain`.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Extractor for PlainExtractor {
    fn reads(&self, media_type: &MediaType) -> bool {
        media_type.as_str() == "text/plain"
    }

    async fn extract(&self, _: &TenantCtx, upload: &Upload) -> Result<Extracted, Error> {
        Ok(Extracted::same(utf8(upload)?, Markup::Plain))
    }
}
