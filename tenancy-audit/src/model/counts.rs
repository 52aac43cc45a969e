//! How many entries there are.

/// By what entries are counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum CountBy {
    /// By action.
    Action,
    /// By the day, in UTC, that the entry's id names, as `2026-01-31`.
    Day,
    /// By outcome.
    Outcome,
    /// All in one.
    #[default]
    Total,
}

/// How many entries a search finds: exactly, or the newest of them up to a bound.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// How many were counted.
    pub counted: u64,
    /// Whether there are, or may be, more than were counted.
    pub more: bool,
    /// The largest groups of what was counted, up to 1,000, the largest first, then by name.
    pub groups: Vec<(String, u64)>,
}

impl CountBy {
    /// The text that the database knows it by.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Day => "day",
            Self::Outcome => "outcome",
            Self::Total => "",
        }
    }
}

impl Counts {
    /// For stores: what was counted.
    pub fn new(counted: u64, more: bool, groups: Vec<(String, u64)>) -> Self {
        Self {
            counted,
            more,
            groups,
        }
    }
}
