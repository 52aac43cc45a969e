//! The host's catalog of providers, written by its operator.

use tenancy_core::OperatorDb;

use crate::{Error, Provider};

/// Enters a provider in the catalog, or changes it.
pub(crate) async fn put_provider(db: &OperatorDb, provider: &Provider) -> Result<(), Error> {
    let mut tx = db.owner().await?;
    sqlx::query(include_str!("sql/provider_put.sql"))
        .bind(provider.key.as_str())
        .bind(&provider.name)
        .bind(provider.endpoint.transport())
        .bind(provider.endpoint.address())
        .bind(provider.auth.as_str())
        .bind(provider.auth.header())
        .bind(provider.rejects_before_work)
        .bind(provider.allowed)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}
