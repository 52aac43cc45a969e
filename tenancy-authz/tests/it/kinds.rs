//! Each kind of change counts in another process: told, or by the epoch when the bound is over.
//!
//! Nothing here migrates the net of triggers: what counts the epoch up is the function that made the change.

use std::{sync::Arc, time::Duration};

use tenancy_authz::{AuthzOptions, GrantKey, ImportOptions, NewRole, PgAuthorizer};
use tenancy_core::{
    Authorizer as _, Decision, Email, Invitations, MemberStatus, Members, NewInvitation, Ownership,
    RoleKey, Suspension, TenantCtx, Tenants,
};
use tokio::time::timeout;

use crate::{
    listening::listening,
    support::{PURGE, Result, World, authorizer, name, role, role_named, user, wildcard},
};

/// What changes whether somebody may do something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Assigned,
    GivenByInvitation,
    Granted,
    GrantedByWildcard,
    Imported,
    MadeOwner,
    ParentDeleted,
    ParentGiven,
    ParentTaken,
    Revoked,
    RevokedByWildcard,
    RoleDeleted,
    RolesSet,
    RolesSetToLess,
    Unassigned,
    UnmadeOwner,
    // What the core changes, who tells nobody: these count when the bound is over.
    Deactivated,
    Removed,
    TenantSuspended,
}

const TOLD: &[Kind] = &[
    Kind::Assigned,
    Kind::GivenByInvitation,
    Kind::Granted,
    Kind::GrantedByWildcard,
    Kind::Imported,
    Kind::MadeOwner,
    Kind::ParentDeleted,
    Kind::ParentGiven,
    Kind::ParentTaken,
    Kind::Revoked,
    Kind::RevokedByWildcard,
    Kind::RoleDeleted,
    Kind::RolesSet,
    Kind::RolesSetToLess,
    Kind::Unassigned,
    Kind::UnmadeOwner,
];

/// The last one closes the tenant.
const NOT_TOLD: &[Kind] = &[Kind::Deactivated, Kind::Removed, Kind::TenantSuspended];

/// A change about to be made, for a member of his own and roles of its own.
struct Case<'w> {
    world: &'w World,
    kind: Kind,
    member: TenantCtx,
    /// Of two roles one stands above the other; the member has the lower one.
    lower: RoleKey,
    upper: RoleKey,
}

impl<'w> Case<'w> {
    async fn prepare(world: &'w World, kind: Kind) -> Result<Self> {
        let prefix = format!("{kind:?}").to_lowercase();
        let (lower, upper) = (
            role_named(&format!("{prefix}_lower")),
            role_named(&format!("{prefix}_upper")),
        );
        let (roles, owner) = (&world.roles, &world.owner);
        let above = NewRole::new(upper.clone(), name("Upper")).with_permission(PURGE);
        roles.create(owner, above).await?;
        let below = NewRole::new(lower.clone(), name("Lower"));
        let below = match kind {
            Kind::ParentDeleted | Kind::ParentTaken => below.with_parent(upper.clone()),
            Kind::RevokedByWildcard => below.with_wildcard(wildcard("templates.*")),
            Kind::Granted | Kind::GrantedByWildcard | Kind::ParentGiven => below,
            _ => below.with_permission(PURGE),
        };
        roles.create(owner, below).await?;
        let member = world.member(&["viewer"]).await?;
        let case = Self {
            world,
            kind,
            member,
            lower,
            upper,
        };
        match kind {
            Kind::Assigned | Kind::MadeOwner | Kind::RolesSet => {}
            Kind::GivenByInvitation => {
                case.members().remove(owner, user(&case.member)).await?;
            }
            Kind::UnmadeOwner => case.ownership().add(owner, user(&case.member)).await?,
            _ => {
                roles
                    .assign(owner, user(&case.member), &case.lower, None)
                    .await?;
            }
        }
        Ok(case)
    }

    /// Whether the change gives; otherwise it takes.
    fn gives(&self) -> bool {
        matches!(
            self.kind,
            Kind::Assigned
                | Kind::GivenByInvitation
                | Kind::Granted
                | Kind::GrantedByWildcard
                | Kind::MadeOwner
                | Kind::ParentGiven
                | Kind::RolesSet
        )
    }

