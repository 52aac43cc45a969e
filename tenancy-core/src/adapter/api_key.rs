//! Logins by API keys.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{
    ApiKeyStore, Authenticate, Error, ErrorKind, Identity, KeyEnvironment, KeyState, PgStore,
    Principal, RequestHead, TenantDb, model::KeyText,
};

/// The [`Authenticate`] by API keys: `Authorization: Bearer tk_…`.
///
/// A key is looked up for every request, so that one that is revoked or expired is refused at once.
/// Texts that are no keys are refused by their checksum, without the database. The key's tenant has
/// to be entered like any other, so a suspended tenant refuses its keys.
#[derive(Clone)]
pub struct ApiKeyLogin {
    store: Arc<dyn ApiKeyStore>,
    environment: KeyEnvironment,
}

impl ApiKeyLogin {
    /// Takes keys of the environment `live`.
    pub fn new(db: TenantDb) -> Self {
        Self {
            store: Arc::new(PgStore::new(db)),
            environment: KeyEnvironment::default(),
        }
    }

    /// Takes keys of this environment, and of no other.
    pub fn with_environment(mut self, environment: KeyEnvironment) -> Self {
        self.environment = environment;
        self
    }

    /// Which key it is, and whose.
    ///
    /// # Errors
    /// [`Unauthenticated`](ErrorKind::Unauthenticated) with the code `api_key_invalid`,
    /// `api_key_environment` or `api_key_expired`.
    pub async fn identify(&self, key: &str) -> Result<Identity, Error> {
        let key = KeyText::parse(key).ok_or_else(invalid)?;
        if key.environment() != self.environment.as_str() {
            let message = "the API key is for another environment";
            return Err(refused("api_key_environment", message));
        }
        let opened = self.store.open(&key.hash()).await?.ok_or_else(invalid)?;
        match opened.state {
            KeyState::Usable => {
                let principal = Principal::api_key(opened.id, opened.permissions);
                Ok(Identity::api_key(opened.tenant, principal))
            }
            KeyState::Expired => Err(refused("api_key_expired", "the API key has expired")),
            KeyState::MakerGone => Err(invalid()),
        }
    }
}

fn refused(code: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, code, message)
}

fn invalid() -> Error {
    refused("api_key_invalid", "this API key is not valid")
}

#[async_trait]
impl Authenticate for ApiKeyLogin {
    async fn authenticate(&self, request: &RequestHead) -> Result<Option<Identity>, Error> {
        match request.bearer() {
            Some(key) => self.identify(key).await.map(Some),
            None => Ok(None),
        }
    }
}

impl fmt::Debug for ApiKeyLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyLogin")
    }
}
