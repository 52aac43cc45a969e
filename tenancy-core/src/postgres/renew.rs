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
    /// the database as well: for this member, or for everybody.
    pub async fn renew(&self, ctx: &TenantCtx) -> Result<TenantCtx, Error> {
        let renewed = self
            .enter_as(ctx.tenant(), ctx.principal().clone())
            .await
            .inspect_err(|error| match error.kind() {
                ErrorKind::Suspended => self.forget(ctx.tenant()),
                ErrorKind::NotAMember => self.forget_one(ctx),
                _ => {}
            })?
            .with_request_id(ctx.request_id());
        Ok(match ctx.trace() {
            Some(trace) => renewed.with_trace(trace),
            None => renewed,
        })
    }

    /// Lets the next `enter` of this member ask the database, and no other: he would have everybody in the
    /// tenant ask it as often as he asks himself. Of keys and of support nothing is remembered.
    fn forget_one(&self, ctx: &TenantCtx) {
        if let Some(user) = ctx.principal().himself() {
            self.pools().entered.forget_one(ctx.tenant(), user);
        }
    }
}
