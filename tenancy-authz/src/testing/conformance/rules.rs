//! What is refused to everybody.

use chrono::{TimeDelta, Utc};
use tenancy_core::RoleKey;

use super::{
    Bench, CLERK, MANAGE, OWNER, PURGE, READ, VIEWER, WRITE, assign, create, grant, rename, revoke,
    some, unassign,
};
use crate::{
    Change, Error, ErrorKind, RolePage,
    testing::{member, tenant},
};

pub(super) async fn nobody_gives_or_takes_more_than_he_has(bench: &Bench) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let clerk = bench.clerk(&owner, &[&MANAGE, &READ]).await?;
    let exceeds = Some(ErrorKind::Exceeds);
    assert_eq!(bench.refused(&clerk, grant(CLERK, &PURGE)).await?, exceeds);
    assert_eq!(
        bench.refused(&clerk, some(assign(&clerk, OWNER))?).await?,
        exceeds
    );
    let member_role = RoleKey::from_static("member");
    assert_eq!(
        bench
            .refused(&clerk, some(assign(&clerk, member_role.clone()))?)
            .await?,
        exceeds
    );
    assert_eq!(
        bench
            .refused(&clerk, revoke(member_role.clone(), &WRITE))
            .await?,
        exceeds
    );
    assert_eq!(
        bench
            .refused(&clerk, Change::Delete { role: member_role })
            .await?,
        exceeds
    );
    assert!(
        bench.change(&clerk, some(assign(&clerk, VIEWER))?).await?,
        "what he holds he may give"
    );

    let viewer = member(&bench.db, &bench.authz, &owner, &["viewer"]).await?;
    let denied = Some(ErrorKind::Denied);
    assert_eq!(bench.refused(&viewer, grant(CLERK, &READ)).await?, denied);
    assert_eq!(
        bench
            .refused(&viewer, create(RoleKey::from_static("mine"))?)
            .await?,
        denied
    );

    let mut tx = bench.db.read(&clerk).await?;
    assert!(
        bench
            .store
            .may_grant_in(&mut tx, &[CLERK, VIEWER])
            .await
            .is_ok()
    );
    let said = bench.store.may_grant_in(&mut tx, &[VIEWER, OWNER]).await;
    assert_eq!(said.map_err(|error| error.kind()), Err(ErrorKind::Exceeds));
    let strange = [RoleKey::from_static("strange")];
    let said = bench.store.may_grant_in(&mut tx, &strange).await;
    assert_eq!(
        said.map_err(|error| error.kind()),
        Err(ErrorKind::RoleUnknown)
    );
    Ok(())
}

pub(super) async fn the_owner_role_is_fixed(bench: &Bench) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let fixed = Some(ErrorKind::RoleFixed);
    assert_eq!(bench.refused(&owner, revoke(OWNER, &READ)).await?, fixed);
    assert_eq!(bench.refused(&owner, grant(OWNER, &READ)).await?, fixed);
    for name in ["Boss", "Owner"] {
        assert_eq!(bench.refused(&owner, rename(OWNER, name)?).await?, fixed);
    }
    assert_eq!(
        bench
            .refused(&owner, Change::Delete { role: OWNER })
            .await?,
        fixed
    );
    assert_eq!(
        bench
            .refused(&owner, some(unassign(&owner, OWNER))?)
            .await?,
        fixed
    );
    let Some(user) = owner.user() else {
        return Ok(());
    };
    let expires_at = Some(Utc::now() + TimeDelta::days(1));
    let limited = Change::Assign {
        member: user,
        role: OWNER,
        expires_at,
    };
    assert_eq!(bench.refused(&owner, limited).await?, fixed);
    // Another member may get the role, and lose it again.
    let other = member(&bench.db, &bench.authz, &owner, &["owner"]).await?;
    assert!(bench.change(&owner, some(unassign(&other, OWNER))?).await?);
    Ok(())
}

pub(super) async fn a_deleted_key_is_not_used_again(bench: &Bench) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let clerk = bench.clerk(&owner, &[&READ]).await?;
    let taken = Some(ErrorKind::RoleTaken);
    assert_eq!(bench.refused(&owner, create(CLERK)?).await?, taken);
    assert!(bench.change(&owner, Change::Delete { role: CLERK }).await?);
    assert!(!bench.decide(&clerk, &READ).await?.is_allowed());
    assert_eq!(bench.refused(&owner, create(CLERK)?).await?, taken);
    assert_eq!(
        bench
            .refused(&owner, Change::Delete { role: CLERK })
            .await?,
        Some(ErrorKind::RoleUnknown)
    );
    // Seeding does not bring a retired role back either.
    bench
        .change(&owner, Change::Delete { role: VIEWER })
        .await?;
    let mut tx = bench.db.write(&owner).await?;
    if let Some(user) = owner.user() {
        bench.store.seed_in(&mut tx, user).await?;
    }
    let roles = bench.store.list_in(&mut tx, &RolePage::default()).await?;
    assert!(roles.iter().all(|role| role.key != VIEWER));
    Ok(())
}
