//! Several permissions at once.

use tenancy_core::{DenyReason, ErrorKind, PermissionKey, TenantCtx};

use super::PgAuthorizer;
use crate::{Error, service::rights::Rights};

impl PgAuthorizer {
    /// What the principal may do, for many checks in one request; no older than the bound.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the database does not answer.
    pub async fn permissions(&self, ctx: &TenantCtx) -> Result<Rights, Error> {
        let registry = &self.registry;
        let Some(user) = ctx.user().or(ctx.maker()) else {
            return Ok(Rights::brought(ctx, registry));
        };
        let bound = self.options.bound;
        let ready = registry.prepare(&*self.store, ctx, bound).await;
        ready.map_err(|error| Error::unavailable(&error))?;
        let snapshot = self.snapshot(ctx, user).await?;
        Ok(Rights::by_roles(ctx, snapshot, registry))
    }

    /// Those of the permissions that the principal holds, in the order given. Leaves no entry.
    ///
    /// # Errors
    /// As [`permissions`](Self::permissions).
    pub async fn filter(
        &self,
        ctx: &TenantCtx,
        permissions: &[PermissionKey],
    ) -> Result<Vec<PermissionKey>, Error> {
        Ok(self.permissions(ctx).await?.filter(permissions))
    }

    /// Returns only if all of the permissions are held; records one denial that names all that are
    /// missing otherwise.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied), or the core's `NotAMember` to whom is no member any more;
    /// [`Unavailable`](crate::ErrorKind::Unavailable), and
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if no permission is named.
    pub async fn require_all(
        &self,
        ctx: &TenantCtx,
        permissions: &[PermissionKey],
    ) -> Result<(), Error> {
        let rights = self.rights_to(ctx, permissions).await?;
        let missing: Vec<_> = permissions
            .iter()
            .filter(|key| !rights.allows_key(key))
            .cloned()
            .collect();
        let (Some(first), Some(reason)) = (missing.first(), reason(&rights, &missing)) else {
            return Ok(());
        };
        self.denials.missing(ctx, &missing, reason).await;
        if missing.len() == 1 || reason == DenyReason::NotAMember {
            return Err(tenancy_core::Error::refused(first, reason).into());
        }
        Err(denied(format!(
            "the permissions {} are missing",
            named(&missing)
        )))
    }

    /// Returns the first of the permissions that is held; records one denial that names all of them
    /// if none is.
    ///
    /// # Errors
    /// As [`require_all`](Self::require_all).
    pub async fn require_any(
        &self,
        ctx: &TenantCtx,
        permissions: &[PermissionKey],
    ) -> Result<PermissionKey, Error> {
        let rights = self.rights_to(ctx, permissions).await?;
        let held = permissions.iter().find(|key| rights.allows_key(key));
        if let Some(held) = held {
            return Ok(held.clone());
        }
        let reason = reason(&rights, permissions).unwrap_or(DenyReason::NotGranted);
        self.denials.missing(ctx, permissions, reason).await;
        if reason == DenyReason::NotAMember {
            return Err(tenancy_core::Error::not_a_member().on_record().into());
        }
        Err(denied(format!(
            "one of the permissions {} is needed",
            named(permissions)
        )))
    }

    async fn rights_to(
        &self,
        ctx: &TenantCtx,
        permissions: &[PermissionKey],
    ) -> Result<Rights, Error> {
        if permissions.is_empty() {
            let message = "no permission was named";
            return Err(tenancy_core::Error::invalid("no_permission_named", message).into());
        }
        let rights = self.permissions(ctx).await?;
        if permissions.iter().all(|key| rights.allows_key(key)) {
            return Ok(rights);
        }
        // A key that was registered a moment ago is asked for once more before it is denied.
        self.permissions(ctx).await
    }
}

/// Why the first of them is missing; `None` if there is none.
fn reason(rights: &Rights, missing: &[PermissionKey]) -> Option<DenyReason> {
    match rights.decide(missing.first()?) {
        tenancy_core::Decision::Deny(reason) => Some(reason),
        _ => None,
    }
}

fn denied(message: String) -> Error {
    let denied = tenancy_core::Error::new(ErrorKind::Denied, "permission_denied", message);
    denied.on_record().into()
}

fn named(permissions: &[PermissionKey]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<_> = permissions
        .iter()
        .take(SHOWN)
        .map(|key| format!("`{key}`"))
        .collect();
    let rest = permissions.len().saturating_sub(SHOWN);
    match rest {
        0 => shown.join(", "),
        rest => format!("{} and {rest} more", shown.join(", ")),
    }
}
