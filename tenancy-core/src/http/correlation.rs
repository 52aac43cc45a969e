//! What a request is called in logs, traces and answers.

use std::future::Future;

use http::{HeaderMap, HeaderValue, Response, request::Parts};
use tracing::{Instrument as _, Span, field::Empty};

use crate::{RequestId, Traceparent};

const REQUEST_ID: &str = "x-request-id";
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The request that is being answered on this task, inside of a layer.
pub(super) fn current() -> Option<RequestId> {
    CURRENT.try_with(|id| *id).ok()
}

/// A request's id and its place in a trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correlation {
    pub(super) request: RequestId,
    pub(super) trace: Traceparent,
}

impl Correlation {
    /// Those that a layer further out has given, or those of the request's headers as far as they
    /// are valid, or new ones. From here on the headers say what is used, so that what stands
    /// further in never sees an invalid one.
    pub(super) fn of(parts: &mut Parts) -> Self {
        if let Some(known) = parts.extensions.get::<Self>() {
            return *known;
        }
        let given = only(&parts.headers, REQUEST_ID).and_then(|text| text.parse().ok());
        let trace = only(&parts.headers, TRACEPARENT).and_then(|text| text.parse().ok());
        if trace.is_none() {
            // It belongs to the traceparent that is not taken over.
            parts.headers.remove(TRACESTATE);
        }
        let correlation = Self {
            request: given.unwrap_or_else(RequestId::new),
            trace: trace.unwrap_or_else(Traceparent::new),
        };
        correlation.put(&mut parts.headers);
        parts.extensions.insert(correlation);
        correlation
    }

    /// The span of the request. Tenant and caller are recorded when they are proven.
    pub(super) fn span(&self) -> Span {
        tracing::info_span!(
            "request",
            request = %self.request,
            trace = %self.trace.trace(),
            tenant = Empty,
            user = Empty,
            api_key = Empty,
        )
    }

    /// Answers under these names, and tells the caller.
    pub(super) async fn answer<B, E>(
        self,
        span: Span,
        answering: impl Future<Output = Result<Response<B>, E>>,
    ) -> Result<Response<B>, E> {
        let mut response = CURRENT
            .scope(self.request, answering)
            .instrument(span)
            .await?;
        self.put(response.headers_mut());
        Ok(response)
    }

    fn put(&self, headers: &mut HeaderMap) {
        let texts = [
            (REQUEST_ID, self.request.to_string()),
            (TRACEPARENT, self.trace.to_string()),
        ];
        for (name, text) in texts {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
}

/// The value of a header that is there once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}
