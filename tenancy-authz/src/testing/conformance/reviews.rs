//! What is told about a policy.

use super::{Bench, CLERK, OWNER, PURGE, READ, create};
use crate::{Error, MemberState, RolePage, testing::tenant};

pub(super) async fn reviews_tell_who_and_why(bench: &Bench) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    let clerk = bench.clerk(&owner, &[&PURGE]).await?;
    let (Some(boss), Some(user)) = (owner.user(), clerk.user()) else {
        return Ok(());
    };
    let mut tx = bench.db.read(&owner).await?;
    let holders = bench.store.holders_in(&mut tx, &PURGE, None, 10).await?;
    let mut expected = vec![(boss, vec![OWNER]), (user, vec![CLERK])];
    expected.sort();
    let found: Vec<_> = holders
        .into_iter()
        .map(|holder| (holder.user, holder.roles))
        .collect();
    assert_eq!(found, expected);
    let page = bench
        .store
        .holders_in(&mut tx, &PURGE, Some(boss.min(user)), 10)
        .await?;
    assert_eq!(page.len(), 1);

    let why = bench.store.explain_in(&mut tx, user, &PURGE).await?;
    assert!(
        why.is_allowed() && why.member == MemberState::Active && why.is_registered,
        "{why}"
    );
    assert!(
        !bench
            .store
            .explain_in(&mut tx, user, &READ)
            .await?
            .is_allowed()
    );
    let stranger = bench
        .store
        .explain_in(&mut tx, tenancy_core::UserId::new(), &READ)
        .await?;
    assert_eq!(stranger.member, MemberState::Stranger);
    assert_eq!(
        bench.store.member_permissions_in(&mut tx, user).await?,
        [PURGE]
    );
    Ok(())
}

pub(super) async fn roles_are_listed_by_the_page(bench: &Bench) -> Result<(), Error> {
    let owner = tenant(&bench.db, &bench.authz).await?;
    bench.change(&owner, create(CLERK)?).await?;
    let mut tx = bench.db.read(&owner).await?;
    let two = RolePage::default().limit(2);
    let first = bench.store.list_in(&mut tx, &two).await?;
    let behind = first.last().map(|role| role.key.clone());
    let rest = match behind {
        Some(key) => {
            bench
                .store
                .list_in(&mut tx, &RolePage::default().after(key))
                .await?
        }
        None => Vec::new(),
    };
    let keys: Vec<_> = first
        .iter()
        .chain(&rest)
        .map(|role| role.key.as_str())
        .collect();
    assert_eq!(
        keys,
        ["admin", "clerk", "member", "owner", "support", "viewer"]
    );
    Ok(())
}
