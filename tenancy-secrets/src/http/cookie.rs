//! The cookie that ties a flow to a browser.

use http::{HeaderMap, HeaderValue, header};
use tenancy_core::SecretText;
use url::Url;

/// As long as a state lives.
const MAX_AGE: u32 = 600;

/// One cookie a flow, so that two tabs don't take each other's.
fn name(public_url: &Url, flow: &str) -> String {
    // The prefix makes browsers refuse a cookie that a sibling host or plain HTTP planted.
    let prefix = if public_url.scheme() == "https" {
        "__Host-"
    } else {
        ""
    };
    format!("{prefix}tenancy_oauth_{flow}")
}

fn attributes(public_url: &Url) -> &'static str {
    match public_url.scheme() {
        "https" => "Path=/; HttpOnly; SameSite=Lax; Secure",
        _ => "Path=/; HttpOnly; SameSite=Lax",
    }
}

/// The header that sets the secret.
pub(super) fn set(public_url: &Url, flow: &str, secret: &SecretText) -> Option<HeaderValue> {
    let (name, attributes) = (name(public_url, flow), attributes(public_url));
    let text = format!(
        "{name}={}; Max-Age={MAX_AGE}; {attributes}",
        secret.expose()
    );
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The header that takes it away again.
pub(super) fn clear(public_url: &Url, flow: &str) -> Option<HeaderValue> {
    let (name, attributes) = (name(public_url, flow), attributes(public_url));
    HeaderValue::try_from(format!("{name}=; Max-Age=0; {attributes}")).ok()
}

/// The secret that the browser brought back.
pub(super) fn read(headers: &HeaderMap, public_url: &Url, flow: &str) -> Option<SecretText> {
    let name = name(public_url, flow);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| SecretText::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_brings_back_what_it_was_given_for_this_flow() {
        let url: Url = "https://app.example".parse().unwrap();
        let set = set(&url, "f1", &SecretText::new("s3cr3t")).unwrap();
        let text = set.to_str().unwrap();
        assert!(text.starts_with("__Host-tenancy_oauth_f1=s3cr3t; "));
        for attribute in [
            "HttpOnly",
            "SameSite=Lax",
            "Secure",
            "Path=/",
            "Max-Age=600",
        ] {
            assert!(text.contains(attribute), "{attribute}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            "a=b; __Host-tenancy_oauth_f1=s3cr3t; c=d".parse().unwrap(),
        );
        assert_eq!(read(&headers, &url, "f1").unwrap().expose(), "s3cr3t");
        assert!(read(&headers, &url, "f2").is_none());
    }
}
