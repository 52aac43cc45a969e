#![doc = include_str!("../README.md")]

mod adapter;
mod error;
mod model;
mod port;
mod postgres;
mod service;

#[cfg(feature = "axum")]
pub mod http;
#[cfg(feature = "testing")]
pub mod testing;

pub use adapter::*;
pub use error::{Error, ErrorKind};
pub use model::*;
pub use port::*;
pub use postgres::{COMPONENT, PgSecretStore};
pub use service::*;
