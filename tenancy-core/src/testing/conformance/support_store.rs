//! The suite of [`SupportStore`].

use std::{sync::Arc, time::Duration};

use super::{code, unusable};
use crate::{
    Access, Error, Impersonation, ImpersonationId, NewImpersonation, OperatorDb, Principal,
    SupportGrant, SupportStore, TenantCtx, TenantDb, UserId, testing, testing::TestTenant,
};

const HOUR: Duration = Duration::from_hours(1);

/// Runs the suite. The operator says who is of the staff.
///
/// # Errors
/// What the store or the database failed with.
///
/// # Panics
/// Where the store breaks its contract.
pub async fn support_store(
    db: &TenantDb,
    operator: &OperatorDb,
    store: Arc<dyn SupportStore>,
) -> Result<(), Error> {
    let tenant = TestTenant::builder(db).with_member("bob", &[]);
    let tenant = tenant.with_member("eve", &[]).create().await?;
    let staff = UserId::new();
    operator.set_support_staff(staff, true).await?;
    let world = World {
        db,
        store,
        bob: tenant.user("bob")?,
        eve: tenant.user("eve")?,
        tenant,
        staff,
    };
    it_takes_consent(&world).await?;
    only_staff_acts_and_only_for_members(&world, operator).await?;
    a_session_is_listed_and_ended_by_whom_it_concerns(&world).await?;
    consent_ends_with_its_sessions(&world).await
}

struct World<'a> {
    db: &'a TenantDb,
    store: Arc<dyn SupportStore>,
    tenant: TestTenant,
    bob: UserId,
    eve: UserId,
    staff: UserId,
}

impl World<'_> {
    async fn grant(&self, by: &TenantCtx, grant: SupportGrant) -> Result<(), Error> {
        let mut tx = self.db.write(by).await?;
        let until = self.store.grant_in(&mut tx, &grant).await?;
        assert!(until > chrono::Utc::now(), "a consent lies in the future");
        tx.commit().await
    }

    fn acting(&self, support: UserId, member: UserId) -> TenantCtx {
        let principal = Principal::user(support).on_behalf_of(member);
        TenantCtx::proven(self.tenant.id(), principal, Access::ReadOnly)
    }

    async fn start(&self, support: UserId, member: UserId) -> Result<Impersonation, Error> {
        let new = NewImpersonation::new(self.tenant.id(), support, member, "what it is about");
        let mut tx = self.db.aside(&self.acting(support, member)).await?;
        let new = new.with_valid_for(8 * HOUR);
        let session = self.store.start_in(&mut tx, &new).await?;
        tx.commit().await.map(|()| session)
    }

    async fn end(&self, by: &TenantCtx, session: ImpersonationId) -> Result<(), Error> {
        let mut tx = self.db.aside(by).await?;
        self.store.end_in(&mut tx, session).await?;
        tx.commit().await
    }

    async fn revoke(&self) -> Result<bool, Error> {
        let mut tx = self.db.write(self.tenant.owner()).await?;
        let was_open = self.store.revoke_in(&mut tx).await?;
        tx.commit().await.map(|()| was_open)
    }

    async fn list(&self) -> Result<Vec<Impersonation>, Error> {
        let mut tx = self.db.read(self.tenant.owner()).await?;
        self.store.list_in(&mut tx, None, 200).await
    }
}

async fn it_takes_consent(world: &World<'_>) -> Result<(), Error> {
    let (owner, bob) = (world.tenant.owner(), world.tenant.member("bob")?);
    let me = owner.user().ok_or_else(|| unusable("an owner is a user"))?;
    let hour = || SupportGrant::new(HOUR);
    let early = world.start(world.staff, world.bob).await;
    assert_eq!(code(early), "support_not_granted");
    assert_eq!(code(world.grant(bob, hour()).await), "owner_only");
    let masked = testing::acting_for(owner, world.staff, me);
    assert_eq!(code(world.grant(&masked, hour()).await), "owner_only");
    let mut tx = world.db.write(bob).await?;
    assert_eq!(code(world.store.revoke_in(&mut tx).await), "owner_only");
    drop(tx);
    world.grant(owner, hour()).await?;
    let session = world.start(world.staff, world.bob).await?;
    assert!(
        session.expires_at - session.started_at <= chrono::TimeDelta::hours(1),
        "no session outlasts the consent"
    );
    let again = world.start(world.staff, world.bob).await;
    assert_eq!(code(again), "impersonation_open");
    Ok(())
}

