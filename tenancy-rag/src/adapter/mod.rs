//! Adapters of the ports that need no database.

mod hash_embedder;
mod html;
#[cfg(feature = "http-embedder")]
mod http_embedder;
mod markdown;
#[cfg(feature = "pdf")]
mod pdf;
mod plain;
mod splitter;

pub use hash_embedder::HashEmbedder;
pub use html::HtmlExtractor;
#[cfg(feature = "http-embedder")]
pub use http_embedder::{HttpEmbedder, HttpEmbedderOptions};
pub use markdown::MarkdownExtractor;
#[cfg(feature = "pdf")]
pub use pdf::PdfExtractor;
pub use plain::PlainExtractor;
pub use splitter::SplitterChunker;

use std::sync::Arc;

use crate::{Error, ErrorKind, Extractor, Upload};

/// The extractors that ship: plain text, Markdown, HTML and, with the feature `pdf`, PDF.
pub fn default_extractors() -> Vec<Arc<dyn Extractor>> {
    vec![
        Arc::new(PlainExtractor::new()),
        Arc::new(MarkdownExtractor::new()),
        Arc::new(HtmlExtractor::new()),
        #[cfg(feature = "pdf")]
        Arc::new(PdfExtractor::new()),
    ]
}

/// An upload as text.
fn utf8(upload: &Upload) -> Result<String, Error> {
    match std::str::from_utf8(&upload.bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let message = format!(
                "the document is not UTF-8: byte {} is wrong",
                error.valid_up_to()
            );
            Err(Error::invalid("document_not_utf8", message))
        }
    }
}

/// Runs work that takes long, or that an outside parser may panic in, off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|failed| {
            Err(if failed.is_panic() {
                Error::invalid(
                    "document_unreadable",
                    "the document can't be read: it is broken",
                )
            } else {
                Error::new(
                    ErrorKind::Unavailable,
                    "runtime_stopping",
                    "the runtime is shutting down",
                )
            })
        })
}
