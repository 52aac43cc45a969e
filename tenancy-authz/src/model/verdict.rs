//! From what was found out about a principal to what he is told.

use tenancy_core::{Decision, DenyReason, PermissionKey, TenantCtx};

/// What a store knows of a permission of the user that a context stands for, or of the maker of its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) is_member: bool,
    pub(crate) is_registered: bool,
    /// Whether his roles grant it.
    pub(crate) is_granted: bool,
}

impl Found {
    /// The decision, with its reason, for whoever asks in whichever way. Membership comes first: who is out
    /// learns neither which permissions there are nor what is closed to him.
    pub(crate) fn decide(self, ctx: &TenantCtx, permission: &PermissionKey) -> Decision {
        if !self.is_member {
            return Decision::Deny(DenyReason::NotAMember);
        }
        if is_withheld(ctx, permission) {
            return Decision::Deny(DenyReason::NotGranted);
        }
        match (self.is_registered, self.is_granted) {
            (false, _) => Decision::Deny(DenyReason::UnknownPermission),
            (true, true) => Decision::Allow,
            (true, false) => Decision::Deny(DenyReason::NotGranted),
        }
    }
}

/// Whether the context holds less than its roles grant: what is closed to support, and what its key was not
/// made for.
fn is_withheld(ctx: &TenantCtx, permission: &PermissionKey) -> bool {
    let principal = ctx.principal();
    let brought = principal.actor.permissions();
    principal.is_closed_to(permission)
        || brought.is_some_and(|brought| !brought.contains(permission))
}

/// What is so of a service, and of a key that no member made: they have what they bring, and no role says
/// anything about them. `None` for everybody else.
pub(crate) fn by_itself(ctx: &TenantCtx, permission: &PermissionKey) -> Option<Decision> {
    if ctx.user().or(ctx.maker()).is_some() {
        return None;
    }
    Some(match ctx.principal().actor.permissions() {
        None => Decision::Deny(DenyReason::NotAMember),
        Some(brought) if brought.contains(permission) => Decision::Allow,
        Some(_) => Decision::Deny(DenyReason::NotGranted),
    })
}
