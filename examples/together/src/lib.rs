//! What holds only where several crates of the family meet: each knows the core, and none its
//! sibling, so that no crate's own tests can show it.
//!
//! The code in the guides is compiled here as well: a package that is published can't include
//! files from outside of itself.

/// The guides, as documentation whose examples are tested.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../docs/authz.md")]
    struct Authz;

    #[doc = include_str!("../../../docs/audit.md")]
    struct Audit;

    #[doc = include_str!("../../../docs/webhooks.md")]
    struct Webhooks;
}