    async fn make(&self) -> Result {
        let (roles, owner) = (&self.world.roles, &self.world.owner);
        let (lower, upper, member) = (&self.lower, &self.upper, user(&self.member));
        let all = wildcard("templates.*");
        match self.kind {
            Kind::Assigned => roles.assign(owner, member, lower, None).await?,
            Kind::Deactivated => {
                let to = MemberStatus::Deactivated;
                self.members().set_status(owner, member, to).await?;
            }
            Kind::GivenByInvitation => self.invite().await?,
            Kind::Granted => roles.grant(owner, lower, &PURGE).await?,
            Kind::GrantedByWildcard => roles.grant_wildcard(owner, lower, &all).await?,
            Kind::Imported => {
                let mut policy = roles.export(owner).await?;
                let lower = policy.roles.get_mut(lower).ok_or("no such role")?;
                assert!(lower.grants.remove(&GrantKey::Permission(PURGE)));
                let options = ImportOptions::default();
                roles.import(owner, &policy, &options).await?;
            }
            Kind::MadeOwner => self.ownership().add(owner, member).await?,
            Kind::ParentDeleted => roles.delete(owner, upper).await?,
            Kind::ParentGiven => roles.add_parent(owner, lower, upper).await?,
            Kind::ParentTaken => roles.remove_parent(owner, lower, upper).await?,
            Kind::Removed => self.members().remove(owner, member).await?,
            Kind::Revoked => roles.revoke(owner, lower, &PURGE).await?,
            Kind::RevokedByWildcard => roles.revoke_wildcard(owner, lower, &all).await?,
            Kind::RoleDeleted => roles.delete(owner, lower).await?,
            Kind::RolesSet => {
                let set = [role("viewer"), lower.clone()];
                self.members().set_roles(owner, member, &set).await?;
            }
            Kind::RolesSetToLess => {
                let set = [role("viewer")];
                self.members().set_roles(owner, member, &set).await?;
            }
            Kind::TenantSuspended => self.tenants().suspend(owner, Suspension::Blocked).await?,
            Kind::Unassigned => roles.unassign(owner, member, lower).await?,
            Kind::UnmadeOwner => self.ownership().remove(owner, member).await?,
        }
        Ok(())
    }

    async fn invite(&self) -> Result {
        let (db, authz) = (self.world.db.app.clone(), self.world.authz.clone());
        let audit = Arc::new(self.world.audit.clone());
        let invitations = Invitations::new(db, authz.clone(), authz, audit);
        let email = Email::parse("again@example.com")?;
        let invitation = NewInvitation::new(email.clone(), vec![self.lower.clone()]);
        let sent = invitations.invite(&self.world.owner, invitation).await?;
        let member = user(&self.member);
        invitations
            .accept(sent.token.expose(), member, &email)
            .await?;
        Ok(())
    }

    fn members(&self) -> Members {
        let (db, authz) = (self.world.db.app.clone(), self.world.authz.clone());
        Members::new(db, authz.clone(), authz, Arc::new(self.world.audit.clone()))
    }

    fn ownership(&self) -> Ownership {
        let (db, authz) = (self.world.db.app.clone(), self.world.authz.clone());
        Ownership::new(db, authz, Arc::new(self.world.audit.clone()))
    }

    fn tenants(&self) -> Tenants {
        let (db, authz) = (self.world.db.app.clone(), self.world.authz.clone());
        Tenants::new(db, authz.clone(), authz, Arc::new(self.world.audit.clone()))
    }

    /// What another process says.
    async fn allowed(&self, elsewhere: &PgAuthorizer) -> bool {
        // A tenant that is closed lets nobody ask.
        let said = elsewhere.check(&self.member, &PURGE).await;
        said.is_ok_and(Decision::is_allowed)
    }
}

#[tokio::test]
async fn each_kind_of_change_of_roles_is_heard_of_in_another_process_long_before_the_bound()
-> Result {
    let soon = Duration::from_secs(10);
    let world = World::new().await?;
    // It believes its memory for an hour.
    let elsewhere = listening(&world).await?.authz;
    for kind in TOLD {
        let case = Case::prepare(&world, *kind).await?;
        // What was announced of the preparations has been heard: it is not what tells of the change.
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(case.allowed(&elsewhere).await, !case.gives(), "{kind:?}");
        case.make().await?;
        let heard = async {
            while case.allowed(&elsewhere).await != case.gives() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(
            timeout(soon, heard).await.is_ok(),
            "nobody told of {kind:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn each_kind_of_change_counts_within_the_bound_also_when_nobody_tells_of_it() -> Result {
    let bound = Duration::from_millis(150);
    let silent = AuthzOptions::default().without_announcements();
    let world = World::with(silent).await?;
    let options = AuthzOptions::default().with_bound(bound);
    let elsewhere = authorizer(&world.db.app, &world.audit, options);
    for kind in TOLD.iter().chain(NOT_TOLD) {
        let case = Case::prepare(&world, *kind).await?;
        tokio::time::sleep(bound).await;
        assert_eq!(case.allowed(&elsewhere).await, !case.gives(), "{kind:?}");
        case.make().await?;
        tokio::time::sleep(bound).await;
        assert_eq!(case.allowed(&elsewhere).await, case.gives(), "{kind:?}");
    }
    Ok(())
}
