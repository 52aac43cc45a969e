//! What holds only where several crates of the family meet: each knows the core, and none its
//! sibling, so that no crate's own tests can show it.
//!
//! The code of the front page and of the guides is compiled here as well: a package that is
//! published can't include files from outside of itself.

/// The guides, as documentation whose examples are tested; `build.rs` makes them.
#[cfg(doctest)]
mod guides {
    include!(concat!(env!("OUT_DIR"), "/guides.rs"));
}
