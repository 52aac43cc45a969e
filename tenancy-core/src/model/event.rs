//! What an audit entry says, before it is stored.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Subject;

/// How an audited action ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It was done.
    #[default]
    Allowed,
    /// It was refused.
    Denied,
    /// It was tried and failed.
    Error,
}

impl Outcome {
    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Error => "error",
        }
    }
}

/// What was acted on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Target {
    /// The kind of thing, such as `template`.
    pub kind: String,
    /// Which one.
    pub id: String,
}

impl Target {
    /// Names a thing.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "ids are passed as they are, mostly Copy"
    )]
    pub fn new(kind: impl Into<String>, id: impl ToString) -> Self {
        Self {
            kind: kind.into(),
            id: id.to_string(),
        }
    }
}

/// Where a request came from.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Origin {
    /// The caller's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The caller's `User-Agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The W3C trace id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// One thing that happened, to be recorded by an [`AuditSink`](crate::AuditSink).
///
/// The tenant, the actor and the request id are not part of it: the sink takes them from the
/// context, so that nobody can sign somebody else's name. The sink checks the action's grammar,
/// the sizes, and redacts secrets.
///
/// ```
/// use tenancy_core::{Event, Outcome};
///
/// let event = Event::new("template.updated").target("template", 7).meta("fields", ["name"]);
/// assert_eq!(event.outcome, Outcome::Allowed);
/// ```
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// What happened, such as `template.updated`; see [`ActionKey`](crate::ActionKey).
    pub action: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What it was done to; the first one is the entry's resource.
    pub targets: Vec<Target>,
    /// Where it came from.
    pub origin: Origin,
    /// Anything else, as a JSON object.
    pub meta: Map<String, Value>,
    /// Details about a person, kept apart so that they can be erased without breaking a proof.
    pub personal: Map<String, Value>,
    /// Whom the personal details are about, where that is not the actor.
    pub subject: Option<Subject>,
    /// The key under which it is recorded once, however often it is sent.
    pub idempotency_key: Option<String>,
}

impl fmt::Debug for Origin {
    /// Without the address and the browser, which say something about a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("trace_id", &self.trace_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Event {
    /// Without the values of its details: nobody has redacted them yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("action", &self.action)
            .field("outcome", &self.outcome)
            .field("targets", &self.targets)
            .field("origin", &self.origin)
            .field("meta", &Names(&self.meta))
            .field("personal", &Names(&self.personal))
            .finish_non_exhaustive()
    }
}

/// The keys of an object.
pub(super) struct Names<'a>(pub(super) &'a Map<String, Value>);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Event {
    /// Starts an event whose outcome is [`Outcome::Allowed`].
    pub fn new(action: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            outcome: Outcome::default(),
            targets: Vec::new(),
            origin: Origin::default(),
            meta: Map::new(),
            personal: Map::new(),
            subject: None,
            idempotency_key: None,
        }
    }

    /// Adds what was acted on.
    pub fn target(mut self, kind: impl Into<String>, id: impl ToString) -> Self {
        self.targets.push(Target::new(kind, id));
        self
    }

    /// Says how it ended.
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Says where it came from.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Adds a detail about a person, such as his name.
    pub fn personal(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.personal.insert(key.into(), value.into());
        self
    }

    /// Says whom the personal details are about, where that is not the actor: they can be erased with that
    /// person.
    pub fn about(mut self, subject: impl Into<Subject>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Records the event once, however often it is sent under this key in this tenant: for what is retried.
    /// A key that was used for something else is a [`Conflict`](crate::ErrorKind::Conflict). A sink says how
    /// long it remembers keys, and whether it does at all.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Adds a detail. Personal data and secrets don't belong here.
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.meta.insert(key.into(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_that_redaction_is_for() {
        let mut event = Event::new("note.made")
            .target("note", 7)
            .meta("password", "hunter2-meta")
            .personal("email", "ann@example.com")
            .about(Subject::parse("lead:4711").unwrap())
            .idempotency_key("key-of-ann");
        event.origin.ip = Some("192.0.2.7".to_owned());
        event.origin.user_agent = Some("a browser".to_owned());
        event.origin.trace_id = Some("4bf92f35".to_owned());
        let shown = format!("{event:?}");
        for hidden in ["hunter2", "ann@", "4711", "of-ann", "192.0.2.7", "browser"] {
            assert!(!shown.contains(hidden), "{hidden}: {shown}");
        }
        for named in ["note.made", "password", "email", "4bf92f35", "Allowed"] {
            assert!(shown.contains(named), "{named}: {shown}");
        }
    }
}
