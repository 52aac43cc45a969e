use std::{fmt, net::IpAddr, time::Duration};

use async_trait::async_trait;
use reqwest::Url;
use tenancy_core::SecretText;

use super::place;
use crate::{Error, ErrorKind, SealAnchor, SealHead};

/// How long a request may take, by default and at most, and at least.
const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_TIMEOUT: Duration = Duration::from_mins(1);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);

/// Posts heads to a URL of the host's choice, as a JSON array. Follows no redirect.
///
/// ```
/// use std::time::Duration;
///
/// use tenancy_audit::HttpAnchor;
/// use tenancy_core::SecretText;
///
/// let anchor = HttpAnchor::new("https://anchor.example.com/heads")?
///     .with_token(SecretText::new("let me in"))
///     .with_timeout(Duration::from_secs(5));
/// let error = HttpAnchor::new("http://anchor.example.com/heads").unwrap_err();
/// assert_eq!(error.code(), "audit_anchor_url_invalid");
/// # Ok::<(), tenancy_audit::Error>(())
/// ```
pub struct HttpAnchor {
    client: reqwest::Client,
    timeout: Duration,
    url: Url,
    /// Of the URL as it was given: what was published is known by it.
    place: String,
    token: Option<SecretText>,
}

impl HttpAnchor {
    /// Posts to this URL. Any answer of the 200s counts as published.
    ///
    /// # Errors
    /// `audit_anchor_url_invalid` for an address that is no URL of `https` (or of `http` on this machine), or
    /// that holds a login or a fragment; `audit_anchor_unavailable` if TLS can't be set up.
    pub fn new(url: &str) -> Result<Self, Error> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let client = client
            .build()
            .map_err(|_| unavailable("the client can't be set up"))?;
        Ok(Self {
            client,
            timeout: TIMEOUT,
            place: place("http", url),
            url: address(url)?,
            token: None,
        })
    }

    /// Sets how long a request may take: 10 seconds by default, 10 ms to a minute.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT);
        self
    }

    /// Sends this bearer token along.
    pub fn with_token(mut self, token: SecretText) -> Self {
        self.token = Some(token);
        self
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SealAnchor for HttpAnchor {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn publish(&self, heads: &[SealHead]) -> Result<(), Error> {
        let body =
            serde_json::to_vec(heads).map_err(|_| unavailable("the heads can't be written"))?;
        let mut request = self
            .client
            .post(self.url.clone())
            .timeout(self.timeout)
            .header("content-type", "application/json")
            .body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let answer = request
            .send()
            .await
            .map_err(|_| unavailable("the anchor does not answer"))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(unavailable(&format!(
            "the anchor answered {}",
            answer.status().as_u16()
        )))
    }
}

/// The message does not repeat the address, which may hold a secret.
fn address(text: &str) -> Result<Url, Error> {
    let invalid = |why: &str| {
        let message = format!("an anchor's address {why}");
        Error::invalid("audit_anchor_url_invalid", message)
    };
    let url = Url::parse(text).map_err(|_| invalid("is a whole URL"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        _ => return Err(invalid("begins with `https://`, or is on this machine")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("holds no login: give it a token"));
    }
    if url.fragment().is_some() {
        return Err(invalid("has no fragment"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "audit_anchor_unavailable", message)
}

/// Without the path of the address: some services put their secret there.
impl fmt::Debug for HttpAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAnchor")
            .field("host", &self.url.host_str())
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_of_https_or_of_this_machine_and_holds_no_login() {
        for good in [
            "https://anchor.example.com/heads?of=us",
            "http://127.0.0.1:8080/heads",
            "http://[::1]/heads",
            "http://localhost/heads",
        ] {
            assert!(HttpAnchor::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "anchor.example.com/heads",
            "http://anchor.example.com/heads",
            "http://localhost.example.com/heads",
            "http://192.168.0.7/heads",
            "ftp://localhost/heads",
            "file:///heads",
            "https://us:let-me-in@anchor.example.com/",
            "https://us@anchor.example.com/",
            "https://anchor.example.com/#heads",
        ] {
            let error = HttpAnchor::new(bad).unwrap_err();
            assert_eq!(error.code(), "audit_anchor_url_invalid", "{bad}");
            assert!(!error.to_string().contains("let-me-in"));
        }
    }

    #[test]
    fn a_place_is_of_the_address_as_it_was_given_and_the_token_is_not_shown() {
        let anchor = HttpAnchor::new("https://anchor.example.com").unwrap();
        assert_eq!(anchor.place(), place("http", "https://anchor.example.com"));
        let anchor = anchor.with_token(SecretText::new("let me in"));
        let shown = format!("{anchor:?}");
        assert!(shown.contains("anchor.example.com") && !shown.contains("let me in"));
    }
}
