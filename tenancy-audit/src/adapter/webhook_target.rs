//! Entries as signed webhooks.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tenancy_core::{WebhookEndpoint, WebhookKeys, WebhookMessage, WebhookSender, WebhookTransport};

use crate::{Entry, Error, ExportFormat, StreamTarget};

/// How much of a message entries may fill: receivers take 64 KiB.
const MOST_BYTES: usize = 60 * 1_024;
/// More than the head of a message has.
const HEAD: usize = 256;
/// The most entries of a message, by default.
const MOST_ENTRIES: usize = 100;

/// A [`StreamTarget`] that posts entries in JSON, signed by the Standard Webhooks specification.
///
/// A message is `{"type":"audit.entries","format":"ndjson","data":[…]}` with up to 100 entries and 64 KiB;
/// `data` holds the entries as an export has them. One that is too long for a message comes in the same shape without
/// context, personal details, `meta` and targets but the first, and with `"omitted":true` (in OCSF below `unmapped`, for
/// `WorkOS` as `tenancy_omitted` below `metadata`).
/// The same entries make the same message under the same id, however often they are sent.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_audit::{AuditStream, Error, StreamStart, WebhookTarget};
/// # use tenancy_core::{WebhookKeys, WebhookTransport, WorkerDb};
/// # async fn run(worker: WorkerDb, keys: WebhookKeys, transport: Arc<dyn WebhookTransport>) -> Result<(), Error> {
/// let target = WebhookTarget::new("https://siem.example.com/audit", keys, transport)?;
/// let stream = AuditStream::open(worker, "siem", StreamStart::Now, Arc::new(target)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct WebhookTarget {
    endpoint: WebhookEndpoint,
    sender: WebhookSender,
    format: ExportFormat,
    most: usize,
}

impl WebhookTarget {
    /// Posts to this address, signed with these secrets.
    ///
    /// # Errors
    /// `webhook_url_invalid` for an address that is no URL of `https` (or `http`, which the transport has
    /// to allow), or that holds a login or a fragment.
    pub fn new(
        url: &str,
        keys: WebhookKeys,
        transport: Arc<dyn WebhookTransport>,
    ) -> Result<Self, Error> {
        Ok(Self {
            endpoint: WebhookEndpoint::new("audit_stream", url, keys)?,
            sender: WebhookSender::new(transport),
            format: ExportFormat::Ndjson,
            most: MOST_ENTRIES,
        })
    }

    /// Sets the shape of the entries.
    ///
    /// # Errors
    /// `audit_format_invalid` for a table, which is no JSON.
    pub fn with_format(mut self, format: ExportFormat) -> Result<Self, Error> {
        if format == ExportFormat::Csv {
            let message = "a message holds JSON: `cloudevents`, `ndjson`, `ocsf` or `workos`";
            return Err(Error::invalid("audit_format_invalid", message));
        }
        self.format = format;
        Ok(self)
    }

    /// Sets the most entries of a message, 1 to 1,000.
    pub fn with_max_entries(mut self, entries: u16) -> Self {
        self.most = usize::from(entries.clamp(1, 1_000));
        self
    }

    /// As many entries from the front as fit into a message, and how many these are.
    fn message(&self, entries: &[Entry]) -> Result<(WebhookMessage, usize), Error> {
        let mut body = format!(
            r#"{{"type":"audit.entries","format":"{}","data":["#,
            self.format
        );
        let mut taken = 0_usize;
        let mut line = String::new();
        for entry in entries.iter().take(self.most) {
            line.clear();
            self.format.write(entry, &mut line)?;
            if line.len() + HEAD > MOST_BYTES {
                line.clear();
                self.format.write_short(entry, &mut line)?;
            }
            if taken > 0 && body.len() + line.len() > MOST_BYTES {
                break;
            }
            if taken > 0 {
                body.push(',');
            }
            body.push_str(line.trim_end());
            taken += 1;
        }
        body.push_str("]}");
        let name = |entry: Option<&Entry>| {
            entry
                .map(|entry| entry.id.as_uuid().simple().to_string())
                .unwrap_or_default()
        };
        let (first, last) = (entries.first(), entries.get(taken.saturating_sub(1)));
        let id = format!("audit_{}_{}", name(first), name(last));
        Ok((WebhookMessage::new(id, body)?, taken))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StreamTarget for WebhookTarget {
    async fn deliver(&self, entries: &[Entry]) -> Result<usize, Error> {
        let (message, taken) = self.message(entries)?;
        let (url, keys) = (self.endpoint.url(), self.endpoint.keys());
        self.sender.send(url, keys, &message).await?;
        Ok(taken)
    }
}

/// Without the path of the address: some services put their secret there.
impl fmt::Debug for WebhookTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookTarget")
            .field("endpoint", &self.endpoint)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
