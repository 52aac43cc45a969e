//! The suite of [`InvitationStore`].

use std::{sync::Arc, time::Duration};

use super::{code, unusable};
use crate::{
    Acceptance, Access, Email, Error, Invitation, InvitationBatch, InvitationBounds,
    InvitationPage, InvitationStatus, InvitationStore, Principal, RoleKey, TenantCtx, TenantDb,
    UserId, testing::TestTenant,
};

const BOUNDS: InvitationBounds = InvitationBounds {
    valid_for: Duration::from_hours(1),
    most_pending: 3,
    sends_an_hour: 2,
};

struct Bench<'a> {
    db: &'a TenantDb,
    store: Arc<dyn InvitationStore>,
    acme: TestTenant,
}

/// Runs the suite.
///
/// # Errors
/// What the store or the database failed with.
///
/// # Panics
/// Where the store breaks its contract.
pub async fn invitation_store(db: &TenantDb, store: Arc<dyn InvitationStore>) -> Result<(), Error> {
    one_of_many_answers_counts(&bench(db, &store).await?).await?;
    what_ended_says_how(&bench(db, &store).await?).await?;
    bounds_hold_for_each_address(&bench(db, &store).await?).await?;
    who_is_kept_out_is_let_in_on_word_only(&bench(db, &store).await?).await?;
    tenants_are_apart_and_listed_by_the_page(&bench(db, &store).await?).await
}

async fn bench<'a>(db: &'a TenantDb, store: &Arc<dyn InvitationStore>) -> Result<Bench<'a>, Error> {
    let acme = TestTenant::builder(db)
        .with_member("bob", &[])
        .create()
        .await?;
    let store = store.clone();
    Ok(Bench { db, store, acme })
}

impl Bench<'_> {
    async fn send(&self, to: &[(&str, u8)]) -> Result<Vec<Result<Invitation, Error>>, Error> {
        let tenant = self.acme.id().as_uuid();
        let recipient = |(name, token): &(&str, u8)| {
            let email = Email::parse(&format!("{name}@example.com"))?;
            Ok((email, hash(tenant.as_u128(), *token)))
        };
        let recipients = to.iter().map(recipient).collect::<Result<_, Error>>()?;
        let batch = InvitationBatch {
            recipients,
            roles: vec![RoleKey::from_static("member")],
            bounds: BOUNDS,
        };
        let mut tx = self.db.write(self.acme.owner()).await?;
        let stored = self.store.create_in(&mut tx, &batch).await?;
        tx.commit().await.map(|()| stored)
    }

    fn token(&self, token: u8) -> [u8; 32] {
        hash(self.acme.id().as_uuid().as_u128(), token)
    }

    async fn accept(
        &self,
        token: u8,
        name: &str,
        user: UserId,
        let_in: bool,
    ) -> Result<Acceptance, Error> {
        let email = Email::parse(&format!("{name}@example.com"))?;
        let principal = Principal::user(user);
        let guest = TenantCtx::proven(self.acme.id(), principal, Access::ReadWrite);
        let mut tx = self.db.write(&guest).await?;
        let token = self.token(token);
        let answer = self
            .store
            .accept_in(&mut tx, &token, user, &email, let_in)
            .await?;
        tx.commit().await.map(|()| answer)
    }
}

/// A hash that no other tenant of the suite has.
fn hash(tenant: u128, token: u8) -> [u8; 32] {
    let mut hash = [token; 32];
    for (place, byte) in hash.iter_mut().zip(tenant.to_be_bytes()) {
        *place = byte;
    }
    hash
}

