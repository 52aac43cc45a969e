//! What a user relies on, against a real Postgres and a real authorization server.

mod children;
mod flow;
mod leaks;
mod oidc;
mod refresh;
mod rotation;
mod routes;
mod statements;
mod stores;
mod support;
mod vault;
