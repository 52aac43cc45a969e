//! The audit log.

mod seals;

pub(crate) use seals::run as seals;
