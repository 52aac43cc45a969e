//! Guards for tonic 0.14: a function for methods and a layer for whole services.
//!
//! Both need the [`TenantCtx`] that [`TenantLayer`](tenancy_core::http::TenantLayer), or a layer of
//! the host, puts into the request. An interceptor of tonic can't wait, and so can't ask: use these.
//!
//! | code | when |
//! |---|---|
//! | `UNAUTHENTICATED` | there is no context: nobody is logged in |
//! | `NOT_FOUND` | he is no member of the tenant any more; the audit log has one entry |
//! | `PERMISSION_DENIED` | the permission is missing; the message names it, and the audit log has one entry |
//! | `UNAVAILABLE` | whether it is held can't be found out now |

use tenancy_core::{
    Authorizer, AuthorizerExt as _, Error, ErrorKind, Granted, Permission, TenantCtx,
};
use tonic::{Code, Status, server::NamedService};
use tower_layer::Layer;

use crate::http::{Guard, GuardedService, Refused, RequirePermission};

/// Returns the proof that whoever sent the request holds the permission; records the denial
/// otherwise. For the first line of a method: it binds to the method and not to its path.
///
/// ```
/// # use std::sync::Arc;
/// # use tenancy_authz::{grpc, perm};
/// # use tenancy_core::Authorizer;
/// # use tonic::{Request, Response, Status};
/// # struct RoleServer { authorizer: Arc<dyn Authorizer> }
/// # impl RoleServer {
/// async fn list(&self, request: Request<()>) -> Result<Response<String>, Status> {
///     let granted = grpc::require(&*self.authorizer, &request, perm::RolesRead::get()).await?;
///     let ctx = grpc::context(request.extensions())?;
///     assert!(granted.covers(&ctx));
///     Ok(Response::new(format!("the roles of {}", ctx.tenant())))
/// }
/// # }
/// ```
pub async fn require<P: Permission, T: Sync>(
    authorizer: &dyn Authorizer,
    request: &tonic::Request<T>,
    permission: P,
) -> Result<Granted<P>, Status> {
    let ctx = context(request.extensions())?;
    let granted = authorizer.require(&ctx, permission).await;
    granted.map_err(|error| status(&error))
}

/// The context of a request; `UNAUTHENTICATED` without one.
pub fn context(extensions: &http::Extensions) -> Result<TenantCtx, Status> {
    logged_in(extensions.get().cloned())
}

fn logged_in(ctx: Option<TenantCtx>) -> Result<TenantCtx, Status> {
    ctx.ok_or_else(|| Status::unauthenticated("log in first"))
}

/// An error as a client of gRPC sees it; what went wrong inside is for the log.
pub fn status(error: &Error) -> Status {
    let code = match error.kind() {
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::NotAMember | ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Suspended => Code::FailedPrecondition,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::InvalidInput => Code::InvalidArgument,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::Limit => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        _ => Code::Internal,
    };
    if matches!(code, Code::Internal | Code::Unavailable) {
        tracing::error!(%error, code = error.code(), "a request failed");
    }
    match code {
        Code::Internal => Status::internal("something went wrong on our side"),
        code => Status::new(code, error.to_string()),
    }
}

impl RequirePermission {
    /// The same guard, answering as gRPC does: for a whole service of tonic.
    pub fn for_grpc(self) -> RequirePermissionGrpc {
        RequirePermissionGrpc(self)
    }
}

/// A layer that lets only those call a service of tonic who hold a permission; made by
/// [`RequirePermission::for_grpc`].
#[derive(Clone, Debug)]
pub struct RequirePermissionGrpc(RequirePermission);

impl<S> Layer<S> for RequirePermissionGrpc {
    type Service = RequirePermissionGrpcService<S>;

    fn layer(&self, inner: S) -> RequirePermissionGrpcService<S> {
        GuardedService::new(inner, self.clone())
    }
}

/// The service of [`RequirePermissionGrpc`].
pub type RequirePermissionGrpcService<S> = GuardedService<S, RequirePermissionGrpc>;

impl Guard for RequirePermissionGrpc {
    type Refusal = Status;

    async fn pass(&self, ctx: Option<TenantCtx>) -> Result<(), Status> {
        let ctx = logged_in(ctx)?;
        let asked = self.0.authorizer.require_key(&ctx, &self.0.permission);
        asked.await.map_err(|error| status(&error))
    }
}

impl<B: Default> Refused<B> for Status {
    fn answer(self) -> http::Response<B> {
        self.into_http()
    }
}

/// The service keeps its name where tonic looks for it.
impl<S: NamedService> NamedService for RequirePermissionGrpcService<S> {
    const NAME: &'static str = S::NAME;
}
