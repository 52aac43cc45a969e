//! Lets the properties of `testing::fuzz` reach what reads requests.

use http::{Request, request::Parts};

use super::{correlation::Correlation, source};

/// What is left of a request's own words, and where it says that it goes.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) request_id: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) segment: Option<String>,
}

/// A request whose lines are `name: value`, behind a first line with its target; `None` for what
/// no server would hand on.
pub(crate) fn read(text: &str) -> Option<Read> {
    let mut lines = text.split('\n');
    let mut request = Request::builder().uri(lines.next()?);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        request = request.header(name, value);
    }
    let (mut parts, ()) = request.body(()).ok()?.into_parts();
    Correlation::of(&mut parts);
    Some(Read {
        request_id: header(&parts, "x-request-id"),
        traceparent: header(&parts, "traceparent"),
        host: source::authority(&parts).ok().flatten(),
        segment: source::segment(parts.uri.path(), "/t/"),
    })
}

fn header(parts: &Parts, name: &str) -> Option<String> {
    let value = super::correlation::only(&parts.headers, name)?;
    Some(value.to_owned())
}
