//! The roles of a member as an entry of the audit log tells of them.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{Event, RoleKey};

/// The most roles that one entry names: the log takes no entry of any size.
const MOST_TOLD: usize = 100;

/// A role that a member has, and until when.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HeldRole {
    /// The role.
    pub role: RoleKey,
    /// Until when he has it; for good, if `None`.
    pub expires_at: Option<DateTime<Utc>>,
}

impl HeldRole {
    /// A role with its end.
    pub fn new(role: RoleKey, expires_at: Option<DateTime<Utc>>) -> Self {
        Self { role, expires_at }
    }
}

/// The roles of a member before and after a change, without those that had ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RolesChange {
    /// What he had, sorted by role.
    pub before: Vec<HeldRole>,
    /// What he has, sorted by role.
    pub after: Vec<HeldRole>,
}

impl RolesChange {
    /// From what to what.
    pub fn new(before: Vec<HeldRole>, after: Vec<HeldRole>) -> Self {
        Self { before, after }
    }
}

/// Adds lists of roles to an entry, which takes so many of each that it takes all lists. Where it
/// takes fewer than there are, it says how many there are.
pub(crate) fn tell<const N: usize>(event: Event, lists: [(&str, &[HeldRole]); N]) -> Event {
    let most = MOST_TOLD / N.max(1);
    lists.into_iter().fold(event, |event, (name, roles)| {
        let told: Vec<Value> = roles.iter().take(most).map(as_json).collect();
        let event = event.meta(name, told);
        if roles.len() > most {
            event.meta(format!("{name}_count"), roles.len())
        } else {
            event
        }
    })
}

fn as_json(held: &HeldRole) -> Value {
    json!({ "role": held.role, "expires_at": held.expires_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_so_many_roles_and_says_how_many_there_are() {
        let many: Vec<_> = (0..60)
            .filter_map(|n| RoleKey::parse(format!("role{n}")).ok())
            .map(|role| HeldRole::new(role, None))
            .collect();
        let event = Event::new("member.left");
        let event = tell(event, [("before", &many), ("after", &many[..50])]);
        let told = |name: &str| event.meta[name].as_array().map(Vec::len);
        assert_eq!((told("before"), told("after")), (Some(50), Some(50)));
        assert_eq!(event.meta["before_count"], json!(60));
        assert!(!event.meta.contains_key("after_count"));
        let first = json!({ "role": "role0", "expires_at": null });
        assert_eq!(event.meta["before"][0], first);
    }
}
