//! Handing out the log.

use std::{fmt, sync::Arc};

use futures_util::{Stream, stream};
use tenancy_core::TenantCtx;
use tokio::task::JoinHandle;

use crate::{AuditQuery, AuditStore, Error, ErrorKind, ExportFormat, Page};

/// A running export; made by [`AuditLog::export`](crate::AuditLog::export).
///
/// It gives what was committed when it began, and nothing that came later, without a transaction or a
/// connection held between two pages: a slow reader costs nothing. One page is read ahead.
///
/// ```no_run
/// # use std::io::Write;
/// # use tenancy_audit::{AuditLog, AuditQuery, ExportFormat};
/// # async fn run(log: AuditLog, ctx: tenancy_core::TenantCtx, mut file: std::fs::File)
/// #     -> Result<(), Box<dyn std::error::Error>> {
/// let query: AuditQuery = "action:invoice.*".parse()?;
/// let mut export = log.export(&ctx, &query, ExportFormat::Ndjson).await?;
/// while let Some(lines) = export.next_lines().await? {
///     file.write_all(lines.as_bytes())?;
/// }
/// # Ok(()) }
/// ```
pub struct Export {
    store: Arc<dyn AuditStore>,
    ctx: TenantCtx,
    format: ExportFormat,
    /// Where the next page begins, and that page, if it is on its way.
    query: AuditQuery,
    ahead: Option<Ahead>,
    /// Whether lines were handed out.
    begun: bool,
    done: bool,
}

/// A page on its way; given up with the export.
struct Ahead(JoinHandle<Result<Page, Error>>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Export {
    pub(super) fn new(
        store: Arc<dyn AuditStore>,
        ctx: TenantCtx,
        query: AuditQuery,
        format: ExportFormat,
    ) -> Self {
        Self {
            store,
            ctx,
            format,
            query,
            ahead: None,
            begun: false,
            done: false,
        }
    }

    /// What it is written as.
    pub fn format(&self) -> ExportFormat {
        self.format
    }

    /// The next lines, up to 1,000, each with its end; `None` at the end.
    ///
    /// After an error, and when the call is dropped, the same lines can be asked for again.
    ///
    /// # Errors
    /// What the store answers; [`Internal`](ErrorKind::Internal) `audit_export_broken` if reading a page panicked, or
    /// its runtime is gone.
    pub async fn next_lines(&mut self) -> Result<Option<String>, Error> {
        loop {
            if self.done {
                return Ok(None);
            }
            let page = self.page().await?;
            // The next one is on its way while this one is written.
            let mut behind = self.query.clone();
            behind.after = page.next;
            let ahead = behind.after.is_some().then(|| self.read(&behind));
            let mut lines = String::with_capacity(page.entries.len() * 1_024);
            if !self.begun {
                lines.push_str(self.format.head());
            }
            for entry in &page.entries {
                self.format.write(entry, &mut lines)?;
            }
            self.done = ahead.is_none();
            self.ahead = ahead;
            self.query = behind;
            if !lines.is_empty() {
                self.begun = true;
                return Ok(Some(lines));
            }
        }
    }

    fn read(&self, query: &AuditQuery) -> Ahead {
        let (store, ctx, query) = (self.store.clone(), self.ctx.clone(), query.clone());
        Ahead(tokio::spawn(
            async move { store.search(&ctx, &query).await },
        ))
    }

    async fn page(&mut self) -> Result<Page, Error> {
        let mut ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.read(&self.query),
        };
        (&mut ahead.0).await.map_err(|_| {
            let message = "the page of an export could not be read";
            Error::new(ErrorKind::Internal, "audit_export_broken", message)
        })?
    }

    /// The whole export as a stream of chunks, for a response's body. Ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<String, Error>> + Send {
        stream::try_unfold(self, |mut export| async move {
            Ok(export.next_lines().await?.map(|lines| (lines, export)))
        })
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("query", &self.query)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
