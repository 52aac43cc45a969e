//! Requests to providers by reqwest.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{
    Client, Method,
    header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
    retry,
};
use zeroize::Zeroizing;

use crate::{Error, ErrorKind, NO_ANSWER, NOT_SENT, OAuthHttp, OAuthRequest, OAuthResponse};

/// How long one request may take. Shorter than the lease of a refresh, by far.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
/// The longest answer that is read.
const MAX_BODY: usize = 256 * 1024;

/// The [`OAuthHttp`] by reqwest with rustls: no redirects, 20 s, 256 KiB.
#[derive(Clone, Debug)]
pub struct ReqwestHttp(Client);

impl ReqwestHttp {
    /// Builds the client.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) if the system has no usable TLS set-up.
    pub fn new() -> Result<Self, Error> {
        let client = Client::builder()
            .redirect(Policy::none())
            .retry(retry::never())
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("tenancy-secrets/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(|_| {
            Error::misconfigured("tls_unavailable", "the HTTP client could not be set up")
        })
    }
}

#[async_trait]
impl OAuthHttp for ReqwestHttp {
    async fn send(&self, request: OAuthRequest) -> Result<OAuthResponse, Error> {
        if !request.is_allowed() {
            let message = "the provider's host is not one of those allowed";
            return Err(Error::misconfigured("provider_host_refused", message));
        }
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| Error::internal("method_invalid", "the method is not valid"))?;
        let response = self
            .0
            .request(method, request.url.clone())
            .headers(headers(&request)?)
            .body(request.body.to_vec())
            .send()
            .await
            .map_err(|error| unanswered(&error))?;
        let mut answer = OAuthResponse::new(response.status().as_u16(), Vec::new());
        answer.retry_after = retry_after(response.headers());
        answer.body = body(response).await?;
        Ok(answer)
    }
}

/// Every header is marked as sensitive, so that no layer shows it.
fn headers(request: &OAuthRequest) -> Result<HeaderMap, Error> {
    let invalid = || Error::invalid("header_invalid", "a header holds what no header may hold");
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| invalid())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

async fn body(mut response: reqwest::Response) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut body = Zeroizing::new(Vec::with_capacity(8 * 1024));
    while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(no_answer("the provider's answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// reqwest's own error names the URL, whose query may hold secrets; it is not kept.
fn unanswered(error: &reqwest::Error) -> Error {
    if error.is_connect() || error.is_builder() {
        return Error::new(
            ErrorKind::Unavailable,
            NOT_SENT,
            "the provider can't be reached",
        );
    }
    no_answer(if error.is_timeout() {
        "the provider did not answer in time"
    } else {
        "the connection to the provider broke"
    })
}

fn no_answer(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, NO_ANSWER, message)
}
