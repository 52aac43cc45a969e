//! The choice between logins.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{Authenticate, Error, ErrorKind, Identity, RequestHead};

/// The [`Authenticate`] that chooses another by the look of the bearer token.
///
/// A token that begins with `tk_` is an API key; one of three parts with full stops between them is
/// a signed token. Exactly one login is asked: one that refuses is not followed by another, so that
/// no token gets a second chance. A token of a kind for which there is no login is refused.
///
/// ```
/// # use tenancy_core::{ApiKeyLogin, Authenticate, LoginByToken, TenantDb};
/// # fn logins(db: TenantDb, tokens: impl Authenticate, sessions: impl Authenticate) -> LoginByToken {
/// LoginByToken::new()
///     .api_keys(ApiKeyLogin::new(db))
///     .signed_tokens(tokens)
///     .without_token(sessions) // a cookie, say
/// # }
/// ```
#[derive(Clone, Default)]
pub struct LoginByToken {
    api_keys: Option<Arc<dyn Authenticate>>,
    signed: Option<Arc<dyn Authenticate>>,
    without: Option<Arc<dyn Authenticate>>,
}

impl LoginByToken {
    /// Knows no login.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks this one about tokens that begin with `tk_`.
    pub fn api_keys(mut self, login: impl Authenticate) -> Self {
        self.api_keys = Some(Arc::new(login));
        self
    }

    /// Asks this one about tokens of three parts.
    pub fn signed_tokens(mut self, login: impl Authenticate) -> Self {
        self.signed = Some(Arc::new(login));
        self
    }

    /// Asks this one about requests without a bearer token.
    pub fn without_token(mut self, login: impl Authenticate) -> Self {
        self.without = Some(Arc::new(login));
        self
    }
}

#[async_trait]
impl Authenticate for LoginByToken {
    async fn authenticate(&self, request: &RequestHead) -> Result<Option<Identity>, Error> {
        let login = match request.bearer() {
            None => match &self.without {
                Some(login) => return login.authenticate(request).await,
                None => return Ok(None),
            },
            Some(token) if token.starts_with("tk_") => &self.api_keys,
            Some(token) if token.split('.').count() == 3 => &self.signed,
            Some(_) => &None,
        };
        let Some(login) = login else {
            let message = "this login is of a kind that is not accepted";
            return Err(Error::new(
                ErrorKind::Unauthenticated,
                "login_unknown",
                message,
            ));
        };
        login.authenticate(request).await
    }
}

impl fmt::Debug for LoginByToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginByToken").finish_non_exhaustive()
    }
}
