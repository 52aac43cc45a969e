//! A response's body, whose end belongs to the request's entry.

use std::{
    error::Error as StdError,
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use super::pending::{End, Pending};

type BoxError = Box<dyn StdError + Send + Sync>;
type Polled = Option<Result<Frame<Bytes>, BoxError>>;

pin_project! {
    /// The body of a response under an [`AuditLayer`](super::AuditLayer).
    ///
    /// Of a response that is sent in pieces the entry is written before the client sees the end, so that it says
    /// whether there was one: behind the last piece, or in front of it where the piece is known to be the last.
    pub struct AuditBody<B> {
        #[pin]
        inner: Inner<B>,
    }
}

pin_project! {
    #[project = Projected]
    enum Inner<B> {
        /// Of a request that leaves no entry.
        Plain { #[pin] body: B },
        Watched { body: Watched<B> },
    }
}

struct Watched<B> {
    body: Option<Pin<Box<B>>>,
    /// What was taken from the body before it was handed on.
    first: Polled,
    state: State,
}

enum State {
    /// There is an entry to write at the end.
    Open { pending: Pending, left: Option<u64> },
    /// It is being written; what the client gets behind it.
    Closing {
        writing: JoinHandle<bool>,
        last: Polled,
        fails: bool,
    },
    /// Nothing is left to write.
    Closed,
}

/// A response's body as far as it is known before it is sent.
pub(super) struct Opened<B> {
    body: Pin<Box<B>>,
    first: Option<Polled>,
    /// The bytes that a server takes of the whole before it asks for no more, where that is known.
    len: Option<u64>,
}

impl<B> Opened<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// A body that no server sends, since the response has none.
    pub(super) fn unsent(body: B) -> Self {
        let (body, first, len) = (Box::pin(body), None, Some(0));
        Self { body, first, len }
    }

    /// Takes what is there, without waiting. A body that does not know its length has the one that is
    /// announced in the response's head.
    pub(super) async fn of(body: B, announced: Option<u64>) -> Self {
        let mut body = Box::pin(body);
        if body.is_end_stream() {
            let (first, len) = (Some(None), Some(0));
            return Self { body, first, len };
        }
        let first = poll_fn(|cx| {
            Poll::Ready(match body.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => Some(boxed(frame)),
                Poll::Pending => None,
            })
        })
        .await;
        let seen = first.as_ref().and_then(Option::as_ref);
        let len = hint(&body, seen).exact().or(announced);
        Self { body, first, len }
    }

    /// How the response ends, if it ends with what is there.
    pub(super) fn end(&self) -> Option<End> {
        let mut left = self.len;
        match &self.first {
            Some(first) => ended(first, &mut left, self.body.is_end_stream()),
            None => (left == Some(0)).then_some(End::Answered),
        }
    }

    /// The body, whose entry was written.
    pub(super) fn written(self) -> AuditBody<B> {
        // What has ended may not stand being asked again.
        let body = (!matches!(self.first, Some(None))).then_some(self.body);
        AuditBody::watched(body, self.first.flatten(), State::Closed)
    }

    /// The body, whose entry is written at its end.
    pub(super) fn watched(self, pending: Pending) -> AuditBody<B> {
        let (first, left) = (self.first.flatten(), self.len);
        AuditBody::watched(Some(self.body), first, State::Open { pending, left })
    }
}

impl<B> AuditBody<B> {
    pub(super) fn plain(body: B) -> Self {
        let inner = Inner::Plain { body };
        Self { inner }
    }

    fn watched(body: Option<Pin<Box<B>>>, first: Polled, state: State) -> Self {
        let body = Watched { body, first, state };
        Self {
            inner: Inner::Watched { body },
        }
    }
}

/// What a layer answers itself.
impl<B> From<String> for AuditBody<B> {
    fn from(text: String) -> Self {
        let first = (!text.is_empty()).then(|| Ok(Frame::data(Bytes::from(text))));
        Self::watched(None, first, State::Closed)
    }
}

