//! What happens outside of every tenant.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::{Principal, TenantId};

/// Something that happened outside of every tenant, to be kept by a
/// [`PlatformLog`](crate::PlatformLog).
///
/// It names nothing that a caller can choose at length: a flood of made-up names must not become a
/// flood of different events.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct PlatformEvent {
    /// What happened.
    pub kind: PlatformEventKind,
    /// The code of the error that something was refused with, or a word for what was done.
    pub code: &'static str,
    /// The tenant that was named; it may not exist.
    pub tenant: Option<TenantId>,
    /// Who asked, as `user:…`, `service:…` or `operator:…`, where that is known.
    pub actor: Option<String>,
    /// From where, where that is known.
    pub address: Option<IpAddr>,
}

/// What happened: a refusal, or what an operator did.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PlatformEventKind {
    /// Entering a tenant was refused.
    EnterRefused,
    /// Proofs of a tenant's audit log were handed out with the operator's login, of which no tenant's log takes an
    /// entry.
    LogExported,
    /// A login was refused that is not valid. A request without one is no event.
    LoginRefused,
}

impl PlatformEventKind {
    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EnterRefused => "enter.refused",
            Self::LogExported => "audit.exported",
            Self::LoginRefused => "login.refused",
        }
    }
}

impl PlatformEvent {
    /// An event of which nothing else is known.
    pub fn new(kind: PlatformEventKind, code: &'static str) -> Self {
        Self {
            kind,
            code,
            tenant: None,
            actor: None,
            address: None,
        }
    }

    /// Says which tenant was named.
    pub fn with_tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Says who asked.
    pub fn with_actor(mut self, principal: &Principal) -> Self {
        let actor = &principal.actor;
        self.actor = Some(format!("{}:{}", actor.kind(), actor.id()));
        self
    }

    /// Says from where. An IPv4 address that came as IPv6 is kept as what it is.
    pub fn with_address(mut self, address: Option<IpAddr>) -> Self {
        self.address = address.map(|address| address.to_canonical());
        self
    }
}

/// A minute's worth of one event, as [`PlatformEvents`](crate::PlatformEvents) reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PlatformEntry {
    /// Its place: later ones have greater numbers.
    pub id: i64,
    /// What happened, such as `enter.refused`.
    pub kind: String,
    /// The code of the error, such as `not_a_member`, or a word for what was done.
    pub code: String,
    /// The tenant that was named; it may not exist.
    pub tenant: Option<TenantId>,
    /// Who asked.
    pub actor: Option<String>,
    /// From where.
    pub address: Option<IpAddr>,
    /// How often in this minute.
    pub count: u64,
    /// The first time.
    pub first_at: DateTime<Utc>,
    /// The last time.
    pub last_at: DateTime<Utc>,
}
