//! The use cases: they talk to ports and know no SQL.

mod announcer;
mod authorizer;
mod cache;
mod denials;
mod folds;
mod options;
mod registry;
mod rights;
mod roles;

pub(crate) use announcer::Announce;
pub use authorizer::PgAuthorizer;
pub use options::AuthzOptions;
pub use rights::Rights;
pub use roles::{ImportOptions, Roles};

tenancy_core::permissions! {
    /// The permissions that the services of this crate ask for.
    pub mod perm {
        RolesRead = "roles.read", "see roles, what they grant and who has them", [support];
        RolesManage = "roles.manage", "change roles and give them to members", [];
    }
}
