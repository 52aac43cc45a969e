//! What counts, from when, and for whom.

use chrono::{TimeDelta, Utc};
use tenancy_core::{
    Decision, DenyReason, PermissionKey, Principal, UserId,
    testing::{acting_for, imagined},
};

use super::{
    Bench, CLERK, MANAGE, READ, VIEWER, WRITE, assign, create, grant, revoke, some, unassign,
};
use crate::{
    Change, Error, ErrorKind, RolePage,
    testing::{member, tenant},
};

pub(super) async fn seeding_twice_changes_nothing(bench: &Bench) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let epoch = bench.epoch(&owner).await?;
    let mut tx = bench.db.write(&owner).await?;
    let before = bench.store.list_in(&mut tx, &RolePage::default()).await?;
    if let Some(user) = owner.user() {
        assert_eq!(
            bench.store.seed_in(&mut tx, user).await?,
            crate::Applied::Unchanged
        );
    }
    assert_eq!(
        bench.store.list_in(&mut tx, &RolePage::default()).await?,
        before
    );
    tx.commit().await?;
    assert_eq!(bench.epoch(&owner).await?, epoch);
    let keys: Vec<_> = before.iter().map(|role| role.key.as_str()).collect();
    assert_eq!(keys, ["admin", "member", "owner", "support", "viewer"]);
    Ok(())
}

pub(super) async fn grants_and_assignments_count_at_once(bench: &Bench) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let clerk = bench.clerk(&owner, &[&READ]).await?;
    assert_eq!(bench.decide(&clerk, &READ).await?, Decision::Allow);
    assert_eq!(
        bench.decide(&clerk, &WRITE).await?,
        Decision::Deny(DenyReason::NotGranted)
    );
    let nobody_knows = PermissionKey::from_static("docs.unheard_of");
    let unknown = Decision::Deny(DenyReason::UnknownPermission);
    assert_eq!(bench.decide(&clerk, &nobody_knows).await?, unknown);

    let epoch = bench.epoch(&clerk).await?;
    assert_eq!(bench.store.snapshot(&clerk, Some(epoch)).await?, None);
    assert!(bench.change(&owner, grant(CLERK, &WRITE)).await?);
    assert!(
        !bench.change(&owner, grant(CLERK, &WRITE)).await?,
        "granted already"
    );
    assert!(
        bench.store.snapshot(&clerk, Some(epoch)).await?.is_some(),
        "the epoch moved on"
    );
    assert_eq!(bench.decide(&clerk, &WRITE).await?, Decision::Allow);

    assert!(bench.change(&owner, revoke(CLERK, &WRITE)).await?);
    assert!(
        !bench.change(&owner, revoke(CLERK, &WRITE)).await?,
        "revoked already"
    );
    assert!(!bench.decide(&clerk, &WRITE).await?.is_allowed());
    assert!(bench.change(&owner, some(unassign(&clerk, CLERK))?).await?);
    assert!(
        !bench.change(&owner, some(unassign(&clerk, CLERK))?).await?,
        "taken already"
    );
    assert!(!bench.decide(&clerk, &READ).await?.is_allowed());
    let snapshot = bench
        .store
        .snapshot(&clerk, None)
        .await?
        .unwrap_or_default();
    assert!(snapshot.is_member && snapshot.roles.is_empty() && snapshot.permissions.is_empty());
    Ok(())
}

pub(super) async fn tenants_are_apart(bench: &Bench) -> Result<(), Error> {
    let (one, two) = (
        tenant(&bench.db, &bench.authz).await?,
        tenant(&bench.db, &bench.authz).await?,
    );
    let clerk = bench.clerk(&one, &[&READ]).await?;
    let unknown = Some(ErrorKind::RoleUnknown);
    assert_eq!(
        bench.refused(&two, some(assign(&two, CLERK))?).await?,
        unknown
    );
    assert_eq!(bench.refused(&two, grant(CLERK, &READ)).await?, unknown);
    let stranger = Some(ErrorKind::MemberUnknown);
    assert_eq!(
        bench.refused(&two, some(assign(&clerk, VIEWER))?).await?,
        stranger
    );
    let before = bench.epoch(&one).await?;
    bench.change(&two, create(CLERK)?).await?;
    assert_eq!(bench.epoch(&one).await?, before, "another tenant's epoch");
    Ok(())
}

pub(super) async fn who_is_no_member_is_told_so_whatever_he_asks(
    bench: &Bench,
) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let stranger = imagined(owner.tenant(), Principal::user(UserId::new()));
    let support = acting_for(&owner, UserId::new(), UserId::new());
    let nobody_knows = PermissionKey::from_static("docs.unheard_of");
    for ctx in [stranger, support] {
        for permission in [&READ, &MANAGE, &nobody_knows] {
            let said = bench.decide(&ctx, permission).await?;
            assert_eq!(said, Decision::Deny(DenyReason::NotAMember), "{permission}");
        }
    }
    Ok(())
}

pub(super) async fn what_is_rolled_back_did_not_happen(bench: &Bench) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let mut tx = bench.db.write(&owner).await?;
    bench.store.change_in(&mut tx, &create(CLERK)?).await?;
    bench.store.change_in(&mut tx, &grant(CLERK, &READ)).await?;
    assert_eq!(
        bench.store.role_permissions_in(&mut tx, &CLERK).await?,
        [READ]
    );
    tx.rollback().await?;
    let mut tx = bench.db.read(&owner).await?;
    let gone = bench.store.role_permissions_in(&mut tx, &CLERK).await;
    assert_eq!(
        gone.map_err(|error| error.kind()),
        Err(ErrorKind::RoleUnknown)
    );
    Ok(())
}

pub(super) async fn a_role_that_ends_says_when(bench: &Bench) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let clerk = member(&bench.db, &bench.authz, &owner, &["viewer"]).await?;
    let Some(user) = clerk.user() else {
        return Ok(());
    };
    let until = |seconds| Change::Assign {
        member: user,
        role: VIEWER,
        expires_at: Some(Utc::now() + TimeDelta::seconds(seconds)),
    };
    assert_eq!(
        bench.refused(&owner, until(-1)).await?,
        Some(ErrorKind::InvalidInput)
    );
    assert!(bench.change(&owner, until(600)).await?);
    let snapshot = bench
        .store
        .snapshot(&clerk, None)
        .await?
        .unwrap_or_default();
    let left = snapshot.valid_for.map_or(0, |left| left.as_secs());
    assert!((500..=600).contains(&left), "{left} seconds left");

    // Who manages roles for a while gives nothing for longer than that.
    bench.change(&owner, create(CLERK)?).await?;
    bench.change(&owner, grant(CLERK, &MANAGE)).await?;
    let expires_at = Some(Utc::now() + TimeDelta::seconds(600));
    bench
        .change(
            &owner,
            Change::Assign {
                member: user,
                role: CLERK,
                expires_at,
            },
        )
        .await?;
    let exceeds = Some(ErrorKind::Exceeds);
    assert_eq!(
        bench.refused(&clerk, some(assign(&clerk, CLERK))?).await?,
        exceeds
    );
    assert_eq!(bench.refused(&clerk, until(6000)).await?, exceeds);
    assert!(bench.change(&clerk, until(60)).await?);
    Ok(())
}
