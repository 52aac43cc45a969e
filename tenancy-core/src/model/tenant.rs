//! Tenants as values.

use chrono::{DateTime, Utc};

use crate::{Slug, TenantId, TenantName, UserId};

/// A customer of the host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tenant {
    /// The identifier.
    pub id: TenantId,
    /// Its name in addresses; unique across tenants.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Where it is in its life.
    pub status: TenantStatus,
    /// When it was created, by the database's clock.
    pub created_at: DateTime<Utc>,
}

/// Where a tenant is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TenantStatus {
    /// Open for business.
    Active,
    /// Suspended: members may read, nobody may write.
    SuspendedReadOnly,
    /// Suspended: nobody may enter.
    SuspendedBlocked,
    /// Deletion is scheduled; until then it can be taken back.
    Deleting,
    /// Its rows are being removed; nothing leads back.
    Purging,
    /// Gone.
    Deleted,
}

impl TenantStatus {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 6] = [
        Self::Active,
        Self::SuspendedReadOnly,
        Self::SuspendedBlocked,
        Self::Deleting,
        Self::Purging,
        Self::Deleted,
    ];

    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::SuspendedReadOnly => "suspended_read_only",
            Self::SuspendedBlocked => "suspended_blocked",
            Self::Deleting => "deleting",
            Self::Purging => "purging",
            Self::Deleted => "deleted",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// How far a suspended tenant is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Suspension {
    /// Members may still read.
    ReadOnly,
    /// Nobody may enter.
    Blocked,
}

/// A tenant to be created.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewTenant {
    /// The identifier; minted by [`new`](Self::new).
    pub id: TenantId,
    /// Its name in addresses.
    pub slug: Slug,
    /// Its name for people.
    pub name: TenantName,
    /// Its first owner.
    pub owner: UserId,
}

impl NewTenant {
    /// A tenant with a fresh identifier.
    pub fn new(slug: Slug, name: TenantName, owner: UserId) -> Self {
        Self {
            id: TenantId::new(),
            slug,
            name,
            owner,
        }
    }

    /// Takes over an identifier that the host has already.
    pub fn with_id(mut self, id: TenantId) -> Self {
        self.id = id;
        self
    }
}

/// A tenant as one of its members sees it in a list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MyTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// Whether the user is one of its owners.
    pub is_owner: bool,
}

/// A page of a user's tenants, in the order of their names.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MyTenantsPage {
    /// Behind the tenant of this name and id; from the first, if `None`.
    pub after: Option<(String, TenantId)>,
    /// At most so many: 100, and never more than 1,000.
    pub limit: u16,
}

impl Default for MyTenantsPage {
    fn default() -> Self {
        Self {
            after: None,
            limit: 100,
        }
    }
}

impl MyTenantsPage {
    /// The first hundred.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on behind the last tenant of a page.
    pub fn with_after(mut self, last: &MyTenant) -> Self {
        self.after = Some((last.tenant.name.clone(), last.tenant.id));
        self
    }

    /// Sets the size of a page.
    pub fn with_limit(mut self, tenants: u16) -> Self {
        self.limit = tenants;
        self
    }
}
