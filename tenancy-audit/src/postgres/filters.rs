//! A query as the parameters of its statements.

use serde_json::Value;
use sqlx::{Arguments as _, Encode, Postgres, Type, postgres::PgArguments};
use tenancy_core::{Outcome, RequestId, TenantId};
use uuid::Uuid;

use crate::{
    ActionFilter, ActorFilter, AuditQuery, Error, ErrorKind, Filter, Order, ResourceFilter,
    model::{like, targets_json},
};

/// A search in a tenant, within these ids; up to so many entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looking<'a> {
    pub(super) query: &'a AuditQuery,
    pub(super) tenant: TenantId,
    pub(super) ids: (Uuid, Uuid),
    pub(super) count: i64,
}

/// Filters that an index serves; `None` is no filter.
#[derive(Default)]
struct Indexed {
    actor_kind: Option<&'static str>,
    actor_id: Option<String>,
    action: Option<String>,
    action_from: Option<String>,
    action_to: Option<String>,
    resource: Option<String>,
    resource_from: Option<String>,
    resource_to: Option<String>,
}

/// What must not be; `None` is no filter.
#[derive(Default)]
struct Except {
    actors: Vec<String>,
    actions: Vec<String>,
    resources: Vec<String>,
    targets: Vec<Value>,
    outcomes: Vec<&'static str>,
    requests: Vec<RequestId>,
    networks: Vec<String>,
    texts: Vec<String>,
}

/// Parameters, the first one that can't be sent kept as an error.
pub(super) struct Bound(PgArguments, Result<(), Error>);

impl Bound {
    pub(super) fn new() -> Self {
        Self(PgArguments::default(), Ok(()))
    }

    pub(super) fn add<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        if self.1.is_ok() {
            self.1 = self.0.add(value).map_err(|_| {
                let message = "a filter can't be sent to the database";
                Error::new(ErrorKind::Internal, "audit_filter_unsent", message)
            });
        }
        self
    }

    /// An empty list is no filter.
    fn add_some<'q, T: 'q>(self, values: Vec<T>) -> Self
    where
        Vec<T>: Encode<'q, Postgres> + Type<Postgres>,
    {
        self.add(Some(values).filter(|values| !values.is_empty()))
    }

    pub(super) fn done(self) -> Result<PgArguments, Error> {
        self.1.map(|()| self.0)
    }
}

impl Looking<'_> {
    /// The parameters of a search that only looks at what indexes serve.
    pub(super) fn indexed(&self) -> Result<PgArguments, Error> {
        self.bind_indexed().add(self.newest_first()).done()
    }

    /// The parameters of a search.
    pub(super) fn all(&self) -> Result<PgArguments, Error> {
        self.bind_all().add(self.newest_first()).done()
    }

    /// The parameters of a search whose entries are put into groups.
    pub(super) fn grouped(&self, by: &'static str) -> Result<PgArguments, Error> {
        self.bind_all().add(by).done()
    }

    fn newest_first(&self) -> bool {
        self.query.order == Order::NewestFirst
    }

    fn bind_indexed(&self) -> Bound {
        let filters = Indexed::of(self.query);
        Bound::new()
            .add(self.tenant)
            .add(self.ids.0)
            .add(self.ids.1)
            .add(filters.actor_kind)
            .add(filters.actor_id)
            .add(filters.action)
            .add(filters.action_from)
            .add(filters.action_to)
            .add(filters.resource)
            .add(filters.resource_from)
            .add(filters.resource_to)
            .add(self.query.outcome.map(Outcome::as_str))
            .add(self.query.request)
            .add(self.count)
    }

    fn bind_all(&self) -> Bound {
        let (query, except) = (self.query, Except::of(self.query));
        let target = query.target.as_ref();
        let texts: Vec<String> = query.text.iter().map(crate::SearchText::pattern).collect();
        self.bind_indexed()
            .add(query.seen.as_ref().map(|mark| mark.as_str().to_owned()))
            .add(target.map(|target| targets_json(std::slice::from_ref(target))))
            .add(query.ip.map(|range| range.to_string()))
            .add_some(texts)
            .add_some(except.actors)
            .add_some(except.actions)
            .add_some(except.resources)
            .add_some(except.targets)
            .add_some(except.outcomes)
            .add_some(except.requests)
            .add_some(except.networks)
            .add_some(except.texts)
    }
}

impl Indexed {
    fn of(query: &AuditQuery) -> Self {
        let mut filters = Self::default();
        if let Some((kind, id)) = query.actor.as_ref().map(ActorFilter::columns) {
            filters.actor_kind = Some(kind);
            filters.actor_id = Some(id);
        }
        match &query.action {
            Some(ActionFilter::Exact(action)) => filters.action = Some(action.to_string()),
            Some(ActionFilter::Prefix(prefix)) => {
                filters.action_from = Some(prefix.as_str().to_owned());
                filters.action_to = Some(prefix.end());
            }
            None => {}
        }
        match &query.resource {
            Some(ResourceFilter::Exact(target)) => {
                filters.resource = Some(format!("{}:{}", target.kind, target.id));
            }
            Some(ResourceFilter::Kind(kind)) => {
                // `;` follows `:` in ASCII.
                filters.resource_from = Some(format!("{kind}:"));
                filters.resource_to = Some(format!("{kind};"));
            }
            None => {}
        }
        filters
    }
}

impl Except {
    fn of(query: &AuditQuery) -> Self {
        let mut except = Self::default();
        for filter in &query.except {
            match filter {
                Filter::Action(ActionFilter::Exact(action)) => {
                    except.actions.push(like(action.as_str()));
                }
                Filter::Action(ActionFilter::Prefix(prefix)) => {
                    except.actions.push(format!("{}%", like(prefix.as_str())));
                }
                Filter::Actor(actor) => {
                    let (kind, id) = actor.columns();
                    except.actors.push(format!("{kind}:{id}"));
                }
                Filter::Ip(range) => except.networks.push(range.to_string()),
                Filter::Outcome(outcome) => except.outcomes.push(outcome.as_str()),
                Filter::Request(request) => except.requests.push(*request),
                Filter::Resource(ResourceFilter::Exact(target)) => except
                    .resources
                    .push(like(&format!("{}:{}", target.kind, target.id))),
                Filter::Resource(ResourceFilter::Kind(kind)) => {
                    except.resources.push(format!("{}:%", like(kind)));
                }
                Filter::Target(target) => except
                    .targets
                    .push(targets_json(std::slice::from_ref(target))),
                Filter::Text(text) => except.texts.push(text.pattern()),
            }
        }
        except
    }
}
