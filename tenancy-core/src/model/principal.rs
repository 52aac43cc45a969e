//! Who acts.

use serde::{Deserialize, Serialize};

use crate::{ApiKeyId, PermissionKey, ServiceKey, UserId};

/// Who acts in a tenant, and for whom.
///
/// A plain value: a job stores the principal that enqueued it and is checked again when it runs.
/// Holding one proves nothing; only a [`TenantCtx`](crate::TenantCtx) does.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Principal {
    /// The one who really acts; audit entries name him.
    pub actor: Actor,
    /// For whom he acts. A user acts with that user's rights instead of his own (impersonation by
    /// support); a service or an API key keeps its own permissions, and the trail names the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<UserId>,
}

/// The kinds of actors.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Actor {
    /// A person, who must be an active member and has what his roles grant.
    User {
        /// Who.
        id: UserId,
    },
    /// A part of the host, with exactly the permissions named here.
    Service {
        /// Which part.
        key: ServiceKey,
        /// What it may do.
        permissions: Vec<PermissionKey>,
    },
    /// An API key of the tenant, with the permissions it was made with, as far as its maker has them.
    ApiKey {
        /// Which key; never the key itself.
        id: ApiKeyId,
        /// What it may do.
        permissions: Vec<PermissionKey>,
    },
}

impl Actor {
    /// The kind as settings and audit rows store it: `user`, `service` or `api_key`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Service { .. } => "service",
            Self::ApiKey { .. } => "api_key",
        }
    }

    /// The identifier as settings and audit rows store it.
    pub fn id(&self) -> String {
        match self {
            Self::User { id } => id.to_string(),
            Self::Service { key, .. } => key.to_string(),
            Self::ApiKey { id, .. } => id.to_string(),
        }
    }

    /// The permissions the actor brings along, and beyond which it has none; `None` where roles alone
    /// decide.
    pub fn permissions(&self) -> Option<&[PermissionKey]> {
        match self {
            Self::User { .. } => None,
            Self::Service { permissions, .. } | Self::ApiKey { permissions, .. } => {
                Some(permissions)
            }
        }
    }
}

impl Principal {
    /// A person with his own rights.
    pub fn user(id: UserId) -> Self {
        Self {
            actor: Actor::User { id },
            on_behalf_of: None,
        }
    }

    /// A part of the host with the permissions given.
    pub fn service(key: ServiceKey, permissions: Vec<PermissionKey>) -> Self {
        Self {
            actor: Actor::Service { key, permissions },
            on_behalf_of: None,
        }
    }

    /// An API key with the permissions it was made with.
    pub fn api_key(id: ApiKeyId, permissions: Vec<PermissionKey>) -> Self {
        Self {
            actor: Actor::ApiKey { id, permissions },
            on_behalf_of: None,
        }
    }

    /// The same principal, acting for a user.
    pub fn on_behalf_of(mut self, user: UserId) -> Self {
        self.on_behalf_of = Some(user);
        self
    }

    /// Whether this permission is closed to whoever acts for another person, although that person
    /// may hold it: who belongs to the tenant, what roles grant, what becomes of the tenant, its
    /// API keys, and secrets in the clear. Every [`Authorizer`](crate::Authorizer) asks.
    pub fn is_closed_to(&self, permission: &PermissionKey) -> bool {
        let acts_for_another =
            matches!(self.actor, Actor::User { .. }) && self.on_behalf_of.is_some();
        if !acts_for_another {
            return false;
        }
        let (topic, _) = permission.as_str().split_once('.').unwrap_or_default();
        let closed = matches!(
            permission.as_str(),
            "members.invite" | "members.manage" | "roles.manage"
        );
        closed || matches!(topic, "api_keys" | "secrets" | "tenant")
    }

    /// The person who acts for himself; `None` for services, API keys, and whoever acts for another.
    ///
    /// What only a person may decide for himself asks for this: leaving, giving ownership away.
    pub fn himself(&self) -> Option<UserId> {
        match (&self.actor, self.on_behalf_of) {
            (Actor::User { id }, None) => Some(*id),
            _ => None,
        }
    }

    /// The user whose rights count: the impersonated one, or the actor himself.
    pub fn effective_user(&self) -> Option<UserId> {
        match (&self.actor, self.on_behalf_of) {
            (Actor::User { .. }, Some(other)) => Some(other),
            (Actor::User { id }, None) => Some(*id),
            _ => None,
        }
    }
}
