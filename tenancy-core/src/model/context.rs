//! The proof that somebody may act in a tenant.

use std::sync::Arc;

use crate::{Principal, RequestId, TenantId, TraceId, UserId};

/// Somebody acting in a tenant, after the database said that he may.
///
/// Its fields are private and it is neither `Default` nor `Deserialize`: the only ways to one are
/// [`TenantDb::enter`](crate::TenantDb::enter) and its siblings, which check that the tenant and
/// the membership are active. A clone costs one reference count.
///
/// ```compile_fail
/// // There is no way around the check.
/// let ctx = tenancy_core::TenantCtx { tenant: tenancy_core::TenantId::new() };
/// ```
#[derive(Clone, Debug)]
pub struct TenantCtx(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    tenant: TenantId,
    principal: Principal,
    access: Access,
    request: RequestId,
    trace: Option<TraceId>,
    bound: Bound,
}

/// What a context depends on beyond its principal.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Nothing,
    /// The member who made the key that acts.
    Maker(UserId),
    /// A session of support, which may end before the context does.
    Session,
}

/// What a context may be used for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Access {
    /// Reads only: the tenant is suspended and its plan leaves reading open.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

impl TenantCtx {
    pub(crate) fn proven(tenant: TenantId, principal: Principal, access: Access) -> Self {
        Self(Arc::new(Inner {
            tenant,
            principal,
            access,
            request: RequestId::new(),
            trace: None,
            bound: Bound::Nothing,
        }))
    }

    /// The same context of a key that this member made.
    pub(crate) fn made_by(self, maker: UserId) -> Self {
        self.bound_to(Bound::Maker(maker))
    }

    /// The same context in a session of support: each of its transactions asks whether it runs.
    pub(crate) fn in_session(self) -> Self {
        self.bound_to(Bound::Session)
    }

    pub(crate) fn is_in_session(&self) -> bool {
        matches!(self.0.bound, Bound::Session)
    }

    fn bound_to(self, bound: Bound) -> Self {
        Self(Arc::new(Inner {
            bound,
            ..Arc::unwrap_or_clone(self.0)
        }))
    }

    /// The tenant acted in.
    pub fn tenant(&self) -> TenantId {
        self.0.tenant
    }

    /// Who acts.
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// The user whose rights count; `None` for services and API keys.
    pub fn user(&self) -> Option<UserId> {
        self.0.principal.effective_user()
    }

    /// Who made the API key that acts; `None` for everybody else. A key may do what it was made for
    /// as long as its maker may: an [`Authorizer`](crate::Authorizer) asks about both.
    pub fn maker(&self) -> Option<UserId> {
        match self.0.bound {
            Bound::Maker(user) => Some(user),
            Bound::Nothing | Bound::Session => None,
        }
    }

    /// Whether writes are open.
    pub fn access(&self) -> Access {
        self.0.access
    }

    /// The request this context was opened for.
    pub fn request_id(&self) -> RequestId {
        self.0.request
    }

    /// The trace that the request is part of; `None` outside of requests.
    pub fn trace(&self) -> Option<TraceId> {
        self.0.trace
    }

    /// The same context as part of a trace.
    pub fn with_trace(self, trace: TraceId) -> Self {
        Self(Arc::new(Inner {
            trace: Some(trace),
            ..Arc::unwrap_or_clone(self.0)
        }))
    }

    /// The same context under a request id that came from outside.
    pub fn with_request_id(self, request: RequestId) -> Self {
        Self(Arc::new(Inner {
            request,
            ..Arc::unwrap_or_clone(self.0)
        }))
    }
}