async fn only_staff_acts_and_only_for_members(
    world: &World<'_>,
    operator: &OperatorDb,
) -> Result<(), Error> {
    let owner = world.tenant.owner();
    let me = owner.user().ok_or_else(|| unusable("an owner is a user"))?;
    let before = world.list().await?.len();
    let start = async |support, member| code(world.start(support, member).await);
    assert_eq!(start(UserId::new(), world.eve).await, "not_support_staff");
    assert_eq!(start(world.staff, me).await, "owner_protected");
    assert_eq!(start(world.staff, UserId::new()).await, "member_not_found");
    operator.set_support_staff(world.eve, true).await?;
    assert_eq!(start(world.eve, world.bob).await, "support_is_member");
    assert_eq!(start(world.staff, world.eve).await, "member_is_staff");
    operator.set_support_staff(world.eve, false).await?;
    assert_eq!(
        world.list().await?.len(),
        before,
        "a refusal stores nothing"
    );
    let owners = SupportGrant::new(HOUR).with_owners();
    world.grant(owner, owners).await?;
    assert_eq!(start(world.staff, me).await, "ok");
    Ok(())
}

async fn a_session_is_listed_and_ended_by_whom_it_concerns(world: &World<'_>) -> Result<(), Error> {
    let (owner, eve) = (world.tenant.owner(), world.tenant.member("eve")?);
    let (first, second) = (
        world.start(world.staff, world.bob).await?,
        world.start(world.staff, world.eve).await?,
    );
    let listed = world.list().await?;
    assert!(listed.is_sorted_by(|a, b| a.id > b.id), "newest first");
    let mut tx = world.db.read(owner).await?;
    let page = world.store.list_in(&mut tx, Some(second.id), 1).await?;
    assert_eq!(page.iter().map(|s| s.id).collect::<Vec<_>>(), [first.id]);
    drop(tx);

    let other = testing::tenant(world.db).await?;
    for stranger in [eve, &other] {
        let ended = world.end(stranger, first.id).await;
        assert_eq!(code(ended), "impersonation_unknown");
    }
    let mut tx = world.db.read(&other).await?;
    assert!(world.store.list_in(&mut tx, None, 10).await?.is_empty());
    drop(tx);
    world
        .end(&world.acting(world.staff, world.bob), first.id)
        .await?;
    world.end(owner, second.id).await?;
    let late = world.end(owner, second.id).await;
    assert_eq!(code(late), "impersonation_unknown");
    let listed = world.list().await?;
    let mut ended = listed.iter().filter(|s| s.ended_at.is_some());
    assert!(ended.any(|s| s.id == second.id) && ended.any(|s| s.id == first.id));
    Ok(())
}

async fn consent_ends_with_its_sessions(world: &World<'_>) -> Result<(), Error> {
    let open = async || {
        let listed = world.list().await?;
        Ok::<_, Error>(listed.iter().filter(|s| s.ended_at.is_none()).count())
    };
    world.start(world.staff, world.bob).await?;
    world
        .grant(world.tenant.owner(), SupportGrant::new(HOUR))
        .await?;
    assert_eq!(open().await?, 0, "another consent ends the sessions before");
    world.start(world.staff, world.bob).await?;
    assert_eq!(open().await?, 1);
    assert!(world.revoke().await?);
    assert_eq!(open().await?, 0, "closing ends the sessions");
    assert!(!world.revoke().await?, "it is closed already");
    let late = world.start(world.staff, world.bob).await;
    assert_eq!(code(late), "support_not_granted");
    Ok(())
}
