//! Whose account it is.

use serde_json::Value;

use super::{call::Caller, callback::provider_refused};
use crate::{Error, Identity, model::Tokens};

/// Who an account is at its provider.
#[derive(Default)]
pub(super) struct Account {
    pub(super) id: Option<String>,
    pub(super) label: Option<String>,
}

/// Asks who the account is, where the provider can say.
pub(super) async fn account(caller: &Caller<'_>, tokens: &Tokens) -> Result<Account, Error> {
    let token = &tokens.access;
    let (answer, account_id, label) = match &caller.provider.identity {
        None => return Ok(Account::default()),
        Some(Identity::Token { account_id, label }) => {
            return read_account(&tokens.rest, account_id, label.as_deref());
        }
        Some(Identity::Userinfo {
            url,
            account_id,
            label,
        }) => (caller.get(url, token).await?, account_id, label),
        Some(Identity::Introspection {
            url,
            account_id,
            label,
        }) => {
            let fields = [
                ("token", token.expose()),
                ("token_type_hint", "access_token"),
            ];
            (caller.form(url, &fields, true).await?, account_id, label)
        }
    };
    let body: Value = match answer.status {
        200 => serde_json::from_slice(&answer.body).unwrap_or_default(),
        _ => Value::Null,
    };
    read_account(&body, account_id, label.as_deref())
}

fn read_account(body: &Value, id: &str, label: Option<&str>) -> Result<Account, Error> {
    let text = |pointer: &str, limit: usize| match body.pointer(pointer) {
        Some(Value::String(text)) if (1..=limit).contains(&text.chars().count()) => {
            Some(text.clone())
        }
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let id = text(id, 512).ok_or_else(|| {
        provider_refused(
            "account_unknown",
            "the provider does not say whose account it is",
        )
    })?;
    Ok(Account {
        id: Some(id),
        label: label.and_then(|pointer| text(pointer, 320)),
    })
}
