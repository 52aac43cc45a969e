//! The front door of the tenancy crates.
