//! Handing out the log.

use std::{fmt, sync::Arc};

use futures_util::{Stream, stream};
use tenancy_core::TenantCtx;

use crate::{AuditQuery, AuditStore, Error, model::ndjson_line};

/// A running export; made by [`AuditLog::export`](crate::AuditLog::export).
///
/// Holds no transaction and no connection between two pages, so that a slow reader costs nothing.
pub struct Export {
    store: Arc<dyn AuditStore>,
    ctx: TenantCtx,
    query: AuditQuery,
    done: bool,
}

impl Export {
    pub(super) fn new(store: Arc<dyn AuditStore>, ctx: TenantCtx, query: AuditQuery) -> Self {
        Self {
            store,
            ctx,
            query,
            done: false,
        }
    }

    /// The next lines, up to 1,000, each ended by a line feed; `None` at the end.
    ///
    /// After an error the same lines can be asked for again.
    pub async fn next_lines(&mut self) -> Result<Option<String>, Error> {
        if self.done {
            return Ok(None);
        }
        let page = self.store.search(&self.ctx, &self.query).await?;
        let mut lines = String::with_capacity(page.entries.len() * 768);
        for entry in &page.entries {
            ndjson_line(entry, &mut lines)?;
        }
        self.done = page.next.is_none();
        self.query.after = page.next;
        Ok((!lines.is_empty()).then_some(lines))
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
            .finish_non_exhaustive()
    }
}
