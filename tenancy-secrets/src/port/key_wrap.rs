use async_trait::async_trait;

use crate::{DataKey, Error, WrapContext, WrappedKey};

/// Wraps data keys with keys that never come near the database.
///
/// # Contract
/// [`wrap`](Self::wrap) uses the primary key and authenticates every byte of the context: a
/// wrapped key unwraps for that context, and for no other tenant or key id. Two wraps of one key
/// differ. [`unwrap`](Self::unwrap) works for every key that has not been taken away.
///
/// # Concurrency
/// Any number of calls at once.
///
/// # Errors and retry
/// A key of another context, or a damaged one, is [`Unreadable`](crate::ErrorKind::Unreadable);
/// a key-encryption key that is not there is [`Misconfigured`](crate::ErrorKind::Misconfigured);
/// a store that can't be reached is [`Unavailable`](crate::ErrorKind::Unavailable).
///
/// # Cancellation
/// A dropped call has changed nothing.
///
/// # For implementors
/// `tenancy_secrets::testing::conformance::key_wrap` is the suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait KeyWrap: Send + Sync + 'static {
    /// The name of the key that wraps now.
    fn primary(&self) -> String;

    /// Wraps a data key with the primary key.
    async fn wrap(&self, context: &WrapContext, key: &DataKey) -> Result<WrappedKey, Error>;

    /// Unwraps a data key.
    async fn unwrap(&self, context: &WrapContext, wrapped: &WrappedKey) -> Result<DataKey, Error>;
}
