//! Logins that are not valid, on record.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{
    Authenticate, Error, ErrorKind, Identity, PlatformEvent, PlatformEventKind, PlatformLog,
    RequestHead,
};

/// Hands logins on, and notes those that are not valid in the platform's log.
///
/// `http::TenantLayer` does so by itself, in the log of its
/// [`TenantDb`](crate::TenantDb). Around the authenticator of an
/// `http::AuthLayer`, which knows no database, a host puts one:
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{Authenticate, NotedLogins, TenantDb};
/// # fn noted(db: &TenantDb, login: Arc<dyn Authenticate>) -> Arc<dyn Authenticate> {
/// Arc::new(NotedLogins::new(login, db.platform_log().clone()))
/// # }
/// ```
#[derive(Clone)]
pub struct NotedLogins {
    inner: Arc<dyn Authenticate>,
    log: Arc<dyn PlatformLog>,
}

impl NotedLogins {
    /// Asks this authenticator, and notes in this log.
    pub fn new(inner: Arc<dyn Authenticate>, log: Arc<dyn PlatformLog>) -> Self {
        Self { inner, log }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Authenticate for NotedLogins {
    async fn authenticate(&self, request: &RequestHead) -> Result<Option<Identity>, Error> {
        let answer = self.inner.authenticate(request).await;
        if let Err(error) = &answer
            && error.kind() == ErrorKind::Unauthenticated
        {
            let refused = PlatformEventKind::LoginRefused;
            self.log.note(PlatformEvent::new(refused, error.code()));
        }
        answer
    }
}

impl fmt::Debug for NotedLogins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotedLogins")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}
