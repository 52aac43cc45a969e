use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::place;
use crate::{Error, ErrorKind, SealAnchor, SealHead};

/// How long a request may take, by default and at most.
const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Posts heads to a URL of the host's choice, as a JSON array. Follows no redirect.
pub struct HttpAnchor {
    client: reqwest::Client,
    timeout: Duration,
    url: String,
    token: Option<String>,
}

impl HttpAnchor {
    /// Posts to this URL. Any answer of the 200s counts as published.
    ///
    /// # Errors
    /// `audit_anchor_unavailable` if TLS can't be set up.
    pub fn new(url: impl Into<String>) -> Result<Self, Error> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let client = client
            .build()
            .map_err(|_| unavailable("the client can't be set up"))?;
        Ok(Self {
            client,
            timeout: TIMEOUT,
            url: url.into(),
            token: None,
        })
    }

    /// Sets how long a request may take: 10 seconds by default, a minute at most.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(LONGEST_TIMEOUT);
        self
    }

    /// Sends this bearer token along.
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SealAnchor for HttpAnchor {
    fn place(&self) -> String {
        place("http", &self.url)
    }

    async fn publish(&self, heads: &[SealHead]) -> Result<(), Error> {
        let body =
            serde_json::to_vec(heads).map_err(|_| unavailable("the heads can't be written"))?;
        let mut request = self
            .client
            .post(&self.url)
            .timeout(self.timeout)
            .header("content-type", "application/json")
            .body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
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

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "audit_anchor_unavailable", message)
}

impl fmt::Debug for HttpAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAnchor").finish_non_exhaustive()
    }
}
