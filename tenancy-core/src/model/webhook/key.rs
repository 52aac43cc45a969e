//! Secrets of a receiver, and the signatures made with them, by the Standard Webhooks
//! specification.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::message::{SignedWebhook, WebhookMessage};
use crate::{Error, ErrorKind, SecretText};

/// Marks a secret's text, so that scanners of leaked secrets know it.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, as the specification has them.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The most secrets that are good at once.
const MOST_SECRETS: usize = 4;
/// How far the clocks of sender and receiver may differ, delivery included.
const TOLERANCE: Duration = Duration::from_mins(5);
const MOST_TOLERANCE: Duration = Duration::from_hours(1);
/// The longest header that a receiver reads, and the most signatures in it.
const MAX_HEADER: usize = 4_096;
const MOST_SIGNATURES: usize = 16;

/// A secret that sender and receiver share: 24 to 64 bytes, written as `whsec_` and base64.
///
/// ```
/// use tenancy_core::WebhookSecret;
///
/// let secret = WebhookSecret::generate()?;
/// let text = secret.to_text();
/// assert!(text.expose().starts_with("whsec_"));
/// assert!(WebhookSecret::parse(text.expose()).is_ok());
/// assert_eq!(format!("{secret:?}"), "WebhookSecret(***)");
/// # Ok::<(), tenancy_core::Error>(())
/// ```
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl WebhookSecret {
    /// 32 random bytes.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if the system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new(vec![0; 32]);
        getrandom::fill(&mut bytes).map_err(|_| {
            let message = "the system gives no random bytes";
            Error::new(ErrorKind::Unavailable, "randomness", message)
        })?;
        Ok(Self(bytes))
    }

    /// Reads a secret, with or without its prefix.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) `webhook_secret_invalid`; the message does not
    /// repeat it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text));
        let bytes = bytes.map(Zeroizing::new).ok();
        let good = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
        good.map(Self).ok_or_else(|| {
            let message = "a webhook secret is `whsec_` and 24 to 64 bytes in base64";
            Error::invalid("webhook_secret_invalid", message)
        })
    }

    /// The text to hand to the receiver.
    pub fn to_text(&self) -> SecretText {
        SecretText::new(format!("{PREFIX}{}", STANDARD.encode(&*self.0)))
    }

    fn tag(&self, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        context.sign()
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(***)")
    }
}

/// The secrets of one receiver: one, and while it is replaced, those before it as well.
///
/// Signs and verifies by the [Standard Webhooks](https://www.standardwebhooks.com) specification,
/// so that a receiver can take any of its libraries.
///
/// ```
/// use tenancy_core::{WebhookKeys, WebhookMessage, WebhookSecret};
///
/// let keys = WebhookKeys::new(WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?);
/// let message = WebhookMessage::new("msg_1", r#"{"type":"tenant.created"}"#)?;
/// let signed = keys.sign(&message, chrono::Utc::now());
///
/// // The receiver: `headers` may be anything that finds a header by its name.
/// let headers: std::collections::HashMap<&str, String> = signed.headers().into_iter().collect();
/// keys.verify(|name| headers.get(name).map(String::as_str), message.body().as_bytes())?;
/// # Ok::<(), tenancy_core::Error>(())
/// ```
#[derive(Clone)]
pub struct WebhookKeys {
    secrets: Arc<[WebhookSecret]>,
    tolerance: Duration,
}

impl WebhookKeys {
    /// One secret.
    pub fn new(secret: WebhookSecret) -> Self {
        Self {
            secrets: Arc::new([secret]),
            tolerance: TOLERANCE,
        }
    }

    /// Several that are good at once, the newest first: a message is signed with each, and one that
    /// any of them signed is accepted.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) `webhook_secrets_count` for none or more than 4.
    pub fn rotating(secrets: Vec<WebhookSecret>) -> Result<Self, Error> {
        if !(1..=MOST_SECRETS).contains(&secrets.len()) {
            let message = format!("a receiver has 1 to {MOST_SECRETS} secrets at once");
            return Err(Error::invalid("webhook_secrets_count", message));
        }
        Ok(Self {
            secrets: secrets.into(),
            tolerance: TOLERANCE,
        })
    }

