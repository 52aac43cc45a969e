//! Logins by tokens of an identity provider.

mod claims;
#[cfg(feature = "testing")]
mod fuzz;
mod key_cache;
mod keys;
mod options;
mod reqwest_jwks;
mod token;
mod users;

use std::{fmt, sync::Arc, time::SystemTime};

use async_trait::async_trait;

#[cfg(feature = "testing")]
pub(crate) use fuzz::{jwks_parses, jwt_opens, jwt_opens_with};
pub use options::{JwtAlgorithm, JwtOptions, SubjectMapping};
pub use reqwest_jwks::ReqwestJwks;

use self::{claims::Claims, key_cache::KeyCache, token::Token, users::Users};
use crate::{Authenticate, Error, ErrorKind, Identity, JwksHttp, RequestHead, TenantDb, UserId};

/// The [`Authenticate`] by signed tokens (JWT) of one issuer: RS256, ES256 and `EdDSA` (Ed25519).
///
/// The issuer's keys are fetched, kept, and fetched again when they are old or when a token names
/// one that is not among them; see [`JwtOptions`] for the bounds. The signature is checked before
/// anything else is believed. What is refused, and with which code, stands in the guide
/// `docs/authentication.md`; a token never appears in an error or a log.
///
/// ```
/// # use std::sync::Arc;
/// # use tenancy_core::{Error, JwtLogin, JwtOptions, ReqwestJwks, TenantDb};
/// # fn login(db: TenantDb) -> Result<JwtLogin, Error> {
/// let options = JwtOptions::new("https://login.example", "https://api.example")
///     .with_tenant_claim("tenant");
/// let login = JwtLogin::new(db, options, Arc::new(ReqwestJwks::new()?))?;
/// # Ok(login) }
/// ```
#[derive(Clone)]
pub struct JwtLogin(Arc<Inner>);

struct Inner {
    db: TenantDb,
    options: JwtOptions,
    keys: Arc<KeyCache>,
    users: Users,
}

impl JwtLogin {
    /// Asks nobody yet: the keys are fetched for the first token.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) if an option is out of its bounds.
    pub fn new(db: TenantDb, options: JwtOptions, http: Arc<dyn JwksHttp>) -> Result<Self, Error> {
        let source = options.check()?;
        Ok(Self(Arc::new(Inner {
            db,
            options,
            keys: KeyCache::new(source, http),
            users: Users::default(),
        })))
    }

    /// Who a token belongs to.
    ///
    /// # Errors
    /// [`Unauthenticated`](ErrorKind::Unauthenticated) with a code that says why;
    /// [`Unavailable`](ErrorKind::Unavailable) if the issuer's keys or the database can't be had.
    pub async fn identify(&self, token: &str) -> Result<Identity, Error> {
        let Inner { options, keys, .. } = &*self.0;
        let token = Token::parse(token, options.max_token_length)?;
        if !options.algorithms.contains(&token.header.algorithm) {
            return Err(token::algorithm_refused());
        }
        keys.keys_for(&token.header).await?.verify(&token)?;
        let claims = Claims::check(&token.claims()?, options, SystemTime::now())?;
        let mut identity = Identity::new(self.user(&claims.subject).await?);
        identity.email = claims.email;
        identity.tenant = claims.tenant;
        Ok(identity)
    }

    async fn user(&self, subject: &str) -> Result<UserId, Error> {
        let Inner {
            db, options, users, ..
        } = &*self.0;
        match options.subject {
            SubjectMapping::Uuid => subject.parse().map_err(|_| {
                refused(
                    "token_subject",
                    "the token's subject can't be that of a user",
                )
            }),
            SubjectMapping::Mapped => {
                if let Some(user) = users.get(subject) {
                    return Ok(user);
                }
                let user = db.user_for(&options.issuer, subject).await?;
                users.put(subject, user);
                Ok(user)
            }
        }
    }
}

#[async_trait]
impl Authenticate for JwtLogin {
    async fn authenticate(&self, request: &RequestHead) -> Result<Option<Identity>, Error> {
        match request.bearer() {
            Some(token) => self.identify(token).await.map(Some),
            None => Ok(None),
        }
    }
}

impl fmt::Debug for JwtLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtLogin")
            .field("issuer", &self.0.options.issuer)
            .finish_non_exhaustive()
    }
}

/// A token that is not accepted. The message is the same for all tokens with this fault.
fn refused(code: &'static str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unauthenticated, code, message)
}
