//! How long a response is, as far as its head says.

use http::{HeaderMap, Method, StatusCode, header::CONTENT_LENGTH};

/// Whether a response has a body at all (RFC 9110, 6.4.1): servers drop one that it can't have.
pub(super) fn has_body(method: &Method, status: StatusCode) -> bool {
    let is_tunnel = *method == Method::CONNECT && status.is_success();
    let is_bare = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    !(is_tunnel || is_bare || status.is_informational())
}

/// The bytes that `Content-Length` promises. Of several values that differ, or one that is no number, a server
/// makes no response.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let first = values.next()?;
    // A parsed number may have a sign.
    let is_digits = first.as_bytes().iter().all(u8::is_ascii_digit);
    if !is_digits || values.any(|other| other != first) {
        return None;
    }
    first.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_length_is_digits_and_only_one() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_LENGTH, HeaderValue::from_str(value).unwrap());
            }
            announced(&headers)
        };
        assert_eq!(of(&["0"]), Some(0));
        assert_eq!(of(&["12", "12"]), Some(12));
        for none in [
            &[][..],
            &[""],
            &["+1"],
            &["-1"],
            &["1", "2"],
            &["1, 1"],
            &["99999999999999999999"],
        ] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn some_responses_have_no_body() {
        for (method, status, has) in [
            (Method::POST, 200, true),
            (Method::POST, 101, false),
            (Method::PUT, 204, false),
            (Method::PATCH, 304, false),
            (Method::CONNECT, 200, false),
            (Method::CONNECT, 403, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(has_body(&method, status), has, "{method} {status}");
        }
    }
}
