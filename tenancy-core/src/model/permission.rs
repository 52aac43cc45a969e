//! Permissions as types: an unknown one does not compile.

use std::{
    fmt,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{PermissionKey, Principal, TenantCtx, TenantId};

/// A permission known at compile time; made by [`permissions!`](crate::permissions).
pub trait Permission: Copy + Default + Send + Sync + 'static {
    /// The key that the database and messages use.
    const KEY: PermissionKey;

    /// Where an authorizer of this process notes what it found out about the permission, so that it
    /// need not look its key up again; without one it looks.
    #[doc(hidden)]
    fn note() -> Option<&'static PermissionNote> {
        None
    }
}

/// A number that an authorizer notes about a permission, for itself; 0 at first.
///
/// Several authorizers of a process share it: what is noted has to say whose it is.
#[derive(Debug, Default)]
pub struct PermissionNote(AtomicU64);

impl PermissionNote {
    /// Nothing noted.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// What was noted last.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes something.
    pub fn set(&self, note: u64) {
        self.0.store(note, Ordering::Relaxed);
    }
}

/// A permission as it is registered: its key, what it allows, and which default roles have it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PermissionDef {
    /// The key.
    pub key: &'static str,
    /// What it allows, in one line for people.
    pub description: &'static str,
    /// The keys of the role templates that grant it; `owner` and `admin` always do.
    pub roles: &'static [&'static str],
}

impl PermissionDef {
    /// Made by [`permissions!`](crate::permissions).
    pub const fn new(
        key: &'static str,
        description: &'static str,
        roles: &'static [&'static str],
    ) -> Self {
        Self {
            key,
            description,
            roles,
        }
    }
}

/// Defines one type for each permission, and the list that registers them.
///
/// After the description come the default roles that are granted it, beside owner and admin.
///
/// ```
/// tenancy_core::permissions! {
///     /// Permissions of templates.
///     pub mod perm {
///         TemplatesRead = "templates.read", "see templates", [member, support, viewer];
///         TemplatesWrite = "templates.write", "change templates", [member];
///     }
/// }
///
/// use tenancy_core::Permission as _;
/// assert_eq!(perm::TemplatesRead::KEY.as_str(), "templates.read");
/// assert_eq!(perm::ALL.len(), 2);
/// ```
///
/// A key that breaks the grammar does not compile:
///
/// ```compile_fail
/// tenancy_core::permissions! {
///     /// Broken.
///     pub mod perm { Broken = "Templates Read", "see templates", []; }
/// }
/// fn main() { let _ = <perm::Broken as tenancy_core::Permission>::KEY; }
/// ```
#[macro_export]
macro_rules! permissions {
    ($(#[$meta:meta])* $vis:vis mod $module:ident {
        $($name:ident = $key:literal, $description:literal, [$($role:ident),* $(,)?];)+
    }) => {
        $(#[$meta])*
        $vis mod $module {
            $(
                #[doc = concat!("`", $key, "`: ", $description, ".")]
                #[derive(Clone, Copy, Debug, Default)]
                #[non_exhaustive]
                pub struct $name;

                impl $name {
                    /// The permission as a value.
                    pub const fn get() -> Self { Self }
                }

                impl $crate::Permission for $name {
                    const KEY: $crate::PermissionKey = $crate::PermissionKey::from_static($key);

                    fn note() -> ::std::option::Option<&'static $crate::PermissionNote> {
                        static NOTE: $crate::PermissionNote = $crate::PermissionNote::new();
                        ::std::option::Option::Some(&NOTE)
                    }
                }
            )+

            /// Every permission of this module, for registration.
            pub const ALL: &[$crate::PermissionDef] = &[
                $($crate::PermissionDef::new($key, $description, &[$(stringify!($role)),*]),)+
            ];
        }
    };
}

/// The proof that a principal was found to hold `P` in a tenant.
///
/// A service method that takes one can't be called without the check. It carries who was checked
/// where: [`covers`](Self::covers) compares that with the context it is used in. An
/// [`Authorizer`](crate::Authorizer) that says yes is the only way to one; nothing else makes, copies
/// or reads it from a text:
///
/// ```compile_fail,E0451
/// # tenancy_core::permissions! { /// x
/// #     pub mod perm { Read = "a.read", "x", []; } }
/// # fn forged(ctx: &tenancy_core::TenantCtx) -> tenancy_core::Granted<perm::Read> {
/// let (tenant, principal) = (ctx.tenant(), ctx.principal().clone());
/// tenancy_core::Granted { tenant, principal, permission: std::marker::PhantomData }
/// # }
/// ```
///
/// ```compile_fail,E0624
/// # tenancy_core::permissions! { /// x
/// #     pub mod perm { Read = "a.read", "x", []; } }
/// # fn forged(ctx: &tenancy_core::TenantCtx) -> tenancy_core::Granted<perm::Read> {
/// tenancy_core::Granted::to(ctx)
/// # }
/// ```
///
/// ```compile_fail,E0599
/// # tenancy_core::permissions! { /// x
/// #     pub mod perm { Read = "a.read", "x", []; } }
/// # use tenancy_core::Granted;
/// fn twice(granted: &Granted<perm::Read>) -> Granted<perm::Read> { granted.clone() }
/// # fn main() { let _: Granted<perm::Read> = Granted::<perm::Read>::default(); }
/// ```
pub struct Granted<P> {
    tenant: TenantId,
    principal: Principal,
    permission: PhantomData<P>,
}

impl<P: Permission> Granted<P> {
    pub(crate) fn to(ctx: &TenantCtx) -> Self {
        Self {
            tenant: ctx.tenant(),
            principal: ctx.principal().clone(),
            permission: PhantomData,
        }
    }

    /// Whether this proof was given for the tenant and principal of `ctx`.
    pub fn covers(&self, ctx: &TenantCtx) -> bool {
        self.tenant == ctx.tenant() && self.principal == *ctx.principal()
    }
}

impl<P: Permission> fmt::Debug for Granted<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Granted({} in {})", P::KEY, self.tenant)
    }
}

/// The answer to whether a principal holds a permission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// He does.
    Allow,
    /// He does not.
    Deny(DenyReason),
}

impl Decision {
    /// Whether it is [`Decision::Allow`].
    pub fn is_allowed(self) -> bool {
        self == Self::Allow
    }
}

/// Why a permission is not held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DenyReason {
    /// He is no active member of the tenant.
    NotAMember,
    /// None of his roles, or none of the service's permissions, grants it.
    NotGranted,
    /// Nobody registered such a permission.
    UnknownPermission,
}

impl DenyReason {
    /// Stable text for audit entries and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAMember => "not_a_member",
            Self::NotGranted => "not_granted",
            Self::UnknownPermission => "unknown_permission",
        }
    }
}
