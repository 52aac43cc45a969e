use async_trait::async_trait;
use serde_json::Value;

use crate::{Error, SettingKey, TenantTx};

/// Stores what tenants have set, and the limits that the platform has set for them.
///
/// # Contract
/// Only what differs from a default is stored. Values have been checked by the caller. A change
/// bumps the tenant's epoch.
///
/// # Concurrency
/// Of two that compare with the same value, one gets [`Conflict`](crate::ErrorKind::Conflict)
/// `stale`.
///
/// # Errors and retry
/// As [`Error::retry`] says; a failed `*_in` leaves its transaction to be rolled back.
///
/// # Cancellation
/// Follows the transaction.
///
/// # For implementors
/// Honest about being Postgres-shaped: test it on a real database, by
/// `testing::conformance::setting_store`.
#[async_trait]
pub trait SettingStore: Send + Sync + 'static {
    /// The stored values of these settings, in their order.
    async fn values_in(
        &self,
        tx: &mut TenantTx,
        keys: &[SettingKey],
    ) -> Result<Vec<Option<Value>>, Error>;
    /// The stored values of these limits, in their order.
    async fn limits_in(
        &self,
        tx: &mut TenantTx,
        keys: &[SettingKey],
    ) -> Result<Vec<Option<i64>>, Error>;
    /// Changes a setting.
    async fn set_value_in(&self, tx: &mut TenantTx, change: &SettingChange) -> Result<(), Error>;
    /// Changes a limit; `None` goes back to the default. Refused to a context that is no service's.
    async fn set_limit_in(
        &self,
        tx: &mut TenantTx,
        key: &SettingKey,
        value: Option<i64>,
    ) -> Result<(), Error>;
}

/// A change of a setting.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SettingChange {
    /// Which setting.
    pub key: SettingKey,
    /// The new value; `None` goes back to the default.
    pub value: Option<Value>,
    /// Change it only if this is its value now.
    pub expected: Option<Value>,
    /// What holds where nothing is stored.
    pub default: Value,
}
