//! A request whose entry is still to be written.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::Value;
use tenancy_core::{Error, ErrorKind, Event, Origin, Outcome, TenantCtx};
use tokio::{runtime::Handle, task::JoinHandle};
use tracing::Instrument as _;

use super::{layer::Config, note::AuditNote, route::Route};

/// Writes the entry of a request once: when it is told how the request ends, or when it is dropped, which is
/// an end too.
pub(super) struct Pending {
    request: Option<Request>,
    /// Of the response, once there is one.
    pub(super) status: Option<StatusCode>,
}

struct Request {
    config: Arc<Config>,
    ctx: TenantCtx,
    note: AuditNote,
    route: Route,
    action: String,
    origin: Origin,
    started: Instant,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The caller went away.
    Aborted,
    Answered,
    /// The response broke off.
    BodyFailed,
    Panicked,
    /// The service gave an error in place of a response.
    ServiceFailed,
}

impl Pending {
    pub(super) fn new(
        config: Arc<Config>,
        ctx: TenantCtx,
        note: AuditNote,
        route: Route,
        action: String,
        origin: Origin,
    ) -> Self {
        let started = Instant::now();
        let request = Request {
            config,
            ctx,
            note,
            route,
            action,
            origin,
            started,
        };
        Self {
            request: Some(request),
            status: None,
        }
    }

    /// Whether the request is to fail if its entry can't be written.
    pub(super) fn fails_request(&self) -> bool {
        let config = self.request.as_ref().map(|request| &request.config);
        config.is_some_and(|config| config.fails_request)
    }

    /// Leaves no entry: somebody else has written it.
    pub(super) fn forget(mut self) {
        self.request = None;
    }

    /// Writes the entry, in a task that goes on if the caller goes away. Says whether it was written, or was
    /// not to be; `None` if it is being written already, or there is no runtime any more.
    pub(super) fn start(&mut self, end: End) -> Option<JoinHandle<bool>> {
        let request = self.request.take()?;
        let Ok(runtime) = Handle::try_current() else {
            request.unrecorded("runtime_gone", &"the runtime has ended");
            return None;
        };
        let status = self.status;
        let latency = request.started.elapsed();
        let owed = Owed::new(request);
        let writing = async move { owed.write(end, status, latency).await };
        Some(runtime.spawn(writing.in_current_span()))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.start(if std::thread::panicking() {
            End::Panicked
        } else {
            End::Aborted
        });
    }
}

/// An entry that is being written.
struct Owed {
    request: Request,
    /// Whether it was written, or counted as unwritten.
    settled: bool,
}

impl Owed {
    fn new(request: Request) -> Self {
        request.config.writes.send_modify(|writes| *writes += 1);
        Self {
            request,
            settled: false,
        }
    }

    async fn write(mut self, end: End, status: Option<StatusCode>, latency: Duration) -> bool {
        let written = self.request.write(end, status, latency).await;
        self.settled = true;
        written
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        // The runtime ended, or the sink panicked, in the middle.
        if !self.settled {
            let message = "the write was dropped before it was done";
            self.request.unrecorded("write_dropped", &message);
        }
        let writes = &self.request.config.writes;
        writes.send_modify(|writes| *writes -= 1);
    }
}

impl Request {
    /// Whether the entry was written, or was not to be.
    async fn write(&self, end: End, status: Option<StatusCode>, latency: Duration) -> bool {
        let noted = self.note.take();
        if noted.is_recorded {
            return true;
        }
        let mut event = Event::new(noted.action.unwrap_or_else(|| self.action.clone()));
        event.targets = noted.targets;
        event.meta = noted.meta;
        event.personal = noted.personal;
        event.subject = noted.about;
        if !noted.personal_changes.is_empty() {
            let changes = Value::Object(noted.personal_changes);
            event.personal.insert("changes".to_owned(), changes);
        }
        if !noted.changes.is_empty() {
            event
                .meta
                .insert("changes".to_owned(), Value::Object(noted.changes));
        }
        let describe = |event| self.describe(event, end, status, latency);
        let (event, plain) = (describe(event), describe(Event::new(self.action.clone())));
        let Err(error) = self.record(event).await else {
            return true;
        };
        if error.kind() != ErrorKind::InvalidInput {
            return self.unrecorded(error.code(), &error);
        }
        // What the handler said can't be kept; that the request happened can.
        tracing::warn!(%error, code = error.code(), "a handler's audit note was refused");
        let plain = plain.meta("note_refused", error.code());
        match self.record(plain).await {
            Ok(()) => true,
            Err(error) => self.unrecorded(error.code(), &error),
        }
    }

    fn describe(
        &self,
        mut event: Event,
        end: End,
        status: Option<StatusCode>,
        latency: Duration,
    ) -> Event {
        event.origin = self.origin.clone();
        if event.targets.is_empty() {
            event.targets.extend(self.route.target());
        }
        let latency = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        event = event.meta("latency_ms", latency);
        if let Some(template) = self.route.template() {
            event = event.meta("route", template);
        }
        if let Some(status) = status {
            event = event.meta("status", status.as_u16());
        }
        let event = match (end, status) {
            (End::Answered, Some(status)) => event.outcome(outcome(status)),
            _ => event.outcome(Outcome::Error),
        };
        match end {
            End::Answered => event,
            End::Aborted => event.meta("aborted", true),
            End::BodyFailed => event.meta("body_failed", true),
            End::Panicked => event.meta("aborted", true).meta("panicked", true),
            End::ServiceFailed => event.meta("service_failed", true),
        }
    }

    async fn record(&self, event: Event) -> Result<(), Error> {
        self.config.sink.record(&self.ctx, event).await
    }

    fn unrecorded(&self, code: &str, error: &dyn std::fmt::Display) -> bool {
        metrics::counter!("tenancy_audit_requests_unrecorded_total").increment(1);
        tracing::error!(
            %error, code, tenant = %self.ctx.tenant(), request = %self.ctx.request_id(),
            "a request could not be recorded"
        );
        false
    }
}

fn outcome(status: StatusCode) -> Outcome {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::LOCKED => Outcome::Denied,
        status if status.is_client_error() || status.is_server_error() => Outcome::Error,
        _ => Outcome::Allowed,
    }
}
