//! The story, step by step. Each step prints only what it read back.

pub(crate) mod access;
pub(crate) mod batch;
pub(crate) mod doctor;
pub(crate) mod isolation;
pub(crate) mod knowledge;
pub(crate) mod oauth;
pub(crate) mod onboarding;
pub(crate) mod secrets;
pub(crate) mod tools;
pub(crate) mod trail;
