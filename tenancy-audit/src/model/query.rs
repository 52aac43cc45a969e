//! What to look for in the log.

use chrono::{DateTime, Utc};
use tenancy_core::{ActionKey, ApiKeyId, Grammar, Outcome, RequestId, ServiceKey, Target, UserId};

use super::{
    cursor::Cursor,
    entry::Entry,
    filter::{Filter, IpRange, SearchText},
    mark::Mark,
};
use crate::Error;

/// A search in one tenant's log. Filters narrow it down together.
///
/// ```
/// use tenancy_audit::{ActionFilter, AuditQuery};
/// use tenancy_core::Outcome;
///
/// let query = AuditQuery::new()
///     .with_action(ActionFilter::prefix("template.")?)
///     .with_outcome(Outcome::Denied)
///     .with_limit(20);
/// # Ok::<(), tenancy_audit::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct AuditQuery {
    /// Who acted.
    pub actor: Option<ActorFilter>,
    /// What was done.
    pub action: Option<ActionFilter>,
    /// What it was done to first; has an index.
    pub resource: Option<ResourceFilter>,
    /// What is among the things it was done to; looked for in what the other filters leave.
    pub target: Option<Target>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When the entry was made, by the writer's clock.
    pub time: TimeRange,
    /// The request it belongs to.
    pub request: Option<RequestId>,
    /// From which address it came, where the entry holds one in clear; has no index.
    pub ip: Option<IpRange>,
    /// What its details say; all of these. Has no index.
    pub text: Vec<SearchText>,
    /// What it must not be; none of these.
    pub except: Vec<Filter>,
    /// In which order; newest first by default.
    pub order: Order,
    /// Entries a page, up to 1,000; 50 by default.
    pub limit: Option<u16>,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// Only what was there at this mark.
    pub(crate) seen: Option<Mark>,
}

/// Who acted.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ActorFilter {
    /// An API key.
    ApiKey(ApiKeyId),
    /// A part of the host.
    Service(ServiceKey),
    /// A person.
    User(UserId),
}

/// What was done.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ActionFilter {
    /// This action.
    Exact(ActionKey),
    /// All actions that begin like this; made by [`ActionFilter::prefix`].
    Prefix(ActionPrefix),
}

/// The beginning of an action, checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ActionPrefix(String);

/// What it was done to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ResourceFilter {
    /// This thing.
    Exact(Target),
    /// All things of this kind.
    Kind(String),
}

/// From an instant on and up to another, which is not part of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct TimeRange {
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
}

/// The order of a page.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Order {
    /// The newest entry first.
    #[default]
    NewestFirst,
    /// The oldest entry first.
    OldestFirst,
}

/// Some entries, and where the next ones are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The entries, in the order asked for. Where a filter has no index, one page looks at 20,000 entries
    /// at most: it may hold fewer than asked for, or none, and still not be the last.
    pub entries: Vec<Entry>,
    /// What to search after for the next page; `None` at the end.
    pub next: Option<Cursor>,
}

impl ActionFilter {
    /// This action.
    ///
    /// # Errors
    /// The text is no action.
    pub fn exact(action: &str) -> Result<Self, Error> {
        Ok(Self::Exact(ActionKey::parse(action)?))
    }

    /// All actions that begin with this text, such as `template.`.
    ///
    /// # Errors
    /// `audit_prefix_invalid`: no action can begin like this.
    pub fn prefix(prefix: &str) -> Result<Self, Error> {
        let grammar = Grammar::dotted("audit_prefix_invalid", 1, 127);
        grammar.check(prefix.strip_suffix(['.', '_']).unwrap_or(prefix))?;
        Ok(Self::Prefix(ActionPrefix(prefix.to_owned())))
    }
}

impl ActionPrefix {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first text behind all that begin with this one: `{` follows the letters in ASCII.
    pub(crate) fn end(&self) -> String {
        format!("{}{{", self.0)
    }
}

impl ActorFilter {
    /// Kind and identifier as entries keep them.
    pub(crate) fn columns(&self) -> (&'static str, String) {
        match self {
            Self::ApiKey(id) => ("api_key", id.to_string()),
            Self::Service(key) => ("service", key.to_string()),
            Self::User(id) => ("user", id.to_string()),
        }
    }
}

impl TimeRange {
    /// Everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// From this instant on.
    pub fn with_from(mut self, from: DateTime<Utc>) -> Self {
        self.from = Some(from);
        self
    }

    /// Before this instant.
    pub fn with_to(mut self, to: DateTime<Utc>) -> Self {
        self.to = Some(to);
        self
    }
}

impl AuditQuery {
    /// Everything, newest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only what this actor did.
    pub fn with_actor(mut self, actor: ActorFilter) -> Self {
        self.actor = Some(actor);
        self
    }

    /// Only these actions.
    pub fn with_action(mut self, action: ActionFilter) -> Self {
        self.action = Some(action);
        self
    }

    /// Only what was done to this first.
    pub fn with_resource(mut self, resource: ResourceFilter) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Only what was done to this, among others.
    pub fn with_target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Only what ended so.
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// Only what was done then.
    pub fn with_time(mut self, time: TimeRange) -> Self {
        self.time = time;
        self
    }

    /// Only what belongs to this request.
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = Some(request);
        self
    }

    /// Only what came from there.
    pub fn with_ip(mut self, ip: IpRange) -> Self {
        self.ip = Some(ip);
        self
    }

    /// Only what says this in its details, too.
    pub fn with_text(mut self, text: SearchText) -> Self {
        self.text.push(text);
        self
    }

    /// Without what meets this condition.
    pub fn without(mut self, filter: Filter) -> Self {
        self.except.push(filter);
        self
    }

    /// In this order.
    pub fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// So many entries a page, between 1 and 1,000.
    pub fn with_limit(mut self, limit: u16) -> Self {
        self.limit = Some(limit);
        self
    }

    /// From where the page before ended. Everything but the limit has to be as it was there.
    pub fn with_after(mut self, after: Cursor) -> Self {
        self.after = Some(after);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_what_begins_with_it_and_nothing_else() {
        let Ok(ActionFilter::Prefix(prefix)) = ActionFilter::prefix("template.") else {
            panic!()
        };
        let covers = |action: &str| action >= prefix.as_str() && action < prefix.end().as_str();
        for inside in ["template.a", "template.z_9.zzz", "template.updated"] {
            assert!(covers(inside), "{inside}");
        }
        for outside in ["template", "templat", "templates.read", "u.x"] {
            assert!(!covers(outside), "{outside}");
        }
        for bad in ["", ".", "Template", "a%", "a'", "1a", "a.."] {
            assert_eq!(
                ActionFilter::prefix(bad).unwrap_err().code(),
                "audit_prefix_invalid"
            );
        }
    }
}
