//! A query as it would be typed.

use std::fmt::{self, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use tenancy_core::Target;

use crate::model::{
    filter::Filter,
    query::{ActionFilter, AuditQuery, Order, ResourceFilter},
};

/// As it would be typed, so that reading it gives the same query again. What is no part of the language
/// is left out: the size of a page, and where one begins.
impl fmt::Display for AuditQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        let mut put = |text: String| {
            let written = write!(f, "{space}{text}");
            space = " ";
            written
        };
        for filter in self.conditions() {
            put(term(&filter))?;
        }
        for filter in &self.except {
            put(format!("-{}", term(filter)))?;
        }
        if let Some(from) = self.time.from {
            put(format!("created:>={}", instant(from)))?;
        }
        if let Some(to) = self.time.to {
            put(format!("created:<{}", instant(to)))?;
        }
        if self.order == Order::OldestFirst {
            put("sort:oldest".to_owned())?;
        }
        Ok(())
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn term(filter: &Filter) -> String {
    match filter {
        Filter::Action(ActionFilter::Exact(action)) => format!("action:{action}"),
        Filter::Action(ActionFilter::Prefix(prefix)) => format!("action:{}*", prefix.as_str()),
        Filter::Actor(actor) => {
            let (kind, id) = actor.columns();
            format!("actor:{kind}:{id}")
        }
        Filter::Ip(range) => format!("ip:{range}"),
        Filter::Outcome(outcome) => format!("outcome:{}", outcome.as_str()),
        Filter::Request(request) => format!("request:{request}"),
        Filter::Resource(ResourceFilter::Exact(target)) => named("resource", target),
        Filter::Resource(ResourceFilter::Kind(kind)) => format!("resource:{kind}:*"),
        Filter::Target(target) => named("target", target),
        Filter::Text(text) => quoted(text.as_str()),
    }
}

fn named(field: &str, target: &Target) -> String {
    format!("{field}:{}:{}", target.kind, quoted(&target.id))
}

/// In quotes, unless it is sure to mean the same without them.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '@');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        // A `String` takes everything.
        let _ = quoted.write_char(c);
    }
    quoted.push('"');
    quoted
}