impl<B> Body for AuditBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        match self.project().inner.project() {
            Projected::Plain { body } => body.poll_frame(cx).map(boxed),
            Projected::Watched { body } => body.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Plain { body } => body.is_end_stream(),
            // As long as there is something to write the end has to be asked for.
            Inner::Watched { body } => {
                matches!(body.state, State::Closed)
                    && body.first.is_none()
                    && body.body.as_ref().is_none_or(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Plain { body } => body.size_hint(),
            Inner::Watched { body } => match &body.body {
                Some(inner) => hint(inner, body.first.as_ref()),
                None => SizeHint::with_exact(len(body.first.as_ref())),
            },
        }
    }
}

impl<B> Watched<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        loop {
            if let State::Closing {
                writing,
                last,
                fails,
            } = &mut self.state
            {
                let written = matches!(ready!(Pin::new(writing).poll(cx)), Ok(true));
                let (last, fails) = (last.take(), *fails);
                self.state = State::Closed;
                return Poll::Ready(self.closed(last, written || !fails));
            }
            let frame = match (self.first.take(), &mut self.body) {
                (Some(first), _) => Some(first),
                (None, Some(body)) => boxed(ready!(body.as_mut().poll_frame(cx))),
                (None, None) => None,
            };
            if let Some(frame) = self.seen(frame) {
                return Poll::Ready(frame);
            }
        }
    }

    /// The frame, if it may be handed on; none as long as the entry is written in front of the last one.
    fn seen(&mut self, frame: Polled) -> Option<Polled> {
        let State::Open { pending, left } = &mut self.state else {
            return Some(frame);
        };
        let is_last = self.body.as_ref().is_none_or(Body::is_end_stream);
        let Some(end) = ended(&frame, left, is_last) else {
            return Some(frame);
        };
        let fails = pending.fails_request();
        let Some(writing) = pending.start(end) else {
            self.state = State::Closed;
            return Some(self.closed(frame, !fails));
        };
        self.state = State::Closing {
            writing,
            last: frame,
            fails,
        };
        None
    }
}

impl<B> Watched<B> {
    /// What was held back until the entry was written, or an error in the place of the end.
    fn closed(&mut self, last: Polled, may_end: bool) -> Polled {
        let last = match last {
            None | Some(Ok(_)) if !may_end => Some(Err(UNWRITTEN.into())),
            last => last,
        };
        // Behind the last bytes of a known length there may be trailers.
        if !matches!(last, Some(Ok(_))) {
            self.body = None;
        }
        last
    }
}

/// How the response ends with this frame, if it does; `left` are the bytes that were to come.
fn ended(frame: &Polled, left: &mut Option<u64>, is_last: bool) -> Option<End> {
    let is_last = match frame {
        Some(Err(_)) => return Some(End::BodyFailed),
        Some(Ok(piece)) => {
            let sent = piece.data_ref().map_or(0, |data| data.len() as u64);
            *left = left.map(|left| left.saturating_sub(sent));
            // Who knows the length does not ask for the end, and nobody asks behind trailers.
            is_last || piece.is_trailers() || *left == Some(0)
        }
        None => true,
    };
    let is_short = left.is_some_and(|left| left > 0);
    is_last.then_some(if is_short {
        End::BodyFailed
    } else {
        End::Answered
    })
}

/// Why a response that was sent ends without an end.
const UNWRITTEN: &str = "the request was carried out, but its audit entry could not be written";

fn boxed<E: Into<BoxError>>(frame: Option<Result<Frame<Bytes>, E>>) -> Polled {
    frame.map(|frame| frame.map_err(Into::into))
}

fn len(first: Option<&Result<Frame<Bytes>, BoxError>>) -> u64 {
    let data = first.and_then(|frame| frame.as_ref().ok()?.data_ref());
    data.map_or(0, |data| data.len() as u64)
}

fn hint<B: Body>(body: &Pin<Box<B>>, first: Option<&Result<Frame<Bytes>, BoxError>>) -> SizeHint {
    let (rest, first) = (body.size_hint(), len(first));
    let mut hint = SizeHint::new();
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper.saturating_add(first));
    }
    hint.set_lower(rest.lower().saturating_add(first));
    hint
}

impl<B> fmt::Debug for AuditBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditBody")
    }
}
