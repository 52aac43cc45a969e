//! Contexts that are kept for longer than a request.

use super::db::TenantDb;
use crate::{Error, ErrorKind, TenantCtx};

impl TenantDb {
    /// Asks anew whether somebody may act in a tenant, for whoever keeps a context: a stream, a web
    /// socket, a task that goes on. One round trip, whatever [`enter`](Self::enter) remembers.
    ///
    /// The answer is the context as it is today, of the same request and the same trace: it reads
    /// only, if the tenant was suspended meanwhile, and writes again, if it was opened.
    ///
    /// ```no_run
    /// # async fn run(db: tenancy_core::TenantDb, mut ctx: tenancy_core::TenantCtx, mut lines: tokio::sync::mpsc::Receiver<String>)
    /// # -> Result<(), tenancy_core::Error> {
    /// let mut every = tokio::time::interval(std::time::Duration::from_secs(10));
    /// loop {
    ///     tokio::select! {
    ///         // An error ends the stream: he is gone, or the tenant is closed.
    ///         _ = every.tick() => ctx = db.renew(&ctx).await?,
    ///         line = lines.recv() => match line {
    ///             Some(line) => println!("to {:?}: {line}", ctx.user()),
    ///             None => return Ok(()),
    ///         },
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`enter`](Self::enter): [`NotAMember`](ErrorKind::NotAMember) when the member is kept out or
    /// removed, the API key is revoked or the session of support is over;
    /// [`Suspended`](ErrorKind::Suspended) when nobody may enter. Then `enter` of this handle asks
    /// the database as well.
    pub async fn renew(&self, ctx: &TenantCtx) -> Result<TenantCtx, Error> {
        let renewed = self
            .enter_as(ctx.tenant(), ctx.principal().clone())
            .await
            .inspect_err(|error| {
                if matches!(error.kind(), ErrorKind::NotAMember | ErrorKind::Suspended) {
                    self.forget(ctx.tenant());
                }
            })?
            .with_request_id(ctx.request_id());
        Ok(match ctx.trace() {
            Some(trace) => renewed.with_trace(trace),
            None => renewed,
        })
    }
}
