//! The route of a request, and its path as it may be kept.

use http::request::Parts;
use tenancy_core::Target;

/// What an identifier in a path is allowed to look like; anything longer may be a token.
#[cfg(feature = "axum")]
const MAX_PARAMETER: usize = 24;

#[derive(Debug, Default)]
pub(super) struct Route {
    template: Option<String>,
    path: Option<String>,
}

impl Route {
    pub(super) fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// The path, for requests whose handler names no target.
    pub(super) fn target(&self) -> Option<Target> {
        self.path.as_ref().map(|path| Target::new("path", path))
    }
}

/// A route of which the template is known alone.
pub(super) fn named(template: Option<String>) -> Route {
    let path = template.clone();
    Route { template, path }
}

/// Without axum nobody has left a route.
#[cfg(not(feature = "axum"))]
#[expect(clippy::unused_async, reason = "with axum its extractors are asked")]
pub(super) async fn of(_: &mut Parts) -> Route {
    Route::default()
}

/// The matched route with its parameters; nothing where no router has matched yet.
#[cfg(feature = "axum")]
pub(super) async fn of(parts: &mut Parts) -> Route {
    use axum::extract::{FromRequestParts as _, MatchedPath, RawPathParams};

    let matched = parts
        .extensions
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let Some(template) = matched else {
        return Route::default();
    };
    let params = RawPathParams::from_request_parts(parts, &()).await.ok();
    let value = |name: &str| {
        let params = params.as_ref()?;
        params
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let path = filled(&template, value);
    Route {
        template: Some(template),
        path: Some(path),
    }
}

/// The template with the parameters that are plain identifiers filled in.
#[cfg(feature = "axum")]
fn filled<'a>(template: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let segment = |segment: &str| {
        let name = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        // The rest of a path is no identifier.
        match name
            .filter(|name| !name.starts_with('*'))
            .and_then(|name| value(name).map(|value| (name, value)))
        {
            Some((name, value)) if is_identifier(name, value) => value.to_owned(),
            _ => segment.to_owned(),
        }
    };
    template
        .split('/')
        .map(segment)
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(feature = "axum")]
fn is_identifier(name: &str, value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let short = value.len() <= MAX_PARAMETER && value.bytes().all(plain);
    (short || uuid::Uuid::try_parse(value).is_ok())
        && !crate::Redaction::new().hides(name, &serde_json::Value::from(value))
        && name != "code"
        && !name.contains("token")
}

#[cfg(all(test, feature = "axum"))]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_filled_in_and_what_may_be_a_secret_is_not() {
        let uuid = "018f0000-0000-7000-8000-000000000001";
        for (template, value, path) in [
            ("/a/{id}/b", "7", "/a/7/b"),
            ("/a/{id}", uuid, "/a/018f0000-0000-7000-8000-000000000001"),
            ("/a/{slug}", "welcome-mail", "/a/welcome-mail"),
            ("/a/{id}", "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA", "/a/{id}"),
            ("/a/{token}/accept", "abc", "/a/{token}/accept"),
            ("/cb/{code}", "123456", "/cb/{code}"),
            ("/a/{api_key}", "abc", "/a/{api_key}"),
            ("/a/{id}", "a b", "/a/{id}"),
            ("/files/{*rest}", "x", "/files/{*rest}"),
            ("/plain", "x", "/plain"),
        ] {
            assert_eq!(
                filled(template, |_| Some(value)),
                path,
                "{template} {value}"
            );
        }
    }
}
