//! The audit log.

mod seals;
mod search;
mod soak;

pub(crate) use seals::run as seals;
pub(crate) use search::run as search;
pub(crate) use soak::run as soak;