async fn one_of_many_answers_counts(bench: &Bench<'_>) -> Result<(), Error> {
    bench.send(&[("ada", 1)]).await?;
    let (one, two) = tokio::join!(
        bench.accept(1, "ada", UserId::new(), false),
        bench.accept(1, "ada", UserId::new(), false),
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert_eq!(code(one.and(two)), "invitation_used");
    let opened = bench.store.open(&bench.token(1)).await?;
    let opened = opened.ok_or_else(|| unusable("an accepted invitation is still found"))?;
    assert!(opened.accepted_by.is_some() && opened.tenant == bench.acme.id());
    assert_eq!(opened.invitation.status, InvitationStatus::Accepted);
    Ok(())
}

async fn what_ended_says_how(bench: &Bench<'_>) -> Result<(), Error> {
    let user = UserId::new();
    let sent = bench.send(&[("ada", 1), ("bea", 2)]).await?;
    let [Ok(ada), Ok(bea)] = &sent[..] else {
        return Err(unusable("two are invited"));
    };
    let wrong = bench.accept(1, "eve", user, false).await;
    assert_eq!(code(wrong), "invitation_wrong_recipient");
    assert_eq!(
        code(bench.accept(9, "ada", user, false).await),
        "invitation_unknown"
    );

    let mut tx = bench.db.write(bench.acme.owner()).await?;
    let (store, fresh) = (&bench.store, bench.token(3));
    store.resend_in(&mut tx, ada.id, &fresh, BOUNDS).await?;
    assert!(store.revoke_in(&mut tx, bea.id).await?);
    assert!(!store.revoke_in(&mut tx, bea.id).await?);
    let dead = store
        .resend_in(&mut tx, bea.id, &bench.token(4), BOUNDS)
        .await;
    assert_eq!(code(dead), "invitation_revoked");
    tx.commit().await?;
    assert_eq!(
        code(bench.accept(1, "ada", user, false).await),
        "invitation_replaced"
    );
    assert_eq!(
        code(bench.accept(2, "bea", user, false).await),
        "invitation_revoked"
    );

    let mut tx = bench.db.write(bench.acme.owner()).await?;
    let email = Email::parse("ada@example.com")?;
    store.decline_in(&mut tx, &fresh, user, &email).await?;
    tx.commit().await?;
    assert_eq!(
        code(bench.accept(3, "ada", user, false).await),
        "invitation_declined"
    );
    Ok(())
}

async fn bounds_hold_for_each_address(bench: &Bench<'_>) -> Result<(), Error> {
    let codes = |sent: Vec<Result<Invitation, Error>>| sent.into_iter().map(code).collect();
    let first: Vec<_> = codes(
        bench
            .send(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)])
            .await?,
    );
    assert_eq!(first, ["ok", "ok", "ok", "too_many_invitations"]);
    let again: Vec<_> = codes(bench.send(&[("a", 5), ("d", 6)]).await?);
    assert_eq!(
        again,
        ["ok", "too_many_invitations"],
        "a new one takes the place of the old"
    );
    let often: Vec<_> = codes(bench.send(&[("a", 7)]).await?);
    assert_eq!(often, ["invited_too_often"]);
    assert_eq!(
        code(bench.accept(1, "a", UserId::new(), false).await),
        "invitation_revoked"
    );
    Ok(())
}

async fn who_is_kept_out_is_let_in_on_word_only(bench: &Bench<'_>) -> Result<(), Error> {
    let bob = bench.acme.user("bob")?;
    let mut tx = bench.db.write(bench.acme.owner()).await?;
    sqlx::query("SELECT tenancy.set_member_status($1, 'deactivated')")
        .bind(bob)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    bench.send(&[("bob", 1)]).await?;
    let kept_out = bench.accept(1, "bob", bob, false).await?;
    assert_eq!(kept_out, Acceptance::KeptOut);
    assert!(bench.db.enter(bench.acme.id(), bob).await.is_err());
    assert_eq!(bench.accept(1, "bob", bob, true).await?, Acceptance::Joined);
    bench.db.enter(bench.acme.id(), bob).await.map(drop)
}

async fn tenants_are_apart_and_listed_by_the_page(bench: &Bench<'_>) -> Result<(), Error> {
    let sent = bench.send(&[("a", 1), ("b", 2), ("c", 3)]).await?;
    let mut tx = bench.db.read(bench.acme.owner()).await?;
    let page = InvitationPage::default()
        .with_status(InvitationStatus::Pending)
        .with_limit(2);
    let newest = bench.store.list_in(&mut tx, &page).await?;
    assert_eq!(newest.len(), 2);
    let Some(last) = newest.last() else {
        return Ok(());
    };
    let rest = bench
        .store
        .list_in(&mut tx, &page.with_after(last.id))
        .await?;
    assert_eq!(rest.len(), 1);
    assert!(newest.iter().chain(&rest).map(|i| i.id).rev().is_sorted());
    let accepted = InvitationPage::default().with_status(InvitationStatus::Accepted);
    assert_eq!(
        bench.store.list_in(&mut tx, &accepted).await?.len(),
        1,
        "bob's"
    );

    let other = TestTenant::builder(bench.db).create().await?;
    let mut tx = bench.db.write(other.owner()).await?;
    for id in sent.iter().flatten().map(|invitation| invitation.id) {
        assert!(bench.store.get_in(&mut tx, id).await?.is_none());
        assert!(!bench.store.revoke_in(&mut tx, id).await?);
    }
    Ok(())
}
