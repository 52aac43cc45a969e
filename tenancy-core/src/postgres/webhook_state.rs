//! What is known of receivers, in the tenant that tells them.

use super::tx::TenantTx;
use crate::Error;

/// Whether a receiver has said that it wants no more.
pub(crate) async fn is_gone(tx: &mut TenantTx, endpoint: &str) -> Result<bool, Error> {
    let tenant = tx.ctx().tenant();
    Ok(sqlx::query_scalar(include_str!("sql/webhook_is_gone.sql"))
        .bind(tenant)
        .bind(endpoint)
        .fetch_one(&mut **tx)
        .await?)
}

/// Remembers that it has.
pub(crate) async fn put_gone(tx: &mut TenantTx, endpoint: &str) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    sqlx::query(include_str!("sql/webhook_gone_put.sql"))
        .bind(tenant)
        .bind(endpoint)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets that it has; whether it had.
pub(crate) async fn forget_gone(tx: &mut TenantTx, endpoint: &str) -> Result<bool, Error> {
    let tenant = tx.ctx().tenant();
    let gone = sqlx::query(include_str!("sql/webhook_gone_forget.sql"))
        .bind(tenant)
        .bind(endpoint)
        .execute(&mut **tx)
        .await?;
    Ok(gone.rows_affected() > 0)
}

/// Counts a refusal of a message; how many there were.
pub(crate) async fn count_refusal(
    tx: &mut TenantTx,
    endpoint: &str,
    message: &str,
) -> Result<i32, Error> {
    let tenant = tx.ctx().tenant();
    Ok(
        sqlx::query_scalar(include_str!("sql/webhook_refusal_count.sql"))
            .bind(tenant)
            .bind(endpoint)
            .bind(message)
            .fetch_one(&mut **tx)
            .await?,
    )
}

/// Forgets the refusals of a message whose story is over.
pub(crate) async fn forget_refusals(
    tx: &mut TenantTx,
    endpoint: &str,
    message: &str,
) -> Result<(), Error> {
    let tenant = tx.ctx().tenant();
    sqlx::query(include_str!("sql/webhook_refusals_forget.sql"))
        .bind(tenant)
        .bind(endpoint)
        .bind(message)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
