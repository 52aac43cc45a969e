//! The traits that a host may implement.

mod aead;
mod catalog;
mod key_wrap;
mod oauth_http;
mod secret_store;

pub use aead::{Aead, RecordKey};
pub use catalog::ProviderCatalog;
pub use key_wrap::KeyWrap;
pub use oauth_http::{NO_ANSWER, NOT_SENT, OAuthHttp, OAuthRequest, OAuthResponse};
pub use secret_store::SecretStore;

#[cfg(feature = "testing")]
pub use self::{
    aead::MockAead, catalog::MockProviderCatalog, key_wrap::MockKeyWrap, oauth_http::MockOAuthHttp,
    secret_store::MockSecretStore,
};
