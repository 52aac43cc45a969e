//! What has to hold for any bytes that come in: for the fuzz targets in `fuzz/` and for property
//! tests. Each function panics where a promise is broken.

use crate::{Email, InvalidInput, RequestHead, Slug, TenantName, Traceparent, model::KeyText};

/// The longest message that repeats input; see [`InvalidInput::quote`].
const MAX_MESSAGE: usize = 1_024;

fn refused(invalid: &InvalidInput) {
    let shown = invalid.to_string();
    assert!(shown.len() <= MAX_MESSAGE, "a message is bounded");
    assert!(
        !shown.chars().any(char::is_control),
        "a message is one line"
    );
    assert!(!invalid.code().is_empty());
}

/// Slugs.
pub fn slug(text: &str) {
    match Slug::parse(text) {
        Ok(slug) => {
            assert_eq!(slug.as_str(), text);
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(text.len() >= 3 && text.len() <= 63 && text.bytes().all(allowed));
            assert!(text.parse::<uuid::Uuid>().is_err(), "a slug is no id");
        }
        Err(invalid) => refused(&invalid),
    }
}

/// Names of tenants and of keys.
pub fn name(text: &str) {
    match TenantName::parse(text) {
        Ok(name) => {
            let hidden = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!name.as_str().chars().any(hidden));
            assert!((1..=200).contains(&name.as_str().chars().count()));
            assert_eq!(TenantName::parse(name.as_str()).as_ref(), Ok(&name));
        }
        Err(invalid) => refused(&invalid),
    }
}

/// E-mail addresses.
pub fn email(text: &str) {
    match Email::parse(text) {
        Ok(email) => {
            assert!(email.as_typed().len() <= 254);
            assert!(email.as_typed().bytes().all(|b| b.is_ascii_graphic()));
            let again = Email::parse(email.normalised());
            assert_eq!(
                again.as_ref().map(Email::normalised),
                Ok(email.normalised())
            );
        }
        Err(invalid) => refused(&invalid),
    }
}

/// Ids, which are also what pages continue from.
pub fn cursor(text: &str) {
    match text.parse::<crate::UserId>() {
        Ok(id) => assert_eq!(id.to_string().parse(), Ok(id)),
        Err(invalid) => refused(&invalid),
    }
}

/// Keys of permissions and roles.
pub fn key(text: &str) {
    if let Err(invalid) = crate::PermissionKey::parse(text) {
        refused(&invalid);
    }
    if let Err(invalid) = crate::RoleKey::parse(text) {
        refused(&invalid);
    }
}

/// The header `traceparent`.
pub fn traceparent(text: &str) {
    match text.parse::<Traceparent>() {
        Ok(trace) => {
            let shown = trace.to_string();
            assert_eq!(shown.len(), 55);
            assert_eq!(shown.parse(), Ok(trace));
            assert_eq!(shown.get(3..35), text.get(3..35));
        }
        Err(invalid) => refused(&invalid),
    }
}

/// The header `Authorization`.
pub fn bearer(value: &str) {
    let header = ("authorization".to_owned(), value.to_owned());
    let head = RequestHead::new("GET", "/", vec![header]);
    if let Some(token) = head.bearer() {
        assert!(value.contains(token));
        assert!(token.len() < 12 || !format!("{head:?}").contains(token));
    }
}

/// API keys: what is read is a key, whole.
pub fn api_key(text: &str) {
    if let Some(key) = KeyText::parse(text) {
        assert!(text.starts_with("tk_") && text.is_ascii() && text.len() < 90);
        assert!(!format!("{key:?}").contains(text));
        assert_eq!(key.into_secret().expose(), text);
    }
}

/// The header `Host`.
#[cfg(feature = "http")]
pub fn host(authority: &str) {
    use crate::http::host::subdomain;

    if let Some(label) = subdomain(authority, "example.com") {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(!label.is_empty() && label.len() <= 63 && label.bytes().all(allowed));
        let again = subdomain(&format!("{label}.example.com"), "example.com");
        assert_eq!(again.as_ref(), Some(&label));
    }
}

/// Signed tokens, with a set of keys that did not sign them.
#[cfg(feature = "jwt")]
pub fn jwt(token: &str) {
    assert!(!crate::adapter::jwt_opens(token), "nobody signed this");
}

/// Sets of keys, as an issuer publishes them.
#[cfg(feature = "jwt")]
pub fn jwks(document: &[u8]) {
    crate::adapter::jwks_parses(document);
}
