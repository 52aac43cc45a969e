//! What fields there are, and what their values mean.

use std::str::FromStr;

use tenancy_core::{ApiKeyId, Outcome, RequestId, ServiceKey, Target, UserId};

use super::{error::QueryError, lexer::Value};
use crate::model::{
    filter::Filter,
    query::{ActionFilter, ActorFilter, ResourceFilter},
};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Field {
    Action,
    Actor,
    Created,
    Ip,
    Outcome,
    Request,
    Resource,
    Sort,
    Target,
}

impl Field {
    const ALL: [(&'static str, Self); 9] = [
        ("action", Self::Action),
        ("actor", Self::Actor),
        ("created", Self::Created),
        ("ip", Self::Ip),
        ("outcome", Self::Outcome),
        ("request", Self::Request),
        ("resource", Self::Resource),
        ("sort", Self::Sort),
        ("target", Self::Target),
    ];

    pub(super) fn parse(name: &str) -> Option<Self> {
        let known = Self::ALL.iter().find(|(known, _)| *known == name);
        known.map(|(_, field)| *field)
    }

    /// For an error.
    pub(super) fn all() -> String {
        let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
        format!("a field ({}), or the text in quotes", names.join(", "))
    }

    /// The condition that a value of this field means; not for times and orders.
    pub(super) fn filter(self, value: &Value) -> Result<Filter, QueryError> {
        if value.open && !matches!(self, Self::Action | Self::Resource) {
            return Err(QueryError::value(value, self.expected()));
        }
        self.read(value)
            .ok_or_else(|| QueryError::value(value, self.expected()))
    }

    fn read(self, value: &Value) -> Option<Filter> {
        let text = &*value.text;
        match self {
            Self::Action if value.open => ActionFilter::prefix(text).ok().map(Filter::Action),
            Self::Action => ActionFilter::exact(text).ok().map(Filter::Action),
            Self::Actor => actor(text).map(Filter::Actor),
            Self::Ip => text.parse().ok().map(Filter::Ip),
            Self::Outcome => [Outcome::Allowed, Outcome::Denied, Outcome::Error]
                .into_iter()
                .find(|outcome| outcome.as_str() == text)
                .map(Filter::Outcome),
            Self::Request => RequestId::from_str(text).ok().map(Filter::Request),
            Self::Resource if value.open => {
                let kind = text.strip_suffix(':').filter(|kind| is_kind(kind))?;
                Some(Filter::Resource(ResourceFilter::Kind(kind.to_owned())))
            }
            Self::Resource => {
                target(text).map(|target| Filter::Resource(ResourceFilter::Exact(target)))
            }
            Self::Target => target(text).map(Filter::Target),
            Self::Created | Self::Sort => None,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Action => "an action such as `invoice.paid`, or a beginning such as `invoice.*`",
            Self::Actor => "`user:` or `api_key:` and an id, or `service:` and a name",
            Self::Created => {
                "a time such as `2026-01`, `2026-01..2026-02` or `>=2026-01-31T12:00:00Z`"
            }
            Self::Ip => "an address or a network such as `192.0.2.0/24`",
            Self::Outcome => "`allowed`, `denied` or `error`",
            Self::Request => "the id of a request",
            Self::Resource => "a kind and an id such as `template:7`, or `template:*`",
            Self::Sort => "`newest` or `oldest`",
            Self::Target => "a kind and an id such as `template:7`",
        }
    }
}

/// `user:ID`, `api_key:ID`, `service:NAME`; an id alone is a user's.
fn actor(text: &str) -> Option<ActorFilter> {
    match text.split_once(':') {
        None => UserId::from_str(text).ok().map(ActorFilter::User),
        Some(("user", id)) => UserId::from_str(id).ok().map(ActorFilter::User),
        Some(("api_key", id)) => ApiKeyId::from_str(id).ok().map(ActorFilter::ApiKey),
        Some(("service", key)) => ServiceKey::parse(key).ok().map(ActorFilter::Service),
        Some(_) => None,
    }
}

fn target(text: &str) -> Option<Target> {
    let (kind, id) = text.split_once(':')?;
    let fits = is_kind(kind) && !id.is_empty() && !id.contains('\0');
    fits.then(|| Target::new(kind, id))
}

/// What entries take as a kind.
fn is_kind(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    !text.is_empty() && text.bytes().all(fits)
}
