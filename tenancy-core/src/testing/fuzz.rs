//! What has to hold for any bytes that come in: for the fuzz targets in `fuzz/` and for property
//! tests. Each function panics where a promise is broken.

use crate::{
    Email, HoldReference, InvalidInput, KeyEnvironment, Reason, RequestHead, SettingKey, Slug,
    Subject, TenantName, Traceparent, model::KeyText,
};

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
            assert!(!name.as_str().chars().any(hidden));
            assert!((1..=200).contains(&name.as_str().chars().count()));
            assert_eq!(TenantName::parse(name.as_str()).as_ref(), Ok(&name));
        }
        Err(invalid) => refused(&invalid),
    }
}

/// NUL and its kin, zero-width characters, and what turns the direction of reading.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Why something is done, and under which case.
pub fn reason(text: &str) {
    let (reason, hold) = (Reason::parse(text), HoldReference::parse(text));
    let shown = [
        reason.as_ref().map(|reason| (reason.as_str(), 500)),
        hold.as_ref().map(|hold| (hold.as_str(), 200)),
    ];
    for read in shown {
        match read {
            Ok((shown, most)) => {
                assert!(!shown.chars().any(hidden) && shown.trim() == shown);
                assert!((1..=most).contains(&shown.chars().count()));
            }
            Err(invalid) => refused(invalid),
        }
    }
}

/// Names of persons whose data can be erased, which no message repeats.
pub fn subject(text: &str) {
    if let Err(invalid) = Subject::parse(text) {
        refused(&invalid);
        assert!(text.len() < 8 || !invalid.to_string().contains(text));
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

/// Keys of permissions, roles and settings, and where a key is good.
pub fn key(text: &str) {
    if let Err(invalid) = SettingKey::parse(text) {
        refused(&invalid);
    }
    if let Err(invalid) = KeyEnvironment::parse(text) {
        refused(&invalid);
    }
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
    let head = |value: &str| {
        let header = ("authorization".to_owned(), value.to_owned());
        RequestHead::new("GET", "/", vec![header])
    };
    let request = head(value);
    assert!(request.bearer().is_none_or(|token| value.contains(token)));
    // Whatever it is, it is not shown.
    assert_eq!(format!("{request:?}"), format!("{:?}", head("")));
}

/// What answers an invitation.
pub fn invitation(token: &str) {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let is_token = token.len() == 64 && token.bytes().all(digit);
    assert_eq!(crate::service::invitation_hash(token).is_some(), is_token);
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

/// A whole request: its target, and below that lines `name: value`.
#[cfg(feature = "http")]
pub fn request(text: &str) {
    let Some(read) = crate::http::fuzz::read(text) else {
        return;
    };
    // Whatever came in, what goes on is valid.
    let id = read.request_id.map(|id| id.parse::<crate::RequestId>());
    assert!(matches!(id, Some(Ok(_))));
    let trace = read.traceparent.map(|trace| trace.parse::<Traceparent>());
    assert!(matches!(trace, Some(Ok(_))));
    if let Some(authority) = read.host {
        host(&authority);
    }
    assert!(read.segment.is_none_or(|segment| !segment.contains('/')));
}

/// Signed tokens, with a set of keys that did not sign them.
#[cfg(feature = "jwt")]
pub fn jwt(token: &str) {
    assert!(!crate::adapter::jwt_opens(token), "nobody signed this");
}

/// What stands in a signed token, as header and as claims.
#[cfg(feature = "jwt")]
pub fn jwt_part(part: &[u8]) {
    assert!(!crate::adapter::jwt_opens_with(part), "nobody signed this");
}

/// Sets of keys, as an issuer publishes them.
#[cfg(feature = "jwt")]
pub fn jwks(document: &[u8]) {
    crate::adapter::jwks_parses(document);
}

/// A message to a receiver of webhooks: id, time and signatures on a line each, and the body behind.
#[cfg(feature = "webhooks")]
pub fn webhook(text: &str) {
    use crate::{WebhookKeys, WebhookSecret};

    if let Ok(secret) = WebhookSecret::parse(text) {
        assert!(!format!("{secret:?}").contains(text));
    }
    let Ok(secret) = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") else {
        return;
    };
    let mut lines = text.splitn(4, '\n');
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers = names.map(|name| (name, lines.next()));
    let header = |asked: &str| headers.iter().find(|(name, _)| *name == asked)?.1;
    let body = lines.next().unwrap_or_default();
    let verified = WebhookKeys::new(secret).verify(header, body.as_bytes());
    assert!(verified.is_err(), "nobody signed this");
}
