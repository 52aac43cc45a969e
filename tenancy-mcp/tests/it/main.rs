//! What hosts rely on: real Postgres as the app's login, real servers in other processes.

mod common;
mod crash;
mod everything;
mod lost;
mod record;
mod registry;
mod round_trips;
mod router;
mod smartlead;
mod suspended;
