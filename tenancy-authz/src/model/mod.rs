//! Plain values and pure logic, without input or output.

mod bounded;
mod change;
mod diff;
mod document;
mod explain;
mod matrix;
mod refusal;
mod role;
mod set;
mod snapshot;
mod template;
mod verdict;
mod wildcard;

pub use change::{Applied, Change, RefusedChange};
pub use diff::PolicyDiff;
pub use document::{GrantKey, PolicyDocument, RoleDocument};
pub use explain::{Explanation, Grant, Holder, MemberState};
pub use matrix::{MatrixRole, RoleMatrix};
pub(crate) use refusal::Refusal;
pub use role::{NewRole, Role, RoleName, RolePage};
pub use set::PermissionSet;
pub use snapshot::{Epoch, RegisteredPermission, Snapshot};
#[cfg(feature = "testing")]
pub(crate) use template::MAX_DEPTH;
pub(crate) use template::OWNER;
pub(crate) use template::{ALL_PERMISSIONS, templates_as_json};
pub use template::{RoleTemplate, TEMPLATES};
pub(crate) use verdict::{Found, by_itself};
pub use wildcard::Wildcard;
