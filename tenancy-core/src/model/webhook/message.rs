//! A message, and the one that tells of an event.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::{Error, Kept, TenantCtx};

/// The longest body, in bytes: what receivers take without being asked.
const MAX_BODY: usize = 65_536;
/// The longest id.
const MAX_ID: usize = 128;

/// What is sent, without its signature: the same bytes and the same id however often it is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WebhookMessage {
    id: String,
    body: String,
}

impl WebhookMessage {
    /// A message by an id that no other message has.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) `webhook_id_invalid` unless the id is 1 to
    /// 128 letters, digits, `_` or `-`: a full stop would make the signed text ambiguous. The body
    /// has at most 64 KiB: [`Limit`](crate::ErrorKind::Limit) `webhook_body_too_large`.
    pub fn new(id: impl Into<String>, body: impl Into<String>) -> Result<Self, Error> {
        let (id, body) = (id.into(), body.into());
        let sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(sign) {
            let message = format!("a message's id is 1 to {MAX_ID} letters, digits, `_` or `-`");
            return Err(Error::invalid("webhook_id_invalid", message));
        }
        if body.len() > MAX_BODY {
            let message = format!("a message has at most {MAX_BODY} bytes, not {}", body.len());
            return Err(Error::new(
                crate::ErrorKind::Limit,
                "webhook_body_too_large",
                message,
            ));
        }
        Ok(Self { id, body })
    }

    /// By which receivers tell that they have it already.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is signed and sent.
    pub fn body(&self) -> &str {
        &self.body
    }
}

/// The headers of one try to send a message.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SignedWebhook {
    /// `webhook-id`: the same at every try.
    pub id: String,
    /// `webhook-timestamp`: the second of this try.
    pub timestamp: String,
    /// `webhook-signature`: one for each secret that is good.
    pub signature: String,
}

impl SignedWebhook {
    /// Names and values.
    pub fn headers(self) -> [(&'static str, String); 3] {
        [
            ("webhook-id", self.id),
            ("webhook-timestamp", self.timestamp),
            ("webhook-signature", self.signature),
        ]
    }
}

/// The body that tells of an event: who did what where, and nothing about persons but their ids.
///
/// What is too long leaves its details out and says so: a change must not fail because its news
/// is long. So does what no log has kept: nobody has looked for secrets in it.
pub(crate) fn body_of(ctx: &TenantCtx, action: &str, kept: &Kept, at: DateTime<Utc>) -> String {
    let principal = ctx.principal();
    let mut data = Map::new();
    data.insert("tenant_id".to_owned(), json!(ctx.tenant()));
    let actor = json!({ "kind": principal.actor.kind(), "id": principal.actor.id() });
    data.insert("actor".to_owned(), actor);
    if let Some(user) = principal.on_behalf_of {
        data.insert("on_behalf_of".to_owned(), json!(user));
    }
    data.insert("request_id".to_owned(), json!(ctx.request_id()));
    if let Some(trace) = ctx.trace() {
        data.insert("trace_id".to_owned(), json!(trace.to_string()));
    }
    if let Kept::New { targets, meta } = kept {
        let mut data = data.clone();
        data.insert("targets".to_owned(), json!(targets));
        data.insert("meta".to_owned(), json!(meta));
        let whole = envelope(action, at, &data);
        if whole.len() <= MAX_BODY {
            return whole;
        }
    }
    data.insert("truncated".to_owned(), json!(true));
    envelope(action, at, &data)
}

fn envelope(action: &str, at: DateTime<Utc>, data: &Map<String, Value>) -> String {
    let timestamp = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({ "type": action, "timestamp": timestamp, "data": data }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Principal, Target, TenantId, UserId};

    #[test]
    fn an_event_that_is_too_long_says_that_something_is_missing() {
        let user = UserId::new();
        let ctx = TenantCtx::proven(TenantId::new(), Principal::user(user), Access::ReadWrite);
        let renamed = |name: String| {
            let meta = Map::from_iter([("to".to_owned(), Value::from(name))]);
            let targets = vec![Target::new("tenant", 7)];
            let kept = Kept::New { targets, meta };
            body_of(&ctx, "tenant.renamed", &kept, Utc::now())
        };
        let body = renamed("Acme".to_owned());
        assert!(
            body.contains("Acme") && body.contains(&user.to_string()),
            "{body}"
        );
        let nowhere = body_of(&ctx, "tenant.renamed", &Kept::Nowhere, Utc::now());
        for body in [renamed("x".repeat(MAX_BODY)), nowhere] {
            assert!(
                body.len() < 1_000 && body.contains("\"truncated\":true"),
                "{body}"
            );
            assert!(WebhookMessage::new("msg_1", body).is_ok());
        }
    }

    #[test]
    fn an_id_can_not_be_mistaken_for_another_part_of_what_is_signed() {
        for bad in ["", "a.b", "a b", "ü", "a\n", &"a".repeat(MAX_ID + 1)] {
            assert!(WebhookMessage::new(bad, "{}").is_err(), "{bad}");
        }
        assert!(WebhookMessage::new("a", "x".repeat(MAX_BODY + 1)).is_err());
    }
}
