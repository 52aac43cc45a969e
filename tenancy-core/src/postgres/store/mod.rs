//! Tenants, members, invitations and settings in Postgres.

mod api_key;
mod invitation;
mod membership;
mod ownership;
mod setting;
mod support;
mod tenant;

use std::time::Duration;

use sqlx::postgres::types::PgInterval;

pub(super) use tenant::status;

use super::db::TenantDb;
use crate::{Error, ErrorKind};

/// The Postgres adapter of the core's own stores.
#[derive(Clone, Debug)]
pub struct PgStore {
    db: TenantDb,
}

impl PgStore {
    /// Uses this database.
    pub fn new(db: TenantDb) -> Self {
        Self { db }
    }
}

/// A time span as the database takes it.
fn interval(span: Duration) -> Result<PgInterval, Error> {
    PgInterval::try_from(span)
        .map_err(|_| Error::invalid("time_span", "the time span is no interval"))
}

fn unexpected() -> Error {
    Error::new(
        ErrorKind::Internal,
        "unexpected_row",
        "the database left out a value that has to be there",
    )
}
