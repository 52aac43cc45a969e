//! The adapter: everything that knows SQL.

mod catalog;
mod component;
mod invocation;
mod lost;
mod purge;
mod registry;
mod rows;

pub use component::COMPONENT;
pub use invocation::PgInvocations;
pub use registry::PgRegistry;

pub(crate) use catalog::put_provider;
pub(crate) use lost::tenants_with_lost;
pub(crate) use purge::purge;
