//! What a request was answered with, and what that says of the guard.

use axum::response::Response;
use http::{StatusCode, header::ACCESS_CONTROL_ALLOW_METHODS};
use tenancy_core::http::DenialRecorded;

use super::Guard;
use crate::http::OpenTo;

/// The status of gRPC for a missing permission.
const PERMISSION_DENIED: &[u8] = b"7";

/// The answer to one request.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Nothing, if the handler panicked.
    status: Option<u16>,
    /// What was asked for and denied.
    asked: Vec<String>,
    /// Whether the answer is that of a denial.
    denies: bool,
    open: Option<OpenTo>,
    is_preflight: bool,
}

impl Answer {
    pub(super) fn new(asked: Vec<String>, response: Option<&Response>) -> Self {
        let Some(response) = response else {
            return Self {
                asked,
                ..Self::default()
            };
        };
        let status = response.status();
        let told = response.extensions().get::<DenialRecorded>().is_some();
        let grpc = response.headers().get("grpc-status");
        Self {
            status: Some(status.as_u16()),
            asked,
            denies: told && status.is_client_error()
                || status == StatusCode::FORBIDDEN
                || grpc.is_some_and(|code| code.as_bytes() == PERMISSION_DENIED),
            open: response.extensions().get::<OpenTo>().copied(),
            is_preflight: response
                .headers()
                .contains_key(ACCESS_CONTROL_ALLOW_METHODS),
        }
    }

    /// What it says of the guard.
    fn verdict(&self) -> Guard {
        let (asked, status) = (self.asked.clone(), self.status);
        match (asked.is_empty(), self.open) {
            (false, _) if self.denies => Guard::Permissions(asked),
            (_, Some(OpenTo::Everybody)) => Guard::Public,
            (_, Some(OpenTo::Members)) => Guard::MembersOnly,
            (false, None) => Guard::Ignored { asked, status },
            (true, None) => Guard::None { status },
        }
    }

    /// Whether the request was refused as such, so that a guard may stand behind what refused it.
    fn is_refused(&self) -> bool {
        let is_mute = self.asked.is_empty() && self.open.is_none();
        is_mute
            && self
                .status
                .is_some_and(|status| (400..500).contains(&status))
    }
}

/// The answers to all requests that a handler was asked with by one method.
#[derive(Debug, Default)]
pub(super) struct Answered(pub(super) Vec<Answer>);

impl Answered {
    /// The weakest guard among the answers. A request that was refused for what it is says nothing
    /// of the guard, unless there is no other.
    pub(super) fn guard(&self) -> Guard {
        let told = self.0.iter().filter(|answer| !answer.is_refused());
        let weakest = told.map(Answer::verdict).min_by_key(strength);
        weakest.unwrap_or_else(|| Guard::None {
            status: self.0.iter().find_map(|answer| answer.status),
        })
    }

    /// Whether nothing is behind this method.
    pub(super) fn is_no_route(&self) -> bool {
        let not_taken = |answer: &Answer| {
            let refused = answer.status == Some(StatusCode::METHOD_NOT_ALLOWED.as_u16());
            answer.asked.is_empty() && answer.open.is_none() && (refused || answer.is_preflight)
        };
        self.0.iter().all(not_taken)
    }
}

fn strength(guard: &Guard) -> u8 {
    match guard {
        Guard::None { .. } => 0,
        Guard::Ignored { .. } => 1,
        Guard::Public => 2,
        Guard::MembersOnly => 3,
        Guard::Permissions(_) => 4,
    }
}
