//! What is measured, by area.

pub(crate) mod audit;
pub(crate) mod authz;
pub(crate) mod core;
pub(crate) mod devdb;
pub(crate) mod soak;
