use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use reqwest::{Client, Response, StatusCode, header, redirect};
use serde::{Deserialize, Serialize};
use tenancy_core::{Retry, SecretText, TenantCtx};
use url::{Host, Url};

use crate::{Embedder, EmbeddingModel, Error, ErrorKind, Purpose, check_vectors, model::Patience};

/// How [`HttpEmbedder`] asks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpEmbedderOptions {
    /// Texts in one request; 128 by default. More are sent in several requests.
    pub batch: usize,
    /// How often a request is tried in all; 4 by default.
    pub attempts: u32,
    /// How long one request may take; 30 s by default.
    pub timeout: Duration,
    /// The longest wait that a server may ask for by `Retry-After`; 60 s by default. A server that
    /// asks for more is not waited for.
    pub max_wait: Duration,
    /// Sends `dimensions`, for models that shorten their vectors; off by default.
    pub send_dimensions: bool,
}

impl Default for HttpEmbedderOptions {
    fn default() -> Self {
        Self {
            batch: 128,
            attempts: 4,
            timeout: Duration::from_secs(30),
            max_wait: Duration::from_mins(1),
            send_dimensions: false,
        }
    }
}

impl HttpEmbedderOptions {
    /// Sets how many texts go into one request.
    pub fn with_batch(mut self, texts: usize) -> Self {
        self.batch = texts.max(1);
        self
    }

    /// Bounds how often a request is tried.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Bounds how long one request may take.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Bounds the wait that a server may ask for.
    pub fn with_max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Asks the model for shortened vectors.
    pub fn with_send_dimensions(mut self) -> Self {
        self.send_dimensions = true;
        self
    }
}

/// Any service that speaks the `OpenAI` embeddings API: `POST {base}/embeddings`.
///
/// Requests are tried again after 429, 5xx and lost connections, as late as `Retry-After` says; a
/// batch that is too large (413) is halved. Answers are bounded and checked: count, order,
/// dimensions, finiteness. Redirects are not followed, and the key is only sent over TLS or to
/// this machine.
#[derive(Clone)]
pub struct HttpEmbedder {
    client: Client,
    endpoint: Url,
    key: Option<Arc<SecretText>>,
    model: EmbeddingModel,
    options: HttpEmbedderOptions,
}

/// A number in JSON takes this much at most, with room for what stands around it.
const BYTES_PER_NUMBER: usize = 32;

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    // JSON has no NaN; some servers write null for it.
    embedding: Vec<Option<f32>>,
}

impl HttpEmbedder {
    /// Asks the service under `base`, such as `https://api.example.com/v1`, for this model.
    ///
    /// # Errors
    /// `embedder_url_invalid` for a URL that is not `https`, nor `http` to this machine.
    pub fn new(base: &str, key: Option<SecretText>, model: EmbeddingModel) -> Result<Self, Error> {
        Self::with_options(base, key, model, HttpEmbedderOptions::default())
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_options(
        base: &str,
        key: Option<SecretText>,
        model: EmbeddingModel,
        options: HttpEmbedderOptions,
    ) -> Result<Self, Error> {
        let endpoint = endpoint(base)?;
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(options.timeout)
            .build()
            .map_err(|error| {
                Error::new(
                    ErrorKind::Internal,
                    "http_client",
                    "the HTTP client can't be built",
                )
                .with_source(error.without_url())
            })?;
        Ok(Self {
            client,
            endpoint,
            key: key.map(Arc::new),
            model,
            options,
        })
    }

    /// Embeds a batch, halving it as long as the service finds it too large.
    async fn batch(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        let mut open = vec![texts];
        let mut vectors = Vec::with_capacity(texts.len());
        while let Some(part) = open.pop() {
            match self.patiently(part).await {
                Ok(more) => vectors.extend(more),
                Err(error) if error.code() == TOO_LARGE && part.len() > 1 => {
                    let (left, right) = part.split_at(part.len() / 2);
                    open.extend([right, left]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(vectors)
    }

    async fn patiently(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        let mut patience = Patience::new(self.options.attempts, self.options.max_wait);
        loop {
            match self.once(texts).await {
                Ok(vectors) => return Ok(vectors),
                Err(error) => match patience.after(error.retry()) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(error),
                },
            }
        }
    }

    async fn once(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        let question = Question {
            model: self.model.id(),
            input: texts,
            encoding_format: "float",
            dimensions: self
                .options
                .send_dimensions
                .then(|| self.model.dimensions()),
        };
        let mut request = self.client.post(self.endpoint.clone()).json(&question);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose());
        }
        let response = request.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(refusal(&response));
        }
        let limit =
            (texts.len() * self.model.dimensions()).saturating_mul(BYTES_PER_NUMBER) + (64 << 10);
        let body = bounded(response, limit).await?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| malformed("the embedder's answer is not what the API says"))?;
        let vectors = in_order(answer, texts.len())?;
        check_vectors(&self.model, texts.len(), &vectors)?;
        Ok(vectors)
    }
}

