#![doc = include_str!("../README.md")]

mod error;
mod host;
mod model;
mod postgres;
mod service;

pub use error::{Attempt, BoxError, Error, ErrorKind};
pub use model::PgMajor;
pub use service::{Database, DevDb, DevDbBuilder, Node, TestDb};
