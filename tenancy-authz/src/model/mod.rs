//! Plain values and pure logic, without input or output.

mod change;
mod explain;
mod refusal;
mod role;
mod set;
mod snapshot;
mod template;

pub use change::{Applied, Change};
pub use explain::{Explanation, Grant, Holder, MemberState};
pub(crate) use refusal::Refusal;
pub use role::{NewRole, Role, RoleName, RolePage};
pub use set::PermissionSet;
pub use snapshot::{Epoch, RegisteredPermission, Snapshot};
#[cfg(feature = "testing")]
pub(crate) use template::OWNER;
pub(crate) use template::{ALL_PERMISSIONS, templates_as_json};
pub use template::{RoleTemplate, TEMPLATES};
