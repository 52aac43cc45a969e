//! Logins that ship: tokens of an identity provider, API keys, and the choice between them.

mod api_key;
mod by_token;
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(feature = "webhooks")]
mod webhook;

pub use api_key::ApiKeyLogin;
pub use by_token::LoginByToken;
#[cfg(feature = "jwt")]
pub use jwt::{JwtAlgorithm, JwtLogin, JwtOptions, ReqwestJwks, SubjectMapping};
#[cfg(all(feature = "jwt", feature = "testing"))]
pub(crate) use jwt::{jwks_parses, jwt_opens, jwt_opens_with};
#[cfg(feature = "webhooks")]
pub use webhook::{ReqwestWebhooks, ReqwestWebhooksBuilder};
