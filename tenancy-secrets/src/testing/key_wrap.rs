//! A key store that counts and fails.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;

use crate::{DataKey, Error, ErrorKind, KeyWrap, LocalKeyring, WrapContext, WrappedKey};

/// A key store in memory that counts what it is asked and can be made unreachable.
#[derive(Clone, Debug)]
pub struct CountingKeyWrap(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keyring: LocalKeyring,
    wraps: AtomicU64,
    unwraps: AtomicU64,
    down: AtomicBool,
}

impl CountingKeyWrap {
    /// A store with one new key.
    ///
    /// # Errors
    /// As [`LocalKeyring::ephemeral`].
    pub fn new() -> Result<Self, Error> {
        Ok(Self(Arc::new(Inner {
            keyring: LocalKeyring::ephemeral()?,
            wraps: AtomicU64::new(0),
            unwraps: AtomicU64::new(0),
            down: AtomicBool::new(false),
        })))
    }

    /// How often a key was wrapped.
    pub fn wraps(&self) -> u64 {
        self.0.wraps.load(Ordering::SeqCst)
    }

    /// How often a key was unwrapped.
    pub fn unwraps(&self) -> u64 {
        self.0.unwraps.load(Ordering::SeqCst)
    }

    /// Makes it unreachable, or reachable again.
    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    fn reachable(&self) -> Result<(), Error> {
        if !self.0.down.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "kms_down",
            "the key store can't be reached",
        ))
    }
}

#[async_trait]
impl KeyWrap for CountingKeyWrap {
    fn primary(&self) -> String {
        self.0.keyring.primary()
    }

    async fn wrap(&self, context: &WrapContext, key: &DataKey) -> Result<WrappedKey, Error> {
        self.0.wraps.fetch_add(1, Ordering::SeqCst);
        self.reachable()?;
        self.0.keyring.wrap(context, key).await
    }

    async fn unwrap(&self, context: &WrapContext, wrapped: &WrappedKey) -> Result<DataKey, Error> {
        self.0.unwraps.fetch_add(1, Ordering::SeqCst);
        self.reachable()?;
        self.0.keyring.unwrap(context, wrapped).await
    }
}

impl From<CountingKeyWrap> for Arc<dyn KeyWrap> {
    fn from(wrap: CountingKeyWrap) -> Self {
        Arc::new(wrap)
    }
}
