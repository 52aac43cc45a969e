//! Logins by signed tokens: what is accepted, and everything that is not.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the issuer's tools stand outside of test functions"
)]

mod accepted;
mod hostile;
mod issuer;
mod key_life;
mod peer;
mod suite;
mod vectors;