#[async_trait]
impl Embedder for HttpEmbedder {
    fn model(&self) -> EmbeddingModel {
        self.model.clone()
    }

    async fn embed(
        &self,
        _: &TenantCtx,
        texts: &[String],
        _: Purpose,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(self.options.batch.max(1)) {
            vectors.extend(self.batch(batch).await?);
        }
        Ok(vectors)
    }
}

impl fmt::Debug for HttpEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEmbedder")
            .field("host", &self.endpoint.host_str())
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

const TOO_LARGE: &str = "embedder_batch_too_large";

fn endpoint(base: &str) -> Result<Url, Error> {
    let invalid = |message| Error::invalid("embedder_url_invalid", message);
    let url = Url::parse(&format!("{}/embeddings", base.trim_end_matches('/')))
        .map_err(|_| invalid("the embedder's URL can't be read"))?;
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if here => Ok(url),
        _ => Err(invalid(
            "the embedder's URL must be `https`, or `http` to this machine",
        )),
    }
}

fn unreachable(error: reqwest::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "embedder_unreachable",
        "the embedder can't be reached",
    )
    .with_source(error.without_url())
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::EmbeddingInvalid, "embedding_malformed", message)
}

/// What a refusal means. Its body is not repeated: it may hold the text that was sent.
fn refusal(response: &Response) -> Error {
    let status = response.status();
    let message = format!("the embedder answered {}", status.as_u16());
    match status.as_u16() {
        413 => Error::new(ErrorKind::Limit, TOO_LARGE, message),
        429 | 500..=599 => {
            let retry = retry_after(response).map_or(Retry::Backoff, Retry::After);
            Error::new(ErrorKind::Unavailable, "embedder_overloaded", message).with_retry(retry)
        }
        401 | 403 => Error::new(
            ErrorKind::Core(tenancy_core::ErrorKind::Misconfigured),
            "embedder_key_refused",
            message,
        ),
        _ => Error::new(
            ErrorKind::Core(tenancy_core::ErrorKind::Misconfigured),
            "embedder_refused",
            message,
        ),
    }
}

/// `Retry-After`, in seconds or as a date (RFC 9110).
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    Some(
        (at.to_utc() - chrono::Utc::now())
            .to_std()
            .unwrap_or_default(),
    )
}

async fn bounded(response: Response, limit: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(unreachable)?;
        if body.len() + part.len() > limit {
            return Err(malformed("the embedder's answer is larger than it can be"));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The vectors in the order of the texts: the answer's own order is not promised.
fn in_order(answer: Answer, texts: usize) -> Result<Vec<Vec<f32>>, Error> {
    let mut slots: Vec<Option<Vec<f32>>> = vec![None; texts];
    for item in answer.data {
        let vector = item
            .embedding
            .into_iter()
            .map(|x| x.unwrap_or(f32::NAN))
            .collect();
        match slots.get_mut(item.index) {
            Some(slot @ None) => *slot = Some(vector),
            _ => {
                return Err(malformed(
                    "the embedder's answer names a text twice or not at all",
                ));
            }
        }
    }
    let vectors: Vec<Vec<f32>> = slots.into_iter().flatten().collect();
    if vectors.len() == texts {
        return Ok(vectors);
    }
    let message = format!(
        "the embedder answered {} vectors for {texts} texts",
        vectors.len()
    );
    Err(Error::new(
        ErrorKind::EmbeddingInvalid,
        "embedding_count",
        message,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_sent_in_the_clear() {
        for good in [
            "https://api.example.com/v1",
            "http://127.0.0.1:8080/v1/",
            "http://localhost",
            "http://[::1]:1",
        ] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "http://api.example.com/v1",
            "ftp://localhost",
            "nonsense",
            "http://localhost.example.com",
            "",
        ] {
            assert_eq!(
                endpoint(bad).unwrap_err().code(),
                "embedder_url_invalid",
                "{bad}"
            );
        }
        assert_eq!(
            endpoint("https://a.example/v1/").unwrap().as_str(),
            "https://a.example/v1/embeddings"
        );
    }
}
