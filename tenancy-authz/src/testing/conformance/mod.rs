//! What every [`PolicyStore`] has to keep, as one function.

mod decisions;
mod members;
mod reviews;
mod rules;
mod together;

use std::sync::Arc;

use tenancy_core::{
    Decision, PermissionDef, PermissionKey, RoleKey, TenantCtx, TenantDb, testing::MemoryAudit,
};

use super::member;
use crate::{AuthzOptions, Change, Error, ErrorKind, PgAuthorizer, PolicyStore, RoleName, perm};

tenancy_core::permissions! {
    /// The permissions of an imagined host.
    mod host {
        DocsRead = "docs.read", "see documents", [member, viewer];
        DocsWrite = "docs.write", "change documents", [member];
        DocsPurge = "docs.purge", "delete documents for good", [];
    }
}

/// What has to be registered in the store before the suite runs.
pub fn permissions() -> Vec<PermissionDef> {
    [tenancy_core::perm::ALL, perm::ALL, host::ALL].concat()
}

const READ: PermissionKey = PermissionKey::from_static("docs.read");
const WRITE: PermissionKey = PermissionKey::from_static("docs.write");
const PURGE: PermissionKey = PermissionKey::from_static("docs.purge");
const MANAGE: PermissionKey = PermissionKey::from_static("roles.manage");
const OWNER: RoleKey = RoleKey::from_static("owner");
const VIEWER: RoleKey = RoleKey::from_static("viewer");
const CLERK: RoleKey = RoleKey::from_static("clerk");

/// The store under test, and what it takes to use it.
struct Bench {
    db: TenantDb,
    store: Arc<dyn PolicyStore>,
    authz: Arc<PgAuthorizer>,
}

/// Runs the suite; it panics where the store breaks its contract.
///
/// `db` is a migrated database, for contexts and transactions; [`permissions`] have to be
/// registered in the store.
///
/// # Errors
/// What the store or the database failed with.
pub async fn policy_store(db: &TenantDb, store: Arc<dyn PolicyStore>) -> Result<(), Error> {
    let audit = Arc::new(MemoryAudit::new());
    let authz = Arc::new(PgAuthorizer::over(
        store.clone(),
        audit,
        AuthzOptions::default(),
    ));
    let bench = Bench {
        db: db.clone(),
        store,
        authz,
    };
    decisions::seeding_twice_changes_nothing(&bench).await?;
    decisions::grants_and_assignments_count_at_once(&bench).await?;
    decisions::tenants_are_apart(&bench).await?;
    decisions::who_is_no_member_is_told_so_whatever_he_asks(&bench).await?;
    rules::nobody_gives_or_takes_more_than_he_has(&bench).await?;
    rules::the_owner_role_is_fixed(&bench).await?;
    rules::a_deleted_key_is_not_used_again(&bench).await?;
    members::roles_of_a_member_are_set_at_once(&bench).await?;
    members::the_role_owner_comes_and_goes_with_ownership(&bench).await?;
    together::what_is_wrong_only_in_passing_is_not_wrong(&bench).await?;
    together::what_is_wrong_in_the_end_is_refused_as_a_whole(&bench).await?;
    together::what_was_held_before_is_what_may_be_given_and_taken(&bench).await?;
    decisions::what_is_rolled_back_did_not_happen(&bench).await?;
    decisions::a_role_that_ends_says_when(&bench).await?;
    reviews::reviews_tell_who_and_why(&bench).await?;
    reviews::roles_are_listed_by_the_page(&bench).await
}

impl Bench {
    /// One change in a transaction of its own; `Ok(true)` if it changed something.
    async fn change(&self, by: &TenantCtx, change: Change) -> Result<bool, Error> {
        let mut tx = self.db.write(by).await?;
        let applied = self.store.change_in(&mut tx, &change).await?;
        tx.commit().await?;
        Ok(applied != crate::Applied::Unchanged)
    }

    async fn refused(&self, by: &TenantCtx, change: Change) -> Result<Option<ErrorKind>, Error> {
        let epoch = self.epoch(by).await?;
        let kind = self
            .change(by, change)
            .await
            .err()
            .map(|error| error.kind());
        assert_eq!(
            self.epoch(by).await?,
            epoch,
            "a refused change counts no epoch up"
        );
        Ok(kind)
    }

    async fn decide(&self, ctx: &TenantCtx, permission: &PermissionKey) -> Result<Decision, Error> {
        let mut tx = self.db.read(ctx).await?;
        self.store.decide_in(&mut tx, permission).await
    }

    async fn epoch(&self, ctx: &TenantCtx) -> Result<i64, Error> {
        let snapshot = self.store.snapshot(ctx, None).await?;
        Ok(snapshot.map_or(0, |snapshot| snapshot.epoch))
    }

    /// A role `clerk` that grants these, had by a fresh member.
    async fn clerk(
        &self,
        owner: &TenantCtx,
        grants: &[&PermissionKey],
    ) -> Result<TenantCtx, Error> {
        self.change(owner, create(CLERK)?).await?;
        for permission in grants {
            self.change(owner, grant(CLERK, permission)).await?;
        }
        Ok(member(&self.db, &self.authz, owner, &["clerk"]).await?)
    }
}

fn create(role: RoleKey) -> Result<Change, Error> {
    Ok(Change::Create {
        role,
        name: RoleName::parse("Clerk")?,
    })
}

fn rename(role: RoleKey, name: &str) -> Result<Change, Error> {
    let name = RoleName::parse(name)?;
    Ok(Change::Rename { role, name })
}

fn grant(role: RoleKey, permission: &PermissionKey) -> Change {
    Change::Grant {
        role,
        permission: permission.clone(),
    }
}

fn revoke(role: RoleKey, permission: &PermissionKey) -> Change {
    Change::Revoke {
        role,
        permission: permission.clone(),
    }
}

fn assign(to: &TenantCtx, role: RoleKey) -> Option<Change> {
    Some(Change::Assign {
        member: to.user()?,
        role,
        expires_at: None,
    })
}

fn unassign(from: &TenantCtx, role: RoleKey) -> Option<Change> {
    Some(Change::Unassign {
        member: from.user()?,
        role,
    })
}

/// Contexts of this suite are those of users.
fn some(change: Option<Change>) -> Result<Change, Error> {
    let kind = ErrorKind::Core(tenancy_core::ErrorKind::Internal);
    change.ok_or_else(|| Error::new(kind, "no_user", "a context without a user"))
}
