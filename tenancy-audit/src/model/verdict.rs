//! What verifying an entry says.

/// Whether an entry is the one that was written.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// It was changed after it was written.
    Changed(Change),
    /// The details named were erased, which is shown; everything else is as it was written.
    Erased(Vec<String>),
    /// It is as it was written.
    Intact,
}

/// What does not fit.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A part of the entry differs from what was hashed.
    Content,
    /// The personal detail of this name differs from its commitment.
    Personal(String),
    /// The entry has a shape that this version of the crate does not know.
    SchemaVersion(i16),
    /// The personal details of these names are gone, and nothing shows that they were erased.
    Stripped(Vec<String>),
    /// The part of this name can't be read.
    Unreadable(String),
}

impl Verdict {
    /// Whether nothing was changed; what was erased does not count as a change.
    pub fn is_intact(&self) -> bool {
        !matches!(self, Self::Changed(_))
    }
}
