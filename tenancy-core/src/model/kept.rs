//! What a sink keeps of an event.

use std::fmt;

use serde_json::{Map, Value};

use super::event::{Names, Target};

/// What an [`AuditSink`](crate::AuditSink) keeps of an event that was recorded in a transaction.
///
/// Who hands an event on, to a receiver or a queue, hands on these details and not those of the
/// [`Event`](crate::Event): in that nobody has looked for secrets yet.
///
/// ```
/// use tenancy_core::{Kept, Target};
///
/// fn told(kept: &Kept) -> Vec<&Target> {
///     match kept {
///         Kept::New { targets, .. } => targets.iter().collect(),
///         // Told when it was recorded first, or by nobody.
///         _ => Vec::new(),
///     }
/// }
/// let kept = Kept::New { targets: vec![Target::new("template", 7)], meta: Default::default() };
/// assert_eq!(told(&kept), [&Target::new("template", 7)]);
/// assert!(told(&Kept::Before).is_empty() && told(&Kept::Nowhere).is_empty());
/// ```
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum Kept {
    /// Nothing of it now: it was recorded [under its key](crate::Event::idempotency_key) before.
    Before,
    /// A new entry.
    New {
        /// What the entry says it was done to, without secrets.
        targets: Vec<Target>,
        /// What else the entry says, without secrets and without personal details.
        meta: Map<String, Value>,
    },
    /// Nothing, as of any event.
    Nowhere,
}

impl fmt::Debug for Kept {
    /// Without the values of its details, as those of an event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before => f.write_str("Before"),
            Self::New { targets, meta } => f
                .debug_struct("New")
                .field("targets", targets)
                .field("meta", &Names(meta))
                .finish(),
            Self::Nowhere => f.write_str("Nowhere"),
        }
    }
}
