//! The log as it grows.

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    Stream,
    future::{self, Either},
    stream,
};
use tenancy_core::{Authorizer, AuthorizerExt as _, TenantCtx};

use super::perm;
use crate::{AuditQuery, AuditStore, Entry, Error, Mark, Order};

/// How long it rests where nothing came, by default, at least and at most.
const INTERVAL: Duration = Duration::from_millis(250);
const LEAST_INTERVAL: Duration = Duration::from_millis(10);
const MOST_INTERVAL: Duration = Duration::from_mins(1);
/// Entries of one look.
const MOST: u16 = 500;

/// The entries of a tenant as they are committed; made by [`AuditLog::tail`](crate::AuditLog::tail).
///
/// Every entry that was committed after the tail began comes exactly once, also one whose transaction had
/// begun long before. It looks at intervals and needs neither a connection nor a session in between, so
/// that it works behind a pooler of transactions. Whether it may is asked at each look.
///
/// ```no_run
/// # use tenancy_audit::{AuditLog, AuditQuery, Error};
/// # async fn run(log: AuditLog, ctx: tenancy_core::TenantCtx) -> Result<(), Error> {
/// let denied: AuditQuery = "outcome:denied".parse()?;
/// let mut tail = log.tail(&ctx, &denied).await?;
/// loop {
///     for entry in tail.next().await? {
///         println!("{} {}", entry.created_at, entry.action);
///     }
/// }
/// # }
/// ```
pub struct Tail {
    store: Arc<dyn AuditStore>,
    authorizer: Arc<dyn Authorizer>,
    ctx: TenantCtx,
    query: AuditQuery,
    mark: Mark,
    /// Where it began.
    start: Mark,
    interval: Duration,
    /// Whether more is known to be there.
    more: bool,
}

impl Tail {
    pub(super) fn new(
        store: Arc<dyn AuditStore>,
        authorizer: Arc<dyn Authorizer>,
        ctx: TenantCtx,
        query: AuditQuery,
        mark: Mark,
    ) -> Self {
        Self {
            store,
            authorizer,
            ctx,
            query,
            start: mark.clone(),
            mark,
            interval: INTERVAL,
            more: false,
        }
    }

    /// Sets how long it rests where nothing came: 250 ms by default; 10 ms to a minute.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(LEAST_INTERVAL, MOST_INTERVAL);
        self
    }

    /// The newest entries that were there when the tail began, up to 1,000, the oldest of them first.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub async fn before(&self, most: u16) -> Result<Vec<Entry>, Error> {
        self.authorizer
            .require(&self.ctx, perm::AuditRead::get())
            .await?;
        let most = most.min(1_000);
        let mut query = self.query.clone().with_order(Order::NewestFirst);
        query.seen = Some(self.start.clone());
        query.after = None;
        let mut found = Vec::new();
        while found.len() < usize::from(most) {
            let left = usize::from(most) - found.len();
            query.limit = Some(u16::try_from(left).unwrap_or(most));
            let page = self.store.search(&self.ctx, &query).await?;
            found.extend(page.entries);
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        found.reverse();
        Ok(found)
    }

    /// What came since the last look, up to 500; looks once, at 10,000 entries of all tenants at most, so that it
    /// may bring none where others have written much. [`next`](Self::next) goes on at once then.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `audit.read`, also when it was taken away meanwhile.
    /// After an error, and when the call is dropped, the same entries come again.
    pub async fn poll(&mut self) -> Result<Vec<Entry>, Error> {
        self.authorizer
            .require(&self.ctx, perm::AuditRead::get())
            .await?;
        let came = self.store.follow(&self.ctx, &self.mark, MOST).await?;
        self.mark = came.mark;
        self.more = came.more;
        let mut entries = came.entries;
        entries.retain(|entry| self.query.is_in_time(entry) && self.query.finds(entry));
        Ok(entries)
    }

    /// What comes next; waits for it.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub async fn next(&mut self) -> Result<Vec<Entry>, Error> {
        loop {
            let entries = self.poll().await?;
            if !entries.is_empty() {
                return Ok(entries);
            }
            if !self.more {
                tokio::time::sleep(self.interval).await;
            }
        }
    }

    /// All that comes until `stop` is done. Ends after the first error.
    pub fn into_stream(
        self,
        stop: impl Future<Output = ()> + Send + Unpin,
    ) -> impl Stream<Item = Result<Vec<Entry>, Error>> + Send {
        stream::try_unfold((self, stop), |(mut tail, mut stop)| async move {
            let came = {
                let next = pin!(tail.next());
                match future::select(&mut stop, next).await {
                    Either::Left(_) => return Ok(None),
                    Either::Right((came, _)) => came?,
                }
            };
            Ok(Some((came, (tail, stop))))
        })
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail")
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}
