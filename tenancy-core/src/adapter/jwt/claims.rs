//! What a token whose signature is good says, and whether it says it to us and now.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::{JwtOptions, refused};
use crate::{Email, Error};

/// The longest subject; what `user_identities` stores.
const MAX_SUBJECT: usize = 512;
/// The longest name of a tenant that is looked at.
const MAX_TENANT: usize = 64;

/// The claims that a login is made of.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) subject: String,
    pub(super) email: Option<String>,
    pub(super) tenant: Option<String>,
}

impl Claims {
    pub(super) fn check(
        claims: &Map<String, Value>,
        options: &JwtOptions,
        now: SystemTime,
    ) -> Result<Self, Error> {
        if text(claims, "iss")? != Some(options.issuer.as_str()) {
            let message = "the token is from another issuer";
            return Err(refused("token_issuer", message));
        }
        if !is_for(claims.get("aud"), &options.audience) {
            let message = "the token is for another audience";
            return Err(refused("token_audience", message));
        }
        check_time(claims, now, options.leeway)?;
        let subject = text(claims, "sub")?.ok_or_else(|| missing("sub"))?;
        let length = subject.chars().count();
        if !(1..=MAX_SUBJECT).contains(&length) || subject.chars().any(char::is_control) {
            let message = "the token's subject can't be that of a user";
            return Err(refused("token_subject", message));
        }
        Ok(Self {
            subject: subject.to_owned(),
            email: verified_email(claims),
            tenant: options
                .tenant_claim
                .as_ref()
                .map(|name| text(claims, name))
                .transpose()?
                .flatten()
                .filter(|tenant| tenant.len() <= MAX_TENANT)
                .map(ToOwned::to_owned),
        })
    }
}

fn missing(claim: &str) -> Error {
    let message = format!("the claim `{claim}` is missing or is not what it has to be");
    refused("token_claims", message)
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Error> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(missing(name)),
    }
}

/// One audience, or a list that has ours (RFC 7519, 4.1.3).
fn is_for(audience: Option<&Value>, ours: &str) -> bool {
    match audience {
        Some(Value::String(one)) => one == ours,
        Some(Value::Array(list)) => list.iter().any(|one| one.as_str() == Some(ours)),
        _ => false,
    }
}

/// Seconds since 1970, also with a fraction, which is cut off.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Error> {
    /// Past it a double has no seconds any more.
    const MAX: f64 = 9_007_199_254_740_992.0;
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let fraction = || {
        let seconds = value.as_f64().filter(|seconds| seconds.abs() < MAX)?;
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        Some(seconds.floor() as i64)
    };
    let seconds = value.as_i64().or_else(fraction);
    seconds.map(Some).ok_or_else(|| missing(name))
}

fn check_time(claims: &Map<String, Value>, now: SystemTime, leeway: Duration) -> Result<(), Error> {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let (now, leeway) = (seconds(since), seconds(leeway));
    let expires = date(claims, "exp")?.ok_or_else(|| missing("exp"))?;
    if expires.saturating_add(leeway) <= now {
        return Err(refused("token_expired", "the token has expired"));
    }
    for begin in ["nbf", "iat"] {
        if date(claims, begin)?.is_some_and(|begins| begins.saturating_sub(leeway) > now) {
            let message = "the token is not valid yet";
            return Err(refused("token_not_yet_valid", message));
        }
    }
    Ok(())
}

/// The address, if the provider says that it belongs to the user. One that he only typed would let
/// him accept invitations to somebody else.
fn verified_email(claims: &Map<String, Value>) -> Option<String> {
    let verified = claims.get("email_verified") == Some(&Value::Bool(true));
    let email = claims.get("email")?.as_str().filter(|_| verified)?;
    Email::parse(email)
        .ok()
        .map(|email| email.as_typed().to_owned())
}
