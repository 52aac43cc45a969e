//! Errors as problem details (RFC 9457).

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::correlation;
use crate::{Error, ErrorKind, RequestId, Retry};

/// Marks a response whose denial is on record already, so that a layer that records requests does
/// not record it again. Found in the response's extensions.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DenialRecorded;

/// An error as a client sees it: `application/problem+json` with a stable `code`.
///
/// Its type is `about:blank`, so the title is the status' own; what went wrong is told by `code`,
/// which never changes its meaning. `request_id` is the one of the request being answered, where
/// the problem is answered inside of a [`TenantLayer`](super::TenantLayer) or an
/// [`AuthLayer`](super::AuthLayer).
///
/// ```
/// use tenancy_core::{Error, PermissionKey, http::Problem};
///
/// let problem = Problem::from(Error::denied(&PermissionKey::from_static("templates.read")));
/// let response: http::Response<String> = problem.respond();
/// assert_eq!(response.status(), 403);
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// assert!(response.body().contains(r#""code":"permission_denied""#));
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
    #[serde(skip)]
    retry_after: Option<u64>,
    #[serde(skip)]
    denial_recorded: bool,
}

impl Problem {
    /// A problem of a host's own, with a stable code and a message that may be shown.
    pub fn new(status: StatusCode, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: code.into(),
            detail: detail.into(),
            request_id: None,
            retry_after: None,
            denial_recorded: false,
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Says after how many seconds to ask again.
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Names the request, for an answer outside of the layers.
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// The response, with any body that can be made of a text. No cache keeps it.
    pub fn respond<B: From<String>>(mut self) -> Response<B> {
        self.request_id = self.request_id.or_else(correlation::current);
        // A problem holds numbers and texts only, which always are JSON.
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = Response::new(B::from(body));
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.status_mut() = status;
        if self.denial_recorded {
            response.extensions_mut().insert(DenialRecorded);
        }
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6750, 3.1: no error where there was no token.
            let challenge = match self.code.as_str() {
                UNAUTHENTICATED => "Bearer",
                _ => r#"Bearer error="invalid_token""#,
            };
            let challenge = HeaderValue::from_static(challenge);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// The problem of an error; one of ours is logged.
    pub(crate) fn logged(error: &Error) -> Self {
        let problem = Self::from(error);
        if problem.status >= 500 {
            tracing::error!(%error, code = error.code(), "a request failed");
        }
        problem
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let status = status_of(error.kind());
        // What went wrong inside is for the log, not for the client.
        let detail = match status {
            StatusCode::INTERNAL_SERVER_ERROR => "something went wrong on our side".to_owned(),
            _ => error.to_string(),
        };
        let mut problem = Self::new(status, error.code(), detail);
        problem.denial_recorded = error.is_on_record();
        let may_wait = matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        match error.retry() {
            Retry::After(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                problem.with_retry_after(seconds.max(1))
            }
            Retry::Never => problem,
            _ if may_wait => problem.with_retry_after(1),
            _ => problem,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

/// The code of a request that carries no login.
pub(super) const UNAUTHENTICATED: &str = "unauthenticated";

/// Nobody is logged in.
pub(super) fn no_login() -> Error {
    Error::new(ErrorKind::Unauthenticated, UNAUTHENTICATED, "log in first")
}

#[cfg(feature = "axum")]
pub(super) fn unauthenticated() -> Problem {
    Problem::from(no_login())
}

fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::NotAMember | ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Suspended => StatusCode::LOCKED,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Limit => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::CommitOutcomeUnknown | ErrorKind::Misconfigured | ErrorKind::Internal => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
