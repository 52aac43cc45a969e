//! What an audit entry says, before it is stored.

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
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
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
#[derive(Clone, Debug, Eq, PartialEq)]
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
