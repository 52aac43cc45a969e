//! The audit log.

mod lag;
mod seals;
mod search;
mod soak;
mod writes;

pub(crate) use lag::run as lag;
pub(crate) use seals::run as seals;
pub(crate) use search::run as search;
pub(crate) use soak::run as soak;
pub(crate) use writes::{events, run as writes};
