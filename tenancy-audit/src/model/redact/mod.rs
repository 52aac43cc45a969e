//! What must not be kept: found by the name of the key, or by what the value looks like.

mod assignments;
mod cards;
mod keys;
mod masked;
mod values;

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

pub use masked::Masked;

/// What stands where a secret was found by its key.
pub(crate) const REDACTED: &str = "[redacted]";

/// Finds secrets in what is about to be recorded.
///
/// By key: `password`, `client_secret`, `api-key`, `refreshToken`, `cookie`, `otp` and their like;
/// the value is replaced whatever it is. `secret_id` or `token_count` name no secret. By value,
/// under any key and in the middle of a text: JWTs, private keys in PEM, `Bearer` and `Basic` credentials,
/// tokens with the prefix of a well-known provider, passwords in URLs and connection strings, what a text
/// itself calls a secret (`password=…`, `"apiKey": "…"`), and card numbers that pass their check.
///
/// A net, not a licence: what should not be kept should not be recorded.
///
/// ```no_run
/// # use tenancy_audit::{PgAuditLog, Redaction};
/// # fn run(db: tenancy_core::TenantDb) {
/// let redaction = Redaction::new()
///     .with_key("tax_number") // a secret here
///     .without_key("session") // of a conference, not of a login
///     .without_cards();
/// let audit = PgAuditLog::new(db).with_redaction(redaction);
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    sensitive: Arc<HashSet<String>>,
    harmless: Arc<HashSet<String>>,
    keep_cards: bool,
}

/// How a text came to be looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// An identifier or a path: a long number is a number there.
    Identifier,
    /// Anything else.
    Text,
}

impl Redaction {
    /// The default rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Redacts values under this key, too; case and punctuation don't matter.
    pub fn with_key(mut self, key: &str) -> Self {
        Arc::make_mut(&mut self.sensitive).insert(keys::folded(key));
        self
    }

    /// Keeps values under this key, though its name is suspicious; their texts are looked at still.
    pub fn without_key(mut self, key: &str) -> Self {
        Arc::make_mut(&mut self.harmless).insert(keys::folded(key));
        self
    }

    /// Keeps numbers that look like payment cards.
    pub fn without_cards(mut self) -> Self {
        self.keep_cards = true;
        self
    }

    /// Whether the value under this key is to be replaced as a whole.
    pub(crate) fn hides(&self, key: &str, value: &Value) -> bool {
        if matches!(value, Value::Null | Value::Bool(_)) || value.as_str().is_some_and(is_label) {
            return false;
        }
        if !(self.sensitive.is_empty() && self.harmless.is_empty()) {
            let folded = keys::folded(key);
            if self.harmless.contains(&folded) {
                return false;
            }
            if self.sensitive.contains(&folded) {
                return true;
            }
        }
        match keys::sensitivity(key) {
            keys::Sensitivity::None => false,
            // `tokens: 512` says how many.
            keys::Sensitivity::UnlessNumber => !value.is_number(),
            keys::Sensitivity::Always => true,
        }
    }

    /// Whether a key has a secret in itself: [`scrub`](Self::scrub) would find one.
    pub(crate) fn is_secret(&self, key: &str) -> bool {
        let look = keys::look(key);
        look.has_secret || look.has_card && !self.keep_cards
    }

    /// The text with its secrets replaced; `None` if it has none.
    pub(crate) fn scrub(&self, text: &str, place: Place) -> Option<String> {
        let clean = self.replace(text, values::find(text), place)?;
        Some(self.settled(clean, place))
    }

    /// The same of the beginning of a text: what may be one of a secret at its end is taken for it.
    pub(crate) fn scrub_beginning(&self, text: &str, place: Place) -> Option<String> {
        let mut found = values::find(text);
        found.extend(values::cut_off(text));
        let clean = self.replace(text, found, place)?;
        Some(self.settled(clean, place))
    }

    /// What stands beside a label may be a secret that it was not beside the secret itself.
    fn settled(&self, mut clean: String, place: Place) -> String {
        for _ in 0..MOST_LOOKS {
            match self.replace(&clean, values::find(&clean), place) {
                Some(next) if next != clean => clean = next,
                _ => break,
            }
        }
        clean
    }

    fn replace(&self, text: &str, mut found: Vec<Found>, place: Place) -> Option<String> {
        if place == Place::Text && !self.keep_cards {
            cards::find(text, &mut found);
        }
        (!found.is_empty()).then(|| replaced(text, found))
    }
}

/// How often a text is looked at again in which something was found.
const MOST_LOOKS: usize = 4;

/// Whether this is nothing but what stands in place of a secret.
fn is_label(value: &str) -> bool {
    let inside = value
        .strip_prefix("[redacted")
        .and_then(|rest| rest.strip_suffix(']'));
    inside.is_some_and(|kind| {
        kind.is_empty()
            || kind.starts_with(':')
                && kind
                    .bytes()
                    .skip(1)
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    })
}

/// A stretch of a text that is a secret, and what kind of secret it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Found {
    from: usize,
    to: usize,
    label: &'static str,
}

