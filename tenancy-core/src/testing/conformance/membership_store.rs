//! The suites of [`MembershipStore`] and [`OwnershipStore`].

use std::{sync::Arc, time::Duration};

use super::{code, unusable};
use crate::{
    Error, MemberStatus, MembershipStore, OfferAnswer, OwnershipOfferId, OwnershipStore, TenantCtx,
    TenantDb, UserId, testing::TestTenant,
};

const HOUR: Duration = Duration::from_hours(1);
const OUT: MemberStatus = MemberStatus::Deactivated;

/// Runs the suite of [`MembershipStore`].
///
/// # Errors
/// What the store or the database failed with.
///
/// # Panics
/// Where the store breaks its contract.
pub async fn membership_store(db: &TenantDb, store: Arc<dyn MembershipStore>) -> Result<(), Error> {
    let acme = world(db).await?;
    let (owner, bob) = (acme.owner(), acme.member("bob")?);
    let (first, second) = (of(owner)?, of(bob)?);
    let set = async |by: &TenantCtx, whom: UserId, to: MemberStatus| {
        let mut tx = db.write(by).await?;
        let changed = store.set_status_in(&mut tx, whom, to).await?;
        tx.commit().await.map(|()| changed)
    };
    assert_eq!(set(owner, second, OUT).await.ok(), Some(true));
    assert_eq!(
        set(owner, second, OUT).await.ok(),
        Some(false),
        "it is so already"
    );
    assert!(set(owner, second, MemberStatus::Active).await?);
    assert_eq!(code(set(owner, first, OUT).await), "last_owner");
    assert_eq!(code(set(bob, first, OUT).await), "owner_protected");
    assert_eq!(
        code(set(owner, UserId::new(), OUT).await),
        "member_not_found"
    );

    let mut tx = db.write(owner).await?;
    assert_eq!(code(store.remove_in(&mut tx, first).await), "last_owner");
    assert!(
        store
            .get_in(&mut tx, first)
            .await?
            .is_some_and(|m| m.is_owner),
        "a refusal leaves its transaction usable"
    );
    store.remove_in(&mut tx, second).await?;
    drop(tx);
    let mut tx = db.read(owner).await?;
    let page = store.list_in(&mut tx, None, 2).await?;
    assert_eq!(page.len(), 2, "what is rolled back did not happen");
    let rest = store
        .list_in(&mut tx, page.last().map(|m| m.user), 10)
        .await?;
    assert_eq!(rest.len(), 1);
    assert!(page.iter().chain(&rest).map(|m| m.user).is_sorted());

    let other = world(db).await?;
    let mut tx = db.write(other.owner()).await?;
    assert!(store.get_in(&mut tx, second).await?.is_none());
    assert_eq!(
        code(store.remove_in(&mut tx, second).await),
        "member_not_found"
    );
    Ok(())
}

/// Runs the suite of [`OwnershipStore`].
///
/// # Errors
/// What the store or the database failed with.
///
/// # Panics
/// Where the store breaks its contract.
pub async fn ownership_store(db: &TenantDb, store: Arc<dyn OwnershipStore>) -> Result<(), Error> {
    let acme = world(db).await?;
    let (owner, bob, eve) = (acme.owner(), acme.member("bob")?, acme.member("eve")?);
    let (first, second) = (of(owner)?, of(bob)?);
    let set = async |by: &TenantCtx, whom: UserId, to: bool| {
        let mut tx = db.write(by).await?;
        let changed = store.set_owner_in(&mut tx, whom, to).await?;
        tx.commit().await.map(|()| changed)
    };
    assert_eq!(code(set(bob, second, true).await), "owner_only");
    assert_eq!(code(set(owner, first, false).await), "last_owner");
    assert!(set(owner, second, true).await? && !set(owner, second, true).await?);
    assert!(set(bob, second, false).await?, "an owner steps down");

    let offer = async || {
        let mut tx = db.write(owner).await?;
        let offer = store.offer_in(&mut tx, second, HOUR).await?;
        tx.commit().await.map(|()| offer)
    };
    let answer = async |by: &TenantCtx, offer: OwnershipOfferId, how: OfferAnswer| {
        let mut tx = db.write(by).await?;
        let from = store.answer_in(&mut tx, offer, how).await?;
        tx.commit().await.map(|()| from)
    };
    let declined = offer().await?.id;
    assert_eq!(code(offer().await), "offer_open");
    let wrong = answer(eve, declined, OfferAnswer::Accept).await;
    assert_eq!(code(wrong), "offer_wrong_recipient");
    let wrong = answer(eve, declined, OfferAnswer::Revoke).await;
    assert_eq!(code(wrong), "owner_only");
    assert_eq!(answer(bob, declined, OfferAnswer::Decline).await?, first);
    let late = answer(bob, declined, OfferAnswer::Accept).await;
    assert_eq!(code(late), "offer_declined");

    let open = offer().await?.id;
    let (one, two) = tokio::join!(
        answer(bob, open, OfferAnswer::Accept),
        answer(owner, open, OfferAnswer::Revoke),
    );
    assert!(
        one.is_ok() != two.is_ok(),
        "one answer counts: {one:?} {two:?}"
    );
    assert!(
        store
            .open_offer_in(&mut db.read(eve).await?)
            .await?
            .is_none()
    );
    let is_owner = set(bob, first, true).await.is_ok();
    assert_eq!(is_owner, one.is_ok(), "the place moved with the acceptance");
    Ok(())
}

async fn world(db: &TenantDb) -> Result<TestTenant, Error> {
    let tenant = TestTenant::builder(db).with_member("bob", &[]);
    tenant.with_member("eve", &[]).create().await
}

fn of(ctx: &TenantCtx) -> Result<UserId, Error> {
    ctx.user().ok_or_else(|| unusable("a member is a user"))
}
