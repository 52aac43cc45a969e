//! The adapter to a running Postgres: what concerns databases and roles.

mod admin;
mod ddl;

pub(crate) use admin::{Admin, Copying, Locked, check_version, connect, is_full};
