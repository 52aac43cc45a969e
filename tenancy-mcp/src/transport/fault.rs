//! What the SDK's errors prove.

use std::{error::Error as StdError, time::Duration};

use chrono::Utc;
use rmcp::{
    ErrorData, ServiceError,
    model::ErrorCode,
    service::ClientInitializeError,
    transport::streamable_http_client::{HttpStatusError, StreamableHttpError},
};

use crate::{CallFault, FaultKind, Sent};

/// A call that failed after it was handed to the transport.
pub(super) fn of_call(error: &ServiceError) -> CallFault {
    match error {
        ServiceError::McpError(data) => of_protocol(data),
        ServiceError::TransportSend(error) => of_transport(error.error.as_ref()),
        ServiceError::TransportClosed => CallFault::maybe_sent(FaultKind::Closed, CLOSED),
        ServiceError::Timeout { .. } => CallFault::maybe_sent(FaultKind::Timeout, LATE),
        ServiceError::Cancelled { .. } => {
            CallFault::maybe_sent(FaultKind::Server, "the server cancelled the call")
        }
        _ => {
            let message = "the server's answer is none that the protocol allows";
            CallFault::maybe_sent(FaultKind::Protocol, message)
        }
    }
}

/// Connecting failed: no call was made.
pub(super) fn of_connecting(error: &ClientInitializeError) -> CallFault {
    let fault = match error {
        ClientInitializeError::TransportError { error, .. } => of_transport(error.error.as_ref()),
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => of_connecting(fallback),
        ClientInitializeError::JsonRpcError(data) => of_protocol(data),
        ClientInitializeError::ConnectionClosed(_) => {
            let message = "the server ended the connection while connecting";
            CallFault::unsent(FaultKind::Unreachable, message)
        }
        _ => {
            let message = "no revision of the protocol was agreed on";
            CallFault::unsent(FaultKind::Protocol, message)
        }
    };
    CallFault {
        sent: Sent::No,
        ..fault
    }
}

/// An error of the protocol itself, not of a tool.
fn of_protocol(data: &ErrorData) -> CallFault {
    let text: String = data.message.chars().take(200).collect();
    let message = format!("the server answered with error {}: {text}", data.code.0);
    match data.code {
        // The server names the call itself as wrong: it had nothing to run.
        ErrorCode::METHOD_NOT_FOUND | ErrorCode::INVALID_PARAMS => {
            CallFault::unsent(FaultKind::Rejected, message)
        }
        ErrorCode(-32022..=-32020) => CallFault::maybe_sent(FaultKind::TurnedAway, message),
        _ => CallFault::maybe_sent(FaultKind::Server, message),
    }
}

/// Looks for an error that is known, from the outside in.
fn of_transport(error: &(dyn StdError + 'static)) -> CallFault {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(http) = current.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
            return of_http(http);
        }
        cause = current.source();
    }
    CallFault::maybe_sent(FaultKind::Closed, CLOSED)
}

fn of_http(error: &StreamableHttpError<reqwest::Error>) -> CallFault {
    use StreamableHttpError as Http;
    match error {
        Http::AuthRequired(_) | Http::InsufficientScope(_) => unauthorized(),
        Http::UnexpectedServerResponse(text) if text.starts_with("HTTP 401") => unauthorized(),
        Http::UnexpectedServerResponse(text) if text.starts_with("HTTP 403") => unauthorized(),
        Http::SessionExpired => {
            CallFault::unsent(FaultKind::SessionExpired, "the server forgot the session")
        }
        Http::HttpStatus(status) => of_status(status),
        Http::Client(error) if error.is_connect() || error.is_builder() => {
            CallFault::unsent(FaultKind::Unreachable, "the server can't be reached")
        }
        Http::Client(error) if error.is_timeout() => {
            CallFault::maybe_sent(FaultKind::Timeout, LATE)
        }
        Http::ResponseBodyTooLarge { max_size } => {
            let message = format!("the server's answer is over {max_size} bytes");
            CallFault::maybe_sent(FaultKind::Protocol, message)
        }
        Http::UnexpectedServerResponse(_)
        | Http::UnexpectedContentType(_)
        | Http::Deserialize(_) => {
            let message = "the server's answer is none that the protocol allows";
            CallFault::maybe_sent(FaultKind::Protocol, message)
        }
        _ => CallFault::maybe_sent(FaultKind::Closed, CLOSED),
    }
}

fn of_status(error: &HttpStatusError) -> CallFault {
    let retry_after = error.retry_after.as_deref().and_then(wait);
    let message = format!("the server answered with HTTP {}", error.status);
    let kind = match error.status {
        429 => FaultKind::TurnedAway,
        503 if retry_after.is_some() => FaultKind::TurnedAway,
        _ => FaultKind::Server,
    };
    CallFault::maybe_sent(kind, message).with_retry_after(retry_after)
}

fn unauthorized() -> CallFault {
    CallFault::unsent(
        FaultKind::Unauthorized,
        "the server does not take the credential",
    )
}

/// Reads `Retry-After` (RFC 9110): seconds or a date, an hour at most.
fn wait(header: &str) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_hours(1);
    let text = header.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
        let left = date.signed_duration_since(Utc::now());
        left.to_std().unwrap_or_default()
    };
    Some(wait.min(LONGEST))
}

const CLOSED: &str = "the connection ended before the answer";
const LATE: &str = "the server did not answer in time";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_wish_is_read_as_seconds_or_as_a_date() {
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("999999999"), Some(Duration::from_hours(1)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn only_a_few_errors_prove_that_nothing_was_done() {
        let protocol = |code| of_protocol(&ErrorData::new(ErrorCode(code), "x", None));
        assert_eq!(protocol(-32602).sent, Sent::No);
        assert_eq!(protocol(-32601).sent, Sent::No);
        assert_eq!(protocol(-32603).sent, Sent::Maybe);
        assert_eq!(protocol(-32020).kind, FaultKind::TurnedAway);
        let status = |code, after: Option<&str>| {
            of_status(&HttpStatusError::new(code, after.map(ToOwned::to_owned)))
        };
        assert_eq!(status(503, None).kind, FaultKind::Server);
        assert_eq!(status(503, Some("2")).kind, FaultKind::TurnedAway);
        assert_eq!(status(429, None).sent, Sent::Maybe);
    }
}
