//! Queries as people type them: `field:value`, as in the search of code forges.

mod error;
mod field;
mod lexer;
mod time;
mod write;

use std::str::FromStr;

pub use error::QueryError;

use self::{
    field::Field,
    lexer::{Term, terms},
};
use super::{
    filter::{Filter, SearchText},
    query::{AuditQuery, Order, TimeRange},
};

/// The longest query, in bytes.
const MAX_LEN: usize = 2_048;
/// The most terms.
const MOST_TERMS: usize = 32;

impl FromStr for AuditQuery {
    type Err = QueryError;

    /// Reads a query as people type it.
    ///
    /// ```
    /// use tenancy_audit::AuditQuery;
    ///
    /// let query: AuditQuery = "action:invoice.* -outcome:allowed created:2026-01..2026-02 refund".parse()?;
    /// assert_eq!(query.except.len(), 1);
    ///
    /// let wrong = "action:invoice.* outcome:refused".parse::<AuditQuery>().unwrap_err();
    /// assert_eq!(wrong.position(), 25);
    /// assert!(wrong.to_string().contains("expected `allowed`, `denied` or `error`"));
    /// # Ok::<(), tenancy_audit::QueryError>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_LEN {
            let expected = format!("a query of at most {MAX_LEN} bytes");
            return Err(QueryError::new("audit_query_too_long", 0, expected));
        }
        let terms = terms(text)?;
        if let Some(term) = terms.get(MOST_TERMS) {
            let expected = format!("at most {MOST_TERMS} terms");
            return Err(QueryError::new("audit_query_too_long", term.at, expected));
        }
        let mut query = Self::new();
        let mut sorted = false;
        for term in &terms {
            match term.field {
                None => query.put_text(term)?,
                Some((Field::Created, _)) => query.put_time(term)?,
                Some((Field::Sort, _)) => query.put_order(term, &mut sorted)?,
                Some((field, at)) => query.put(term, at, field.filter(&term.value)?)?,
            }
        }
        Ok(query)
    }
}

impl AuditQuery {
    fn put_text(&mut self, term: &Term) -> Result<(), QueryError> {
        let text = SearchText::parse(&*term.value.text).map_err(|error| {
            QueryError::value(&term.value, format!("a text to look for: {error}"))
        })?;
        if term.negated {
            self.except.push(Filter::Text(text));
        } else {
            self.text.push(text);
        }
        Ok(())
    }

    fn put_time(&mut self, term: &Term) -> Result<(), QueryError> {
        refuse_negated(term)?;
        let TimeRange { from, to } = time::range(&term.value)?;
        let twice = (from.is_some() && self.time.from.is_some())
            || (to.is_some() && self.time.to.is_some());
        if twice {
            return Err(twice_at(term.at, "one beginning and one end of `created`"));
        }
        self.time.from = from.or(self.time.from);
        self.time.to = to.or(self.time.to);
        Ok(())
    }

    fn put_order(&mut self, term: &Term, sorted: &mut bool) -> Result<(), QueryError> {
        refuse_negated(term)?;
        if std::mem::replace(sorted, true) {
            return Err(twice_at(term.at, "`sort` once"));
        }
        self.order = match &*term.value.text {
            "newest" => Order::NewestFirst,
            "oldest" => Order::OldestFirst,
            _ => return Err(QueryError::value(&term.value, "`newest` or `oldest`")),
        };
        Ok(())
    }

    fn put(&mut self, term: &Term, at: usize, filter: Filter) -> Result<(), QueryError> {
        if term.negated {
            self.except.push(filter);
            return Ok(());
        }
        let fresh = match filter {
            Filter::Action(filter) => self.action.replace(filter).is_none(),
            Filter::Actor(filter) => self.actor.replace(filter).is_none(),
            Filter::Ip(range) => self.ip.replace(range).is_none(),
            Filter::Outcome(outcome) => self.outcome.replace(outcome).is_none(),
            Filter::Request(request) => self.request.replace(request).is_none(),
            Filter::Resource(filter) => self.resource.replace(filter).is_none(),
            Filter::Target(target) => self.target.replace(target).is_none(),
            Filter::Text(text) => {
                self.text.push(text);
                true
            }
        };
        if fresh {
            return Ok(());
        }
        Err(twice_at(at, "each field once; only `-field:` may repeat"))
    }
}

fn refuse_negated(term: &Term) -> Result<(), QueryError> {
    if !term.negated {
        return Ok(());
    }
    let expected = "no `-` in front of `created` and `sort`";
    Err(QueryError::new("audit_query_negation", term.at, expected))
}

fn twice_at(at: usize, expected: &str) -> QueryError {
    QueryError::new("audit_query_twice", at, expected)
}

#[cfg(test)]
mod tests;
