//! The route of a request, and its path as it may be kept.

use http::request::Parts;
use tenancy_core::Target;

/// The longest identifier of a parameter that a host names, which is a KSUID's; anything longer may be a token.
#[cfg(feature = "axum")]
const MAX_PARAMETER: usize = 27;
/// The digits of a number that is filled in unasked: telephone numbers and those of persons are longer.
#[cfg(feature = "axum")]
const MAX_DIGITS: usize = 6;

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
pub(super) async fn of(_: &mut Parts, _: &[String]) -> Route {
    Route::default()
}

/// The matched route with its parameters, those that the host names among them; nothing where no router has
/// matched yet.
#[cfg(feature = "axum")]
pub(super) async fn of(parts: &mut Parts, named: &[String]) -> Route {
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
    let path = filled(&template, named, value);
    Route {
        template: Some(template),
        path: Some(path),
    }
}

/// The template with those parameters filled in that may stay in a log for good: targets are not erased with a
/// person.
#[cfg(feature = "axum")]
fn filled<'a>(template: &str, named: &[String], value: impl Fn(&str) -> Option<&'a str>) -> String {
    let segment = |segment: &str| {
        let name = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        // The rest of a path is no identifier.
        match name
            .filter(|name| !name.starts_with('*'))
            .and_then(|name| value(name).map(|value| (name, value)))
        {
            Some((name, value)) if !may_be_secret(name, value) => {
                let is_named = named.iter().any(|one| one == name);
                let stays = is_row(value) || (is_named && is_identifier(value));
                (if stays { value } else { segment }).to_owned()
            }
            _ => segment.to_owned(),
        }
    };
    template
        .split('/')
        .map(segment)
        .collect::<Vec<_>>()
        .join("/")
}

/// What identifies a row and nobody without the table: a UUID with its hyphens, since without them it looks as
/// keys do, or a small number.
#[cfg(feature = "axum")]
fn is_row(value: &str) -> bool {
    let is_uuid = value.len() == 36 && uuid::Uuid::try_parse(value).is_ok();
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    is_uuid || (is_number && value.len() <= MAX_DIGITS)
}

#[cfg(feature = "axum")]
fn is_identifier(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_short = value.len() <= MAX_PARAMETER && value.bytes().all(plain);
    is_short || uuid::Uuid::try_parse(value).is_ok()
}

#[cfg(feature = "axum")]
fn may_be_secret(name: &str, value: &str) -> bool {
    crate::Redaction::new().hides(name, &serde_json::Value::from(value))
        || name == "code"
        || name.contains("token")
}

#[cfg(all(test, feature = "axum"))]
mod tests {
    use super::*;

    const UUID: &str = "018f0000-0000-7000-8000-000000000001";

    fn path(template: &str, named: &[&str], value: &str) -> String {
        let named: Vec<String> = named.iter().map(ToString::to_string).collect();
        filled(template, &named, |_| Some(value))
    }

    #[test]
    fn what_identifies_a_row_is_filled_in_and_what_may_be_a_person_or_a_secret_is_not() {
        for (template, value) in [
            ("/a/{id}/b", "7"),
            ("/a/{id}/b", "999999"),
            ("/{x}/b", UUID),
        ] {
            let name = if template.contains("{x}") {
                "{x}"
            } else {
                "{id}"
            };
            assert_eq!(path(template, &[], value), template.replace(name, value));
        }
        for (template, value) in [
            ("/users/{name}", "annsmith"),
            ("/users/{id}", "ann.smith"),
            ("/users/{email}", "ann@example.com"),
            ("/phones/{number}", "4917012345678"),
            ("/phones/{number}", "5550123"),
            ("/persons/{id}", "0101701234"),
            ("/a/{id}", "018f000000007000800000000000000a"),
            ("/a/{id}", "-7"),
            ("/a/{id}", ""),
            ("/a/{token}/accept", "7"),
            ("/a/{reset_token}", UUID),
            ("/cb/{code}", "123456"),
            ("/a/{pin}", "1234"),
            ("/files/{*rest}", "7"),
            ("/plain", "7"),
        ] {
            assert_eq!(path(template, &[], value), template, "{value}");
        }
    }

    #[test]
    fn a_parameter_that_the_host_names_takes_any_identifier_and_no_secret() {
        let named = &["slug", "token", "api_key", "*rest"];
        for (template, value, filled) in [
            ("/a/{slug}/{id}", "welcome-mail", "/a/welcome-mail/{id}"),
            ("/a/{slug}", "4917012345678", "/a/4917012345678"),
            (
                "/a/{slug}",
                "01ARZ3NDEKTSV4RRFFQ69G5FAV",
                "/a/01ARZ3NDEKTSV4RRFFQ69G5FAV",
            ),
            ("/a/{slug}", "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA", "/a/{slug}"),
            ("/a/{slug}", "a b", "/a/{slug}"),
            ("/a/{token}/accept", "abc", "/a/{token}/accept"),
            ("/a/{api_key}", "abc", "/a/{api_key}"),
            ("/files/{*rest}", "x", "/files/{*rest}"),
        ] {
            assert_eq!(path(template, named, value), filled, "{value}");
        }
    }
}
