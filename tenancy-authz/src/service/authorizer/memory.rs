//! Answers from memory: what a check costs when nothing has to be asked.

use tenancy_core::{Decision, Error, Granted, PeekAuthorizer, Permission, TenantCtx};

use super::{PgAuthorizer, decide::found};
use crate::{model::by_itself, service::cache::Key};

impl PgAuthorizer {
    /// What memory says, without waiting and without allocating; `None` if the database would have
    /// to be asked. Never older than the bound. Leaves no entry.
    pub fn peek<P: Permission>(&self, ctx: &TenantCtx, _: P) -> Option<Decision> {
        if let Some(decision) = by_itself(ctx, &P::KEY) {
            return Some(decision);
        }
        let key = Key {
            tenant: ctx.tenant(),
            user: ctx.user().or(ctx.maker())?,
        };
        let bit = self.registry.known_type::<P>()?;
        self.cache.peek(key, |snapshot| {
            found(snapshot, Some(bit)).decide(ctx, &P::KEY)
        })
    }

    /// Returns the proof that the permission is held; records the denial otherwise. It is what
    /// [`AuthorizerExt::require`](tenancy_core::AuthorizerExt::require) is, without an allocation while memory has the answer.
    ///
    /// # Errors
    /// [`Denied`](tenancy_core::ErrorKind::Denied), or [`NotAMember`](tenancy_core::ErrorKind::NotAMember) to
    /// whom is no member any more, both on record; [`Unavailable`](tenancy_core::ErrorKind::Unavailable).
    pub async fn require<P: Permission>(
        &self,
        ctx: &TenantCtx,
        permission: P,
    ) -> Result<Granted<P>, Error> {
        Granted::required(self, ctx, permission).await
    }
}

impl PeekAuthorizer for PgAuthorizer {
    fn peek<P: Permission>(&self, ctx: &TenantCtx, permission: P) -> Option<Decision> {
        self.peek(ctx, permission)
    }
}
