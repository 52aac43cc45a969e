//! The documents of an identity provider, by reqwest.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, redirect::Policy, retry};
use url::{Host, Url};

use crate::{Error, ErrorKind, JwksHttp};

/// The longest document that is read.
const MAX_BODY: usize = 256 * 1024;

/// The [`JwksHttp`] by reqwest with rustls: no redirects, 5 s, 256 KiB, HTTPS only.
#[derive(Clone, Debug)]
pub struct ReqwestJwks {
    client: Client,
    loopback: bool,
}

impl ReqwestJwks {
    /// Builds the client.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) if the system has no usable TLS set-up.
    pub fn new() -> Result<Self, Error> {
        let client = Client::builder()
            .redirect(Policy::none())
            .retry(retry::never())
            .timeout(Duration::from_secs(5))
            .connect_timeout(Duration::from_secs(3))
            .user_agent(concat!("tenancy-core/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|_| {
            let message = "the HTTP client could not be set up";
            Error::new(ErrorKind::Misconfigured, "tls_unavailable", message)
        })?;
        Ok(Self {
            client,
            loopback: false,
        })
    }

    /// Allows plain HTTP to this machine, for development and tests.
    pub fn allow_loopback_http(mut self) -> Self {
        self.loopback = true;
        self
    }

    fn may_ask(&self, url: &Url) -> bool {
        url.scheme() == "https" || (self.loopback && url.scheme() == "http" && is_loopback(url))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[async_trait]
impl JwksHttp for ReqwestJwks {
    async fn get(&self, url: &Url) -> Result<Vec<u8>, Error> {
        if !self.may_ask(url) {
            let message = "the identity provider's address has to be https";
            return Err(Error::new(
                ErrorKind::Misconfigured,
                "provider_not_https",
                message,
            ));
        }
        let request = self
            .client
            .get(url.clone())
            .header("accept", "application/json");
        let mut response = request.send().await.map_err(|_| unavailable())?;
        if response.status() != 200 {
            return Err(unavailable());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| unavailable())? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(unavailable());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// reqwest's own error names the address, which is the log's and not the caller's business.
fn unavailable() -> Error {
    let message = "the identity provider gives no answer that can be read";
    Error::new(ErrorKind::Unavailable, "provider_unavailable", message)
}
