//! Who is told of what.

use std::fmt;

use url::Url;

use super::key::WebhookKeys;
use crate::{ActionKey, Error, Grammar, InvalidInput};

const NAME: Grammar = Grammar::word("webhook_endpoint_invalid", 63);
/// The most patterns of one endpoint.
const MOST_PATTERNS: usize = 64;
/// What a tenant's life is made of.
const LIFE: [&str; 4] = ["tenant.*", "member.*", "invitation.*", "ownership.*"];

/// A receiver of the platform: an address, its secrets, and what it is told.
///
/// ```
/// use tenancy_core::{WebhookEndpoint, WebhookKeys, WebhookSecret};
///
/// let keys = WebhookKeys::new(WebhookSecret::generate()?);
/// let billing = WebhookEndpoint::new("billing", "https://billing.example.com/hooks", keys)?
///     .with_events(["tenant.*", "member.left"])?;
/// assert!(billing.wants("tenant.created") && !billing.wants("member.removed"));
/// # Ok::<(), tenancy_core::Error>(())
/// ```
#[derive(Clone)]
pub struct WebhookEndpoint {
    name: String,
    url: Url,
    keys: WebhookKeys,
    events: Vec<Pattern>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Pattern {
    All,
    One(ActionKey),
    /// With the full stop at its end.
    Below(String),
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, Error> {
        if text == "*" {
            return Ok(Self::All);
        }
        let Some(topic) = text.strip_suffix(".*") else {
            return Ok(Self::One(ActionKey::parse(text)?));
        };
        Grammar::dotted("webhook_events_invalid", 1, 120).check(topic)?;
        Ok(Self::Below(format!("{topic}.")))
    }

    fn holds(&self, action: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(key) => key.as_str() == action,
            Self::Below(topic) => action.starts_with(topic.as_str()),
        }
    }
}

impl WebhookEndpoint {
    /// A receiver that is told of everything in a tenant's life: `tenant.*`, `member.*`,
    /// `invitation.*` and `ownership.*`.
    ///
    /// The name tells endpoints apart in jobs, logs and metrics: keep it when the address changes.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) `webhook_endpoint_invalid` for a name that is
    /// not one word of `[a-z][a-z0-9_]*`; `webhook_url_invalid` for an address that is no URL of
    /// `https` (or `http`, which a transport has to allow), or that holds a login or a fragment.
    pub fn new(name: impl Into<String>, url: &str, keys: WebhookKeys) -> Result<Self, Error> {
        let name = name.into();
        NAME.check(&name)?;
        Ok(Self {
            name,
            url: address(url)?,
            keys,
            events: LIFE
                .into_iter()
                .map(Pattern::parse)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Tells it of these events instead: actions, topics such as `tenant.*`, or `*` for all that
    /// are recorded as done. At most 64.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) `webhook_events_invalid` or
    /// `action_invalid`.
    pub fn with_events<'a>(
        mut self,
        events: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Error> {
        self.events = events
            .into_iter()
            .map(Pattern::parse)
            .collect::<Result<_, _>>()?;
        if !(1..=MOST_PATTERNS).contains(&self.events.len()) {
            let message = format!("an endpoint names 1 to {MOST_PATTERNS} events");
            return Err(Error::invalid("webhook_events_invalid", message));
        }
        Ok(self)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is told of this action.
    pub fn wants(&self, action: &str) -> bool {
        self.events.iter().any(|pattern| pattern.holds(action))
    }

    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What it is signed with.
    pub fn keys(&self) -> &WebhookKeys {
        &self.keys
    }
}

fn address(text: &str) -> Result<Url, Error> {
    let invalid = |why: &str| {
        let message = format!("a webhook's address {why}");
        Error::from(InvalidInput::new("webhook_url_invalid", message))
    };
    let url = Url::parse(text).map_err(|_| invalid("is a whole URL"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err(invalid("begins with `https://` and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("holds no login: messages are signed"));
    }
    if url.fragment().is_some() {
        return Err(invalid("has no fragment"));
    }
    Ok(url)
}

/// Without path and query: some services put their secret there.
impl fmt::Debug for WebhookEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookEndpoint")
            .field("name", &self.name)
            .field("host", &self.url.host_str())
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WebhookSecret;

    fn endpoint(name: &str, url: &str) -> Result<WebhookEndpoint, Error> {
        WebhookEndpoint::new(name, url, WebhookKeys::new(WebhookSecret::generate()?))
    }

    #[test]
    fn what_it_is_told_is_named_by_action_or_topic() {
        let life = endpoint("crm", "https://example.com/x").unwrap();
        assert!(life.wants("tenant.purged") && life.wants("ownership.accepted"));
        assert!(!life.wants("api_key.created") && !life.wants("tenants.created"));
        let all = life.clone().with_events(["*"]).unwrap();
        assert!(all.wants("api_key.created"));
        for bad in ["", "tenant", "Tenant.*", "tenant.**", ".*", "a b.c"] {
            assert!(life.clone().with_events([bad]).is_err(), "{bad}");
        }
        assert!(life.clone().with_events([]).is_err());
        assert!(life.with_events(["a.b"; 65]).is_err());
    }

    #[test]
    fn an_address_is_a_url_without_a_login_and_its_path_is_not_shown() {
        for bad in [
            "example.com",
            "ftp://example.com/",
            "https://user:pass@example.com/",
            "https://user@example.com/",
            "https://example.com/#x",
            "https:///",
            "mailto:a@b.c",
            "",
        ] {
            let error = endpoint("crm", bad).unwrap_err();
            assert_eq!(error.code(), "webhook_url_invalid", "{bad}");
        }
        for bad in ["", "Crm", "a.b", "a b"] {
            let error = endpoint(bad, "https://example.com/").unwrap_err();
            assert_eq!(error.code(), "webhook_endpoint_invalid", "{bad}");
        }
        let shown = format!(
            "{:?}",
            endpoint("crm", "https://example.com/T0/s3cret?k=s3cret").unwrap()
        );
        assert!(
            shown.contains("example.com") && !shown.contains("s3cret"),
            "{shown}"
        );
    }
}