fn replaced(text: &str, mut found: Vec<Found>) -> String {
    found.sort_unstable_by_key(|found| (found.from, std::cmp::Reverse(found.to)));
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    for Found { from, to, label } in found {
        // One that lies in the one before is gone already.
        if from >= at {
            kept.push_str(text.get(at..from).unwrap_or_default());
            kept.push_str(label);
        }
        at = at.max(to);
    }
    kept.push_str(text.get(at..).unwrap_or_default());
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scrub(text: &str) -> Option<String> {
        Redaction::new().scrub(text, Place::Text)
    }

    #[test]
    fn what_was_cleaned_is_clean() {
        for text in [
            "password=apiKey -----BEGIN RSA PRIVATE KEY-----",
            "4111111111111111-----BEGIN RSA PRIVATE KEY-----",
        ] {
            let clean = scrub(text).unwrap();
            assert!(scrub(&clean).is_none_or(|again| again == clean), "{clean}");
        }
    }

    #[test]
    fn secrets_are_found_in_the_middle_of_a_text() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r";
        for (text, expected) in [
            (format!("got {jwt} today"), "got [redacted:jwt] today"),
            (
                "é sk_live_4eC39HqLyjWDarjtT1zdp7dc é".to_owned(),
                "é [redacted:token] é",
            ),
            (
                "key AKIAIOSFODNN7EXAMPLE.".to_owned(),
                "key [redacted:token].",
            ),
            (
                "Authorization: Bearer abc123def456".to_owned(),
                "Authorization: Bearer [redacted]",
            ),
            ("basic dXNlcjpwYXNz1".to_owned(), "basic [redacted]"),
            (
                "postgres://app:hunter2@db/x".to_owned(),
                "postgres://app:[redacted]@db/x",
            ),
            (
                "https://h/cb?code=1&access_token=zzz&b=2".to_owned(),
                "https://h/cb?code=1&access_token=[redacted]&b=2",
            ),
            (
                "card 4111 1111 1111 1111 ok".to_owned(),
                "card [redacted:card] ok",
            ),
            ("5500-0000-0000-0004".to_owned(), "[redacted:card]"),
            (
                "4111111111111111 12/27 123".to_owned(),
                "[redacted:card] 12/27 123",
            ),
            (
                "no 7 4111 1111 1111 1111 2".to_owned(),
                "no 7 [redacted:card] 2",
            ),
            (
                "x -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- y"
                    .to_owned(),
                "x [redacted:private_key] y",
            ),
            (
                "/v1/keys/AKIAIOSFODNN7EXAMPLE".to_owned(),
                "/v1/keys/[redacted:token]",
            ),
            (format!("next%3D{jwt}&x=1"), "next%3D[redacted:jwt]&x=1"),
            (
                "-----BEGIN PRIVATE KEY-----\ncut off".to_owned(),
                "[redacted:private_key]",
            ),
        ] {
            assert_eq!(scrub(&text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_a_text_itself_calls_a_secret_goes() {
        for (text, expected) in [
            (
                "Server=db;User Id=sa;Password=p@ss!w0rd;Encrypt=true",
                "Server=db;User Id=sa;Password=[redacted];Encrypt=true",
            ),
            (
                "host=db user=app password='it''s secret' sslmode=require",
                "host=db user=app password='[redacted]' sslmode=require",
            ),
            (
                "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=Zm9v+/YmFy==;X=y",
                "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=[redacted];X=y",
            ),
            ("amqp://u:p/w@mq:5672/v", "amqp://u:[redacted]@mq:5672/v"),
            (
                r#"sent {"apiKey": "a \" b", "n": 1}"#,
                r#"sent {"apiKey": "[redacted]", "n": 1}"#,
            ),
            (
                r#"{\"password\":\"hunter2\",\"n\":1}"#,
                r#"{\"password\":\"[redacted]\",\"n\":1}"#,
            ),
            ("Cookie: a=b; c=d\nHost: x", "Cookie: [redacted]\nHost: x"),
            (
                "x-api-key: abcdef, max_tokens: 512",
                "x-api-key: [redacted], max_tokens: 512",
            ),
        ] {
            assert_eq!(scrub(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "",
            "updated the template",
            "a basic authentication scheme",
            "bearer of bad news",
            "018f0000-0000-7000-8000-000000000001",
            "order 4111111111111112",
            "1700000000000",
            "https://example.com/a?page=2",
            "user@example.com",
            "12:30:45",
            "sk_liveliness",
            "-----BEGIN CERTIFICATE-----",
            "eyJ.not.jwt",
            "0.4111111111111111",
            "ünïcödé ☃",
            "max_tokens=512",
            "https://medium.example:443/@ann",
            "password: null",
            "the secret of success: work",
            "token",
        ] {
            assert_eq!(scrub(text), None, "{text}");
        }
    }

    #[test]
    fn an_identifier_may_be_a_long_number() {
        let redaction = Redaction::new();
        assert_eq!(redaction.scrub("4111111111111111", Place::Identifier), None);
        assert!(redaction.scrub("4111111111111111", Place::Text).is_some());
        assert!(
            redaction
                .without_cards()
                .scrub("4111111111111111", Place::Text)
                .is_none()
        );
    }

    #[test]
    fn a_host_can_add_and_except_keys() {
        let redaction = Redaction::new().with_key("IBAN").without_key("page_token");
        assert!(redaction.hides("i-ban", &json!("DE00")));
        assert!(!redaction.hides("pageToken", &json!("7")));
        assert!(redaction.hides("token", &json!("7")));
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_the_scanner(text in "[\\PC\\x00-\\x20a4-9:/@.=?&-]{0,80}") {
            if let Some(clean) = scrub(&text) {
                proptest::prop_assert!(clean.contains("[redacted"));
            }
        }
    }
}