    /// How old a message may be when it is verified, and how far ahead: 5 minutes by default, an
    /// hour at most.
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance.min(MOST_TOLERANCE);
        self
    }

    /// Signs a message that is sent at this time.
    pub fn sign(&self, message: &WebhookMessage, at: DateTime<Utc>) -> SignedWebhook {
        let timestamp = at.timestamp().to_string();
        let signatures: Vec<String> = self
            .secrets
            .iter()
            .map(|secret| secret.tag(message.id(), &timestamp, message.body().as_bytes()))
            .map(|tag| format!("v1,{}", STANDARD.encode(tag)))
            .collect();
        SignedWebhook {
            id: message.id().to_owned(),
            timestamp,
            signature: signatures.join(" "),
        }
    }

    /// Refuses a message that is not signed with one of the secrets, or not lately. `header` finds
    /// a header by its name in lower case; the body is verified as it came, before it is parsed.
    ///
    /// ```
    /// # fn handle(keys: &tenancy_core::WebhookKeys, headers: &http::HeaderMap, body: &[u8]) -> Result<(), tenancy_core::Error> {
    /// keys.verify(|name| headers.get(name).and_then(|value| value.to_str().ok()), body)
    /// # }
    /// ```
    ///
    /// A message may come more than once: look at its `webhook-id`.
    ///
    /// # Errors
    /// [`Unauthenticated`](ErrorKind::Unauthenticated) `webhook_header_missing`,
    /// `webhook_timestamp_invalid`, `webhook_timestamp_off` or `webhook_signature_invalid`.
    pub fn verify<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
    ) -> Result<(), Error> {
        self.verify_at(header, body, Utc::now())
    }

    /// The same by another clock.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_at<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let named = |name: &'static str| {
            header(name)
                .filter(|value| !value.is_empty() && value.len() <= MAX_HEADER)
                .ok_or_else(|| {
                    let message = format!("the header `{name}` is missing or can't be read");
                    Error::new(
                        ErrorKind::Unauthenticated,
                        "webhook_header_missing",
                        message,
                    )
                })
        };
        let id = named("webhook-id")?;
        let timestamp = named("webhook-timestamp")?;
        let signatures = named("webhook-signature")?;
        self.check_time(timestamp, now)?;
        let sent = signatures
            .split(' ')
            .take(MOST_SIGNATURES)
            .filter_map(|one| one.strip_prefix("v1,"))
            .filter_map(|one| STANDARD.decode(one).ok());
        let sent: Vec<Vec<u8>> = sent.collect();
        let good = self.secrets.iter().any(|secret| {
            let tag = secret.tag(id, timestamp, body);
            sent.iter()
                .any(|one| verify_slices_are_equal(one, tag.as_ref()).is_ok())
        });
        if good {
            return Ok(());
        }
        Err(refused(
            "webhook_signature_invalid",
            "no signature of the message is one of this secret",
        ))
    }

    fn check_time(&self, timestamp: &str, now: DateTime<Utc>) -> Result<(), Error> {
        let digits = timestamp.len() <= 12 && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let at = timestamp.parse::<i64>().ok().filter(|_| digits);
        let at = at.ok_or_else(|| {
            refused(
                "webhook_timestamp_invalid",
                "the message's timestamp is no number of seconds",
            )
        })?;
        if now.timestamp().abs_diff(at) > self.tolerance.as_secs() {
            return Err(refused(
                "webhook_timestamp_off",
                "the message is too old, or ahead of the clock here",
            ));
        }
        Ok(())
    }
}

fn refused(code: &'static str, message: &'static str) -> Error {
    Error::new(ErrorKind::Unauthenticated, code, message)
}

impl fmt::Debug for WebhookKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookKeys")
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}
