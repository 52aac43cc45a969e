//! Adapters that need no database.

mod aes_gcm;
#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
mod catalog;
mod keyring;
mod reqwest_http;

pub use aes_gcm::AesGcm;
#[cfg(feature = "aws-lc-rs")]
pub use aws_lc::AwsLc;
pub use catalog::Catalog;
pub use keyring::LocalKeyring;
pub use reqwest_http::ReqwestHttp;
