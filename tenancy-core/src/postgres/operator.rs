//! The handle of whoever runs the database.

use sqlx::{PgPool, Postgres, Transaction};

use super::{connections::Connections, context_sql, options::DbOptions};
use crate::{Error, TenantId, UserId};

/// Connections of a login that may become `tenancy_owner`: for migrations, partitions, index
/// builds, the doctor and exports. Not for serving requests.
#[derive(Clone, Debug)]
pub struct OperatorDb(Connections);

impl OperatorDb {
    /// Connects. The login needs `CREATEROLE` and `CREATE` on the database for the first
    /// migration, and membership in `tenancy_owner`, which that migration gives it, afterwards.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(url, &Self::options()).await
    }

    /// Connects with other options than [`options`](Self::options).
    pub async fn connect_with(url: &str, options: &DbOptions) -> Result<Self, Error> {
        let connect = options.connect_options(url)?;
        let connections = options.connections(options.max_connections, connect);
        drop(connections.acquire().await?);
        Ok(Self(connections))
    }

    /// What [`connect`](Self::connect) uses: four connections, and no limit for a statement, since
    /// index builds and migrations of large tables take as long as they take.
    pub fn options() -> DbOptions {
        let mut options = DbOptions::default().with_max_connections(4);
        options.statement_timeout = std::time::Duration::ZERO;
        options.idle_in_transaction_timeout = std::time::Duration::from_mins(10);
        options
    }

    /// The connections, as the login itself.
    pub fn pool(&self) -> &PgPool {
        self.0.pool()
    }

    /// Says whether a user is of the platform's support staff, whom owners can let into their
    /// tenants: see [`Support`](crate::Support). Who no longer is, is out at once.
    pub async fn set_support_staff(&self, user: UserId, is_staff: bool) -> Result<(), Error> {
        let mut tx = self.owner().await?;
        sqlx::query(include_str!("sql/support_staff.sql"))
            .bind(user)
            .bind(is_staff)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// A transaction as `tenancy_owner`. The owner sees rows of tenant tables only where a policy
    /// of its own lets it.
    pub async fn owner(&self) -> Result<Transaction<'static, Postgres>, Error> {
        let begin = "BEGIN; SET LOCAL ROLE tenancy_owner";
        Ok(self.pool().begin_with(begin).await?)
    }

    /// A transaction as `tenancy_owner` in a tenant's context: it sees the rows of that tenant,
    /// and may remove them.
    pub(crate) async fn inside(
        &self,
        tenant: TenantId,
    ) -> Result<Transaction<'static, Postgres>, Error> {
        let begin = context_sql::begin_as_owner(tenant, false);
        Ok(self.pool().begin_with(begin).await?)
    }

    /// The same for reading, from one snapshot, with one way to write every value.
    pub(crate) async fn snapshot_of(
        &self,
        tenant: TenantId,
    ) -> Result<Transaction<'static, Postgres>, Error> {
        let begin = context_sql::begin_as_owner(tenant, true);
        Ok(self.pool().begin_with(begin).await?)
    }
}
