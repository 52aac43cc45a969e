//! Errors as problem details (RFC 9457).

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{Error, ErrorKind, Retry};

/// Marks a response whose denial is on record already, so that a layer that records requests does
/// not record it again. Found in the response's extensions.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DenialRecorded;

/// An error as a client sees it: `application/problem+json` with a stable `code`.
///
/// ```
/// use tenancy_core::{Error, PermissionKey, http::Problem};
///
/// let error = Error::denied(&PermissionKey::from_static("templates.read"));
/// assert_eq!(Problem::from(&error).status(), 403);
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: String,
    detail: String,
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
        match (status, error.retry()) {
            (_, Retry::After(wait)) => problem.with_retry_after(wait.as_secs().max(1)),
            (StatusCode::SERVICE_UNAVAILABLE, _) => problem.with_retry_after(1),
            _ => problem,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (retry_after, denial_recorded) = (self.retry_after, self.denial_recorded);
        let mut response = (status, Json(self)).into_response();
        if denial_recorded {
            response.extensions_mut().insert(DenialRecorded);
        }
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = Problem::from(&self);
        if problem.status >= 500 {
            tracing::error!(error = %self, code = self.code(), "a request failed");
        }
        problem.into_response()
    }
}
