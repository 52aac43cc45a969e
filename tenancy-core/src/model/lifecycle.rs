//! The life of a tenant: its states, what leads from one to another, and what holds it back.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{InvalidInput, Suspension, TenantId, TenantStatus};

impl TenantStatus {
    /// Whether a tenant in this state may go to that one.
    ///
    /// ```text
    /// active ⇄ suspended_read_only ⇄ suspended_blocked ⇄ active
    /// each of the three ⇄ deleting → purging → deleted
    /// ```
    ///
    /// A deletion that is taken back ends in the state it began in. The database holds the same
    /// table, and a test compares the two.
    pub fn may_become(self, to: Self) -> bool {
        use TenantStatus::{
            Active, Deleted, Deleting, Purging, SuspendedBlocked, SuspendedReadOnly,
        };
        match (self, to) {
            (Deleting, Purging) | (Purging, Deleted) => true,
            (
                Active | SuspendedReadOnly | SuspendedBlocked | Deleting,
                Active | SuspendedReadOnly | SuspendedBlocked | Deleting,
            ) => self != to,
            _ => false,
        }
    }
}

impl From<Suspension> for TenantStatus {
    fn from(how: Suspension) -> Self {
        match how {
            Suspension::ReadOnly => Self::SuspendedReadOnly,
            Suspension::Blocked => Self::SuspendedBlocked,
        }
    }
}

/// Where a tenant is in its life, and how it came there.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TenantState {
    /// The state.
    pub status: TenantStatus,
    /// The state that a deletion began in, and returns to when it is taken back.
    pub before: Option<TenantStatus>,
    /// Why, in the words of who did it.
    pub reason: Option<String>,
    /// Whether the platform did it: then only the platform undoes it.
    pub by_platform: bool,
    /// Since when, by the database's clock.
    pub since: DateTime<Utc>,
    /// When a scheduled deletion may begin.
    pub delete_after: Option<DateTime<Utc>>,
    /// The legal holds that keep it from being purged.
    pub holds: Vec<String>,
}

/// A move from one state to another.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Transition {
    /// The state it has to be in.
    pub from: TenantStatus,
    /// The state it goes to.
    pub to: TenantStatus,
    /// Why.
    pub reason: Option<Reason>,
    /// How long a deletion can be taken back.
    pub grace: Grace,
}

/// Why something is done to a tenant: 1 to 500 characters, trimmed, none of them invisible.
///
/// The tenant's members may read it: the audit log and the tenant's state show it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reason(String);

impl Reason {
    /// Parses a reason.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        super::text::visible(text, 500, "reason_invalid", "a reason").map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a legal hold is known by, such as a case number: 1 to 200 characters, trimmed, none of
/// them invisible.
///
/// The tenant's members may read it: it names the case and does not tell it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HoldReference(String);

impl HoldReference {
    /// Parses a reference.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        super::text::visible(text, 200, "hold_reference_invalid", "a reference").map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How long a deletion can be taken back: at most 365 days, 30 by default.
///
/// ```
/// use std::time::Duration;
/// use tenancy_core::Grace;
///
/// assert_eq!(Grace::default().as_duration(), Duration::from_hours(30 * 24));
/// assert!(Grace::parse(Duration::from_hours(366 * 24)).is_err());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Grace(Duration);

const DAY: Duration = Duration::from_hours(24);

impl Grace {
    /// Nothing at all: the next purge may begin.
    pub const NONE: Self = Self(Duration::ZERO);

    /// Checks a period; it is cut to whole seconds.
    pub fn parse(period: Duration) -> Result<Self, InvalidInput> {
        if period > DAY * 365 {
            let message = "a deletion can be taken back for at most 365 days";
            return Err(InvalidInput::new("grace_too_long", message));
        }
        Ok(Self(Duration::from_secs(period.as_secs())))
    }

    /// The period.
    pub fn as_duration(self) -> Duration {
        self.0
    }
}

impl Default for Grace {
    fn default() -> Self {
        Self(DAY * 30)
    }
}

/// Whose a slug is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SlugOwner {
    /// The tenant that has it now.
    Current(TenantId),
    /// The tenant that had it, and for which it is still kept: redirect to the slug it has now.
    Former {
        /// The tenant.
        tenant: TenantId,
        /// Its slug by now.
        now: String,
    },
}

impl SlugOwner {
    /// The tenant, if it has the slug now.
    pub fn current(self) -> Option<TenantId> {
        match self {
            Self::Current(tenant) => Some(tenant),
            Self::Former { .. } => None,
        }
    }
}

/// A tenant as the platform's staff sees it in a list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListedTenant {
    /// The identifier.
    pub id: TenantId,
    /// Its name in addresses; none once it is deleted.
    pub slug: Option<String>,
    /// Its name for people.
    pub name: String,
    /// Where it is in its life.
    pub status: TenantStatus,
    /// When it was created, by the database's clock.
    pub created_at: DateTime<Utc>,
    /// When a scheduled deletion may begin.
    pub delete_after: Option<DateTime<Utc>>,
    /// Whether a legal hold stands.
    pub held: bool,
}

/// Which tenants a list shows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum TenantFilter {
    /// Every one.
    #[default]
    All,
    /// Those that a purge may take up or go on with.
    Due,
    /// Those in one state.
    Status(TenantStatus),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_back_from_a_purge_and_nothing_stays() {
        for from in TenantStatus::ALL {
            assert!(!from.may_become(from));
            for to in TenantStatus::ALL {
                let ends = |s| matches!(s, TenantStatus::Purging | TenantStatus::Deleted);
                assert!(!from.may_become(to) || !ends(from) || to == TenantStatus::Deleted);
            }
        }
        assert!(!TenantStatus::Active.may_become(TenantStatus::Purging));
    }

    #[test]
    fn reasons_that_hide_something_are_refused() {
        for bad in ["", "  ", "a\0", "a\u{202e}b", &"x".repeat(501)] {
            assert!(Reason::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Reason::parse(" unpaid ").unwrap().as_str(), "unpaid");
        assert!(HoldReference::parse(&"x".repeat(201)).is_err());
    }
}
