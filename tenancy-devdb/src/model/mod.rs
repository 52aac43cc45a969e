//! Plain values, no input or output.

mod login;
mod major;
mod name;
mod pin;
mod settings;
mod url;

pub(crate) use login::Login;
pub use major::PgMajor;
pub(crate) use name::{DbName, hash_hex};
pub(crate) use pin::{Pin, node_pin, postgres_pin};
pub(crate) use settings::Settings;
pub(crate) use url::{Address, Endpoint, derived_password};
