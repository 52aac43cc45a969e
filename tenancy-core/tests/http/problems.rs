//! Errors as a client sees them.

use std::time::Duration;

use http::Response;
use tenancy_core::{Error, ErrorKind, PermissionKey, Retry, http::Problem};

fn answered(error: Error) -> Response<String> {
    Problem::from(error).respond()
}

fn header(response: &Response<String>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

#[test]
fn a_problem_has_every_member_of_the_standard_and_a_code() {
    let error = Error::new(
        ErrorKind::Conflict,
        "slug_taken",
        "the slug `acme` is taken",
    );
    let response = answered(error);
    assert_eq!(
        response.body(),
        r#"{"type":"about:blank","title":"Conflict","status":409,"code":"slug_taken","detail":"the slug `acme` is taken"}"#
    );
    assert_eq!(
        header(&response, "content-type").as_deref(),
        Some("application/problem+json")
    );
    assert_eq!(
        header(&response, "cache-control").as_deref(),
        Some("no-store")
    );
}

#[test]
fn every_kind_has_its_status_and_what_is_inside_stays_inside() {
    for (kind, status) in [
        (ErrorKind::InvalidInput, 400),
        (ErrorKind::Unauthenticated, 401),
        (ErrorKind::Denied, 403),
        (ErrorKind::NotAMember, 404),
        (ErrorKind::NotFound, 404),
        (ErrorKind::Conflict, 409),
        (ErrorKind::Suspended, 423),
        (ErrorKind::Limit, 429),
        (ErrorKind::Internal, 500),
        (ErrorKind::Misconfigured, 500),
        (ErrorKind::CommitOutcomeUnknown, 500),
        (ErrorKind::Unavailable, 503),
    ] {
        let response = answered(Error::new(kind, "a_code", "table tenancy.secret_stuff"));
        assert_eq!(response.status().as_u16(), status, "{kind:?}");
        assert_eq!(
            response.body().contains("secret_stuff"),
            status != 500,
            "{kind:?}"
        );
        assert!(response.body().contains(r#""code":"a_code""#));
    }
}

#[test]
fn retry_after_stands_where_waiting_helps() {
    let unavailable = |retry| Error::new(ErrorKind::Unavailable, "x", "x").with_retry(retry);
    let limit = |retry| Error::new(ErrorKind::Limit, "x", "x").with_retry(retry);
    for (error, seconds) in [
        (unavailable(Retry::Backoff), Some("1")),
        (unavailable(Retry::Never), None),
        (
            unavailable(Retry::After(Duration::from_millis(1_200))),
            Some("2"),
        ),
        (limit(Retry::Never), None),
        (limit(Retry::Backoff), Some("1")),
        (limit(Retry::After(Duration::ZERO)), Some("1")),
        (
            Error::new(ErrorKind::Conflict, "x", "x").with_retry(Retry::Backoff),
            None,
        ),
    ] {
        let shown = format!("{error:?}");
        assert_eq!(
            header(&answered(error), "retry-after").as_deref(),
            seconds,
            "{shown}"
        );
    }
}

#[test]
fn a_challenge_says_whether_there_was_a_token() {
    let refused = |code| {
        header(
            &answered(Error::new(ErrorKind::Unauthenticated, code, "x")),
            "www-authenticate",
        )
    };
    assert_eq!(refused("unauthenticated").as_deref(), Some("Bearer"));
    assert_eq!(
        refused("token_expired").as_deref(),
        Some(r#"Bearer error="invalid_token""#)
    );
    let denied = answered(Error::denied(&PermissionKey::from_static("a.b")));
    assert_eq!(header(&denied, "www-authenticate"), None);
}
