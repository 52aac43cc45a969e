//! Several changes as one step.

use std::collections::BTreeSet;

use tenancy_core::{PermissionKey, RoleKey, TenantCtx};

use super::{
    Bench, CLERK, MANAGE, OWNER, PURGE, READ, WRITE, assign, create, grant, rename, revoke, some,
    unassign,
};
use crate::{Applied, Change, Error, ErrorKind, testing::tenant};

impl Bench {
    /// Changes in a transaction of their own: what became of each, or which one is refused and why.
    async fn change_all(
        &self,
        by: &TenantCtx,
        changes: &[Change],
    ) -> Result<Result<Vec<Applied>, (Option<usize>, ErrorKind)>, Error> {
        let epoch = self.epoch(by).await?;
        let mut tx = self.db.write(by).await?;
        let applied = self.store.change_all_in(&mut tx, changes).await;
        // A refusal leaves the transaction usable, and has changed nothing.
        tx.commit().await?;
        if applied.is_err() {
            assert_eq!(self.epoch(by).await?, epoch, "a refusal counts no epoch up");
        }
        Ok(applied.map_err(|refused| (refused.at, refused.error.kind())))
    }

    async fn granted(
        &self,
        by: &TenantCtx,
        role: &RoleKey,
    ) -> Result<BTreeSet<PermissionKey>, Error> {
        let mut tx = self.db.read(by).await?;
        let granted = self.store.role_permissions_in(&mut tx, role).await?;
        Ok(granted.into_iter().collect())
    }
}

const BASE: RoleKey = RoleKey::from_static("base");

fn above(role: RoleKey, parent: RoleKey) -> Change {
    Change::AddParent { role, parent }
}

fn not_above(role: RoleKey, parent: RoleKey) -> Change {
    Change::RemoveParent { role, parent }
}

pub(super) async fn what_is_wrong_only_in_passing_is_not_wrong(bench: &Bench) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let line = [
        create(CLERK)?,
        create(BASE)?,
        grant(CLERK, &READ),
        grant(BASE, &WRITE),
        above(CLERK, BASE),
    ];
    let made = bench.change_all(&owner, &line).await?;
    let made = made.unwrap_or_default();
    assert_eq!(made.len(), line.len());
    assert!(!made.contains(&Applied::Unchanged), "{made:?}");
    let both = BTreeSet::from([READ, WRITE]);
    assert_eq!(bench.granted(&owner, &CLERK).await?, both);
    // Given before it is taken, in whichever order it is asked for.
    let turned = [above(BASE, CLERK), not_above(CLERK, BASE)];
    assert!(bench.change_all(&owner, &turned).await?.is_ok());
    assert_eq!(bench.granted(&owner, &CLERK).await?, BTreeSet::from([READ]));
    assert_eq!(bench.granted(&owner, &BASE).await?, both);
    // What is so already changes nothing.
    let epoch = bench.epoch(&owner).await?;
    let again = bench
        .change_all(&owner, &[above(BASE, CLERK), grant(CLERK, &READ)])
        .await?;
    assert_eq!(again, Ok(vec![Applied::Unchanged; 2]));
    assert_eq!(bench.change_all(&owner, &[]).await?, Ok(vec![]));
    assert_eq!(bench.epoch(&owner).await?, epoch);
    Ok(())
}

pub(super) async fn what_is_wrong_in_the_end_is_refused_as_a_whole(
    bench: &Bench,
) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let circle = [
        create(CLERK)?,
        create(BASE)?,
        above(CLERK, BASE),
        above(BASE, CLERK),
    ];
    let refused = bench.change_all(&owner, &circle).await?;
    assert!(
        matches!(refused, Err((Some(2 | 3), ErrorKind::InvalidInput))),
        "{refused:?}"
    );
    let unknown = [create(CLERK)?, above(CLERK, BASE)];
    let refused = bench.change_all(&owner, &unknown).await?;
    assert_eq!(refused, Err((Some(1), ErrorKind::RoleUnknown)));
    let unheard = [
        create(CLERK)?,
        grant(CLERK, &PermissionKey::from_static("no.such")),
    ];
    let refused = bench.change_all(&owner, &unheard).await?;
    assert_eq!(refused, Err((Some(1), ErrorKind::PermissionUnknown)));
    for fixed in [
        grant(OWNER, &READ),
        rename(OWNER, "Boss")?,
        rename(OWNER, "Owner")?,
    ] {
        let fixed = [create(CLERK)?, rename(CLERK, "Clerks")?, fixed];
        let refused = bench.change_all(&owner, &fixed).await?;
        assert_eq!(refused, Err((Some(2), ErrorKind::RoleFixed)));
    }
    let mut tx = bench.db.read(&owner).await?;
    let kept = bench.store.role_permissions_in(&mut tx, &CLERK).await;
    assert_eq!(
        kept.err().map(|error| error.kind()),
        Some(ErrorKind::RoleUnknown)
    );
    Ok(())
}

pub(super) async fn what_was_held_before_is_what_may_be_given_and_taken(
    bench: &Bench,
) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let clerk = bench.clerk(&owner, &[&MANAGE, &READ]).await?;
    // He takes from his own role what he gives to another, and ends as no clerk.
    let moved = [
        revoke(CLERK, &READ),
        revoke(CLERK, &MANAGE),
        create(BASE)?,
        grant(BASE, &READ),
        grant(BASE, &MANAGE),
        some(assign(&owner, BASE))?,
        some(unassign(&clerk, CLERK))?,
    ];
    assert!(bench.change_all(&clerk, &moved).await?.is_ok());
    assert!(!bench.decide(&clerk, &MANAGE).await?.is_allowed());
    let refused = bench.change_all(&clerk, &moved).await?;
    assert_eq!(refused, Err((None, ErrorKind::Denied)));

    let owner = tenant(&bench.db, &bench.authz).await?;
    let clerk = bench.clerk(&owner, &[&MANAGE, &READ]).await?;
    let exceeds = |at| Err((Some(at), ErrorKind::Exceeds));
    // Not even by a role that is given the permission and loses it again.
    let refused = bench
        .change_all(&clerk, &[create(BASE)?, grant(BASE, &PURGE)])
        .await?;
    assert_eq!(refused, exceeds(1));
    let member = RoleKey::from_static("member");
    let refused = bench
        .change_all(&clerk, &[create(BASE)?, above(BASE, member.clone())])
        .await?;
    assert_eq!(refused, exceeds(1));
    let refused = bench
        .change_all(&clerk, &[some(assign(&clerk, member.clone()))?])
        .await?;
    assert_eq!(refused, exceeds(0));
    let refused = bench
        .change_all(&clerk, &[Change::Delete { role: member }])
        .await?;
    assert_eq!(refused, exceeds(0));
    assert!(!bench.decide(&clerk, &PURGE).await?.is_allowed());
    Ok(())
}
