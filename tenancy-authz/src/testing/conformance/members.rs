//! All roles of a member at once, and the role that comes with ownership.

use std::sync::Arc;

use tenancy_core::{HeldRole, Ownership, RoleKey, RolesChange, TenantCtx, testing::MemoryAudit};

use super::{Bench, MANAGE, OWNER, READ, VIEWER};
use crate::{
    Error, ErrorKind,
    testing::{member, tenant},
};

const MEMBER: RoleKey = RoleKey::from_static("member");
const SUPPORT: RoleKey = RoleKey::from_static("support");

pub(super) async fn roles_of_a_member_are_set_at_once(bench: &Bench) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let bob = member(&bench.db, &bench.authz, &owner, &["viewer"]).await?;
    let both = [MEMBER, SUPPORT];
    let held = |roles: &[RoleKey]| -> Vec<_> {
        let for_good = |role: &RoleKey| HeldRole::new(role.clone(), None);
        roles.iter().map(for_good).collect()
    };
    let change = RolesChange::new(held(&[VIEWER]), held(&both));
    assert_eq!(set(bench, &owner, &bob, &both).await?, Some(change));
    assert_eq!(roles(bench, &bob).await?, both);
    assert_eq!(set(bench, &owner, &bob, &both).await?, None);
    if let Some(user) = bob.user() {
        let mut tx = bench.db.write(&owner).await?;
        assert_eq!(bench.store.held_in(&mut tx, user).await?, held(&both));
        tx.commit().await?;
    }

    let clerk = bench.clerk(&owner, &[&MANAGE, &READ]).await?;
    for refused in [&[VIEWER][..], &[MEMBER, SUPPORT, OWNER]] {
        let kind = set(bench, &clerk, &bob, refused)
            .await
            .err()
            .map(|error| error.kind());
        assert_eq!(
            kind,
            Some(ErrorKind::Exceeds),
            "neither more than he has is given, nor taken"
        );
    }
    let kinds = [
        (set(bench, &bob, &clerk, &[VIEWER]).await, ErrorKind::Denied),
        (
            set(bench, &owner, &owner, &[MEMBER]).await,
            ErrorKind::RoleFixed,
        ),
        (
            set(bench, &owner, &bob, &[RoleKey::from_static("nobody")]).await,
            ErrorKind::RoleUnknown,
        ),
    ];
    for (refused, kind) in kinds {
        assert_eq!(refused.err().map(|error| error.kind()), Some(kind));
    }
    assert_eq!(
        roles(bench, &bob).await?,
        both,
        "what is refused changes nothing"
    );
    Ok(())
}

pub(super) async fn the_role_owner_comes_and_goes_with_ownership(
    bench: &Bench,
) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let bob = member(&bench.db, &bench.authz, &owner, &["viewer"]).await?;
    let audit = Arc::new(MemoryAudit::new());
    let ownership = Ownership::new(bench.db.clone(), bench.authz.clone(), audit);
    let (Some(first), Some(second)) = (owner.user(), bob.user()) else {
        return Ok(());
    };
    ownership.add(&owner, second).await?;
    assert_eq!(roles(bench, &bob).await?, [OWNER, VIEWER]);
    ownership.remove(&bob, first).await?;
    assert_eq!(
        roles(bench, &owner).await?,
        [RoleKey::from_static("admin")],
        "who would be left without a role keeps one"
    );
    ownership.add(&bob, first).await?;
    ownership.remove(&owner, second).await?;
    assert_eq!(roles(bench, &bob).await?, [VIEWER]);
    Ok(())
}

async fn set(
    bench: &Bench,
    by: &TenantCtx,
    of: &TenantCtx,
    roles: &[RoleKey],
) -> Result<Option<RolesChange>, Error> {
    let mut tx = bench.db.write(by).await?;
    let Some(user) = of.user() else {
        return Ok(None);
    };
    let change = bench.store.set_roles_in(&mut tx, user, roles).await?;
    tx.commit().await?;
    Ok(change)
}

async fn roles(bench: &Bench, of: &TenantCtx) -> Result<Vec<RoleKey>, Error> {
    let mut tx = bench.db.read(of).await?;
    bench.store.roles_in(&mut tx).await
}
