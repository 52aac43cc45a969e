//! A request whose entry is still to be written.

use std::{sync::Arc, time::Instant};

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::Value;
use tenancy_core::{
    Error, ErrorKind, Event, Origin, Outcome, TenantCtx,
    http::{DenialRecorded, Problem},
};
use tracing::Instrument as _;

use super::{layer::Config, note::AuditNote, route::Route};

/// Writes the entry when the response is there, or when the request ends without one.
pub(super) struct Pending(Option<Request>);

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
#[derive(Clone, Copy)]
enum End {
    Aborted,
    Answered(StatusCode),
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
        Self(Some(Request {
            config,
            ctx,
            note,
            route,
            action,
            origin,
            started,
        }))
    }

    pub(super) async fn finish(mut self, response: Response) -> Response {
        let denial_recorded = response.extensions().get::<DenialRecorded>().is_some();
        let Some(request) = self.0.take().filter(|_| !denial_recorded) else {
            return response;
        };
        let fails_request = request.config.fails_request;
        let writing = request.write(End::Answered(response.status()));
        let written = tokio::spawn(writing.in_current_span()).await;
        if matches!(written, Ok(true)) || !fails_request {
            return response;
        }
        let message = "the request was carried out, but its audit entry could not be written";
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "audit_unavailable",
            message,
        )
        .into_response()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let (Some(request), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        runtime.spawn(request.write(End::Aborted).in_current_span());
    }
}

impl Request {
    /// Whether the entry was written, or was not to be.
    async fn write(self, end: End) -> bool {
        let noted = self.note.take();
        if noted.is_recorded {
            return true;
        }
        let mut event = Event::new(noted.action.unwrap_or_else(|| self.action.clone()));
        event.targets = noted.targets;
        event.meta = noted.meta;
        event.personal = noted.personal;
        if !noted.changes.is_empty() {
            event
                .meta
                .insert("changes".to_owned(), Value::Object(noted.changes));
        }
        let plain = self.describe(Event::new(self.action.clone()), end);
        let event = self.describe(event, end);
        let Err(error) = self.record(event).await else {
            return true;
        };
        if error.kind() != ErrorKind::InvalidInput {
            return self.failed(&error);
        }
        // What the handler said can't be kept; that the request happened can.
        tracing::warn!(%error, code = error.code(), "a handler's audit note was refused");
        let plain = plain.meta("note_refused", error.code());
        match self.record(plain).await {
            Ok(()) => true,
            Err(error) => self.failed(&error),
        }
    }

    fn describe(&self, mut event: Event, end: End) -> Event {
        event.origin = self.origin.clone();
        if event.targets.is_empty() {
            event.targets.extend(self.route.target());
        }
        let latency = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        event = event.meta("latency_ms", latency);
        if let Some(template) = self.route.template() {
            event = event.meta("route", template);
        }
        match end {
            End::Answered(status) => event
                .outcome(outcome(status))
                .meta("status", status.as_u16()),
            End::Aborted => event.outcome(Outcome::Error).meta("aborted", true),
        }
    }

    async fn record(&self, event: Event) -> Result<(), Error> {
        self.config.sink.record(&self.ctx, event).await
    }

    fn failed(&self, error: &Error) -> bool {
        metrics::counter!("tenancy_audit_requests_unrecorded_total").increment(1);
        tracing::error!(
            %error, code = error.code(), tenant = %self.ctx.tenant(), request = %self.ctx.request_id(),
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
