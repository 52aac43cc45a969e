//! What providers answer, brought into one form.

use std::time::Duration;

use serde_json::{Map, Value};
use tenancy_core::SecretText;

use super::provider::Provider;

/// Tokens that a provider gave out.
pub(crate) struct Tokens {
    pub(crate) access: SecretText,
    pub(crate) refresh: Option<SecretText>,
    pub(crate) expires_in: Option<Duration>,
    /// `None` where the answer does not say: what was asked for.
    pub(crate) scopes: Option<Vec<String>>,
    /// The answer without its tokens, for the account's identity.
    pub(crate) rest: Value,
}

/// Why a token call brought none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TokenFailure {
    /// The grant is dead: `invalid_grant`.
    Grant,
    /// The client is not set up as it has to be: `invalid_client` and its kin.
    Client(&'static str),
    /// The provider can't have seen the request.
    NotSent,
    /// The provider is there and refuses for now: 429, 5xx.
    Busy(Option<u64>),
    /// Nobody knows what the provider did: a time-out, an answer that makes no sense.
    Unknown,
}

impl TokenFailure {
    /// Stable text for a connection's reason and audit entries.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "invalid_grant",
            Self::Client(code) => code,
            Self::NotSent => "provider_not_reached",
            Self::Busy(_) => "provider_busy",
            Self::Unknown => "provider_no_answer",
        }
    }
}

/// Reads an OAuth error code. Codes that are no standard's are folded into one, so that nothing a
/// provider writes gets into rows and logs.
pub(crate) fn failure_of(code: &str) -> TokenFailure {
    match code {
        "invalid_grant" | "bad_refresh_token" | "token_revoked" | "invalid_refresh_token" => {
            TokenFailure::Grant
        }
        "invalid_client" | "bad_client_secret" | "incorrect_client_credentials" => {
            TokenFailure::Client("invalid_client")
        }
        "unauthorized_client" => TokenFailure::Client("unauthorized_client"),
        "invalid_scope" => TokenFailure::Client("invalid_scope"),
        "unsupported_grant_type" => TokenFailure::Client("unsupported_grant_type"),
        "temporarily_unavailable" | "server_error" | "slow_down" | "ratelimited" => {
            TokenFailure::Busy(None)
        }
        _ => TokenFailure::Client("invalid_request"),
    }
}

/// Makes an answer one that the standard's parser understands: tokens at the top, a number for
/// `expires_in`, spaces between scopes, a status that says what the body says. Answers the status
/// and the body; a body that is no JSON object stays as it is.
pub(crate) fn normalise(provider: &Provider, status: u16, body: &[u8]) -> (u16, Vec<u8>) {
    let Ok(Value::Object(mut answer)) = serde_json::from_slice(body) else {
        return (status, body.to_vec());
    };
    let refused = answer.get("error").is_some_and(Value::is_string)
        || answer.get("ok") == Some(&Value::Bool(false));
    if refused || !(200..300).contains(&status) {
        let status = if (200..300).contains(&status) {
            400
        } else {
            status
        };
        return (status, error_only(&answer));
    }
    if let Some(pointer) = &provider.token_at {
        lift(&mut answer, pointer);
    }
    number(&mut answer, "expires_in");
    scopes(&mut answer, &provider.scope_separator);
    answer.retain(|_, value| !value.is_null());
    answer
        .entry("token_type")
        .or_insert_with(|| "bearer".into());
    (200, serde_json::to_vec(&answer).unwrap_or_default())
}

/// Nothing but the code: descriptions are free text.
fn error_only(answer: &Map<String, Value>) -> Vec<u8> {
    let code = answer
        .get("error")
        .and_then(Value::as_str)
        .unwrap_or("invalid_request");
    serde_json::json!({ "error": code })
        .to_string()
        .into_bytes()
}

fn lift(answer: &mut Map<String, Value>, pointer: &str) {
    let whole = Value::Object(std::mem::take(answer));
    let inner = whole.pointer(pointer).and_then(Value::as_object).cloned();
    if let Value::Object(outer) = whole {
        *answer = outer;
    }
    answer.extend(inner.unwrap_or_default());
}

fn number(answer: &mut Map<String, Value>, name: &str) {
    let Some(value) = answer.get_mut(name) else {
        return;
    };
    let seconds = match &*value {
        Value::String(text) => text.trim().parse::<f64>().ok(),
        other => other.as_f64(),
    };
    // A time that is no number, or in the past, is as good as none.
    *value = match seconds {
        Some(seconds) if (0.0..1e12).contains(&seconds) =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bounded above"
            )]
            Value::from(seconds as u64)
        }
        _ => Value::Null,
    };
}

fn scopes(answer: &mut Map<String, Value>, separator: &str) {
    if answer.get("scope").is_none_or(Value::is_null)
        && let Some(list) = answer.remove("scopes")
    {
        answer.insert("scope".to_owned(), list);
    }
    let Some(value) = answer.get_mut("scope") else {
        return;
    };
    let words: Vec<String> = match &*value {
        Value::String(text) => text
            .split(|at: char| at == ' ' || (separator == "," && at == ','))
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect(),
        Value::Array(list) => list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    *value = if words.is_empty() {
        Value::Null
    } else {
        words.join(" ").into()
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ProviderKey;

    fn provider() -> Provider {
        let url = |text: &str| text.parse().unwrap();
        let key = ProviderKey::from_static("acme");
        Provider::new(
            key,
            "Acme",
            url("https://a.example/a"),
            url("https://a.example/t"),
        )
        .unwrap()
    }

    fn normal(provider: &Provider, status: u16, body: &Value) -> (u16, Value) {
        let (status, body) = normalise(provider, status, body.to_string().as_bytes());
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn quirks_of_real_providers_become_the_standard() {
        let mut slack = provider();
        slack.token_at = Some("/authed_user".to_owned());
        slack.scope_separator = ",".to_owned();
        let body = json!({"ok": true, "authed_user": {"access_token": "x", "scope": "a,b", "expires_in": "3599"}});
        let (status, answer) = normal(&slack, 200, &body);
        assert_eq!(
            (status, &answer["access_token"], &answer["scope"]),
            (200, &"x".into(), &"a b".into())
        );
        assert_eq!(answer["expires_in"], 3599);

        let (status, answer) = normal(&slack, 200, &json!({"ok": false, "error": "invalid_grant"}));
        assert_eq!((status, &answer["error"]), (400, &"invalid_grant".into()));
        let github = json!({"error": "bad_refresh_token", "error_description": "secret stuff"});
        let (status, answer) = normal(&provider(), 200, &github);
        assert_eq!(
            (status, answer),
            (400, json!({"error": "bad_refresh_token"}))
        );
    }

    #[test]
    fn a_life_time_that_makes_no_sense_is_none() {
        for bad in [
            json!("soon"),
            json!(-5),
            json!(1e300),
            json!(null),
            json!([]),
        ] {
            let (_, answer) = normal(
                &provider(),
                200,
                &json!({"access_token": "x", "expires_in": bad}),
            );
            assert_eq!(answer.get("expires_in").filter(|at| !at.is_null()), None);
        }
    }

    #[test]
    fn only_a_dead_grant_is_a_dead_grant() {
        assert_eq!(failure_of("invalid_grant"), TokenFailure::Grant);
        for other in ["invalid_client", "server_error", "<script>", ""] {
            assert_ne!(failure_of(other), TokenFailure::Grant);
        }
    }
}
