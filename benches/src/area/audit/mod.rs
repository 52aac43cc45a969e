//! The audit log.

mod seals;
mod soak;

pub(crate) use seals::run as seals;
pub(crate) use soak::run as soak;
