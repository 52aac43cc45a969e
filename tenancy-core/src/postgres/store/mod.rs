//! Tenants, members, invitations and settings in Postgres.

mod invitation;
mod membership;
mod setting;
mod tenant;

use super::db::TenantDb;

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
