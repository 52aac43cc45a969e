//! From a request to a tenant context, and what is answered instead.

mod app;
mod correlation;
mod members;
mod problems;
mod sources;
mod strangers;
mod tower_stack;
