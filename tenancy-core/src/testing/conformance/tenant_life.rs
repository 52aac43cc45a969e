//! The suite of the life cycle in [`TenantStore`].

use std::{sync::Arc, time::Duration};

use super::code;
use crate::{
    Access, Error, Grace, HoldReference, MyTenantsPage, NewTenant, Principal, Reason, ServiceKey,
    Slug, SlugOwner, TenantCtx, TenantDb, TenantId, TenantName, TenantState, TenantStatus,
    TenantStore, Transition, UserId,
};

const DAY: Duration = Duration::from_hours(24);

/// Runs the suite of states, holds, names and slugs.
///
/// # Errors
/// What the store or the database failed with.
///
/// # Panics
/// Where the store breaks its contract.
pub async fn tenant_life(db: &TenantDb, store: Arc<dyn TenantStore>) -> Result<(), Error> {
    let world = World { db, store };
    of_two_moves_from_one_state_one_counts(&world).await?;
    what_the_platform_closed_its_members_do_not_open(&world).await?;
    a_deletion_is_taken_back_to_where_it_came_from(&world).await?;
    holds_are_the_platforms(&world).await?;
    a_former_slug_is_kept(&world).await?;
    a_users_tenants_come_in_pages(&world).await
}

struct World<'a> {
    db: &'a TenantDb,
    store: Arc<dyn TenantStore>,
}

fn fresh_slug() -> Result<Slug, Error> {
    let text = format!("s-{}", TenantId::new().as_uuid().simple());
    Ok(Slug::parse(&text)?)
}

/// The platform in a tenant of any state.
fn platform(ctx: &TenantCtx) -> TenantCtx {
    let service = Principal::service(ServiceKey::from_static("suite"), Vec::new());
    TenantCtx::proven(ctx.tenant(), service, Access::ReadWrite)
}

fn step(from: TenantStatus, to: TenantStatus) -> Transition {
    Transition {
        from,
        to,
        reason: Reason::parse("the suite says so").ok(),
        grace: Grace::NONE,
    }
}

impl World<'_> {
    async fn tenant(&self, owner: UserId, name: &str) -> Result<TenantCtx, Error> {
        let new = NewTenant::new(fresh_slug()?, TenantName::parse(name)?, owner);
        let ctx = TenantCtx::proven(new.id, Principal::user(owner), Access::ReadWrite);
        let mut tx = self.db.write(&ctx).await?;
        self.store.create_in(&mut tx, &new).await?;
        tx.commit().await.map(|()| ctx)
    }

    async fn shift(&self, by: &TenantCtx, transition: Transition) -> Result<(), Error> {
        let mut tx = self.db.aside(by).await?;
        self.store.move_in(&mut tx, &transition).await?;
        tx.commit().await
    }

    async fn state(&self, ctx: &TenantCtx) -> Result<TenantState, Error> {
        self.store.state_in(&mut self.db.read(ctx).await?).await
    }
}

async fn of_two_moves_from_one_state_one_counts(world: &World<'_>) -> Result<(), Error> {
    use TenantStatus::{Active, Deleted, Purging, SuspendedBlocked, SuspendedReadOnly};
    let (ctx, other) = (
        world.tenant(UserId::new(), "one").await?,
        world.tenant(UserId::new(), "other").await?,
    );
    let (one, two) = tokio::join!(
        world.shift(&ctx, step(Active, SuspendedReadOnly)),
        world.shift(&ctx, step(Active, SuspendedBlocked)),
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let lost = one.and(two);
    assert_eq!(code(lost), "stale");
    let now = world.state(&ctx).await?;
    assert!(!now.by_platform && now.reason.as_deref() == Some("the suite says so"));
    let stale = world.shift(&ctx, step(Active, now.status)).await;
    assert_eq!(code(stale), "stale");
    for never in [now.status, Purging, Deleted] {
        let moved = world.shift(&platform(&ctx), step(now.status, never)).await;
        assert_eq!(code(moved), "transition_refused");
    }
    assert_eq!(world.state(&other).await?.status, Active);
    world.shift(&ctx, step(now.status, Active)).await?;
    assert_eq!(world.state(&ctx).await?.status, Active);
    Ok(())
}

async fn what_the_platform_closed_its_members_do_not_open(world: &World<'_>) -> Result<(), Error> {
    use TenantStatus::{Active, Deleting, SuspendedReadOnly};
    let ctx = world.tenant(UserId::new(), "closed").await?;
    let close = step(Active, SuspendedReadOnly);
    world.shift(&platform(&ctx), close).await?;
    assert!(world.state(&ctx).await?.by_platform);
    for to in [Active, Deleting] {
        let opened = world.shift(&ctx, step(SuspendedReadOnly, to)).await;
        assert_eq!(code(opened), "closed_by_platform");
    }
    let open = step(SuspendedReadOnly, Active);
    world.shift(&platform(&ctx), open).await
}

async fn a_deletion_is_taken_back_to_where_it_came_from(world: &World<'_>) -> Result<(), Error> {
    use TenantStatus::{Active, Deleting, SuspendedReadOnly};
    let ctx = world.tenant(UserId::new(), "leaving").await?;
    world.shift(&ctx, step(Active, SuspendedReadOnly)).await?;
    let mut leave = step(SuspendedReadOnly, Deleting);
    leave.grace = Grace::default();
    world.shift(&ctx, leave).await?;
    let state = world.state(&ctx).await?;
    assert_eq!(state.before, Some(SuspendedReadOnly));
    let grace = state.delete_after.map(|at| (at - state.since).to_std());
    let grace = grace.and_then(Result::ok).unwrap_or_default();
    assert_eq!(
        grace.as_secs() / 60,
        Grace::default().as_duration().as_secs() / 60
    );
    let elsewhere = world.shift(&ctx, step(Deleting, Active)).await;
    assert_eq!(code(elsewhere), "transition_refused");
    world.shift(&ctx, step(Deleting, SuspendedReadOnly)).await?;
    let state = world.state(&ctx).await?;
    assert_eq!((state.before, state.delete_after), (None, None));
    Ok(())
}

async fn holds_are_the_platforms(world: &World<'_>) -> Result<(), Error> {
    let ctx = world.tenant(UserId::new(), "held").await?;
    let case = HoldReference::parse("case 7")?;
    let hold = async |by: &TenantCtx, place: bool| {
        let mut tx = world.db.write(by).await?;
        let changed = world.store.hold_in(&mut tx, &case, place).await?;
        tx.commit().await.map(|()| changed)
    };
    for place in [true, false] {
        assert_eq!(code(hold(&ctx, place).await), "hold_not_yours");
    }
    let host = platform(&ctx);
    assert!(hold(&host, true).await? && !hold(&host, true).await?);
    assert_eq!(world.state(&ctx).await?.holds, ["case 7"]);
    assert!(hold(&host, false).await? && !hold(&host, false).await?);
    assert!(world.state(&ctx).await?.holds.is_empty());
    Ok(())
}

async fn a_former_slug_is_kept(world: &World<'_>) -> Result<(), Error> {
    let (ctx, other) = (
        world.tenant(UserId::new(), "Before").await?,
        world.tenant(UserId::new(), "Other").await?,
    );
    let mut tx = world.db.write(&ctx).await?;
    let name = TenantName::parse("After")?;
    assert_eq!(world.store.rename_in(&mut tx, &name).await?, "Before");
    assert_eq!(world.store.get_in(&mut tx).await?.name, "After");
    tx.commit().await?;

    let change = async |who: &TenantCtx, slug: &Slug, keep: Duration| {
        let mut tx = world.db.write(who).await?;
        let old = world.store.change_slug_in(&mut tx, slug, keep).await;
        // A refusal leaves the transaction usable.
        world.store.get_in(&mut tx).await?;
        let old = old?;
        tx.commit().await.map(|()| old)
    };
    let (second, third) = (fresh_slug()?, fresh_slug()?);
    let first = Slug::parse(&change(&ctx, &second, DAY).await?)?;
    let (was, is) = (
        world.store.by_slug(first.as_str()).await?,
        world.store.by_slug(second.as_str()).await?,
    );
    let now = second.as_str().to_owned();
    let tenant = ctx.tenant();
    assert_eq!(was, Some(SlugOwner::Former { tenant, now }));
    assert_eq!(is, Some(SlugOwner::Current(tenant)));
    for taken in [&first, &second] {
        assert_eq!(code(change(&other, taken, DAY).await), "slug_taken");
    }
    assert_eq!(code(change(&ctx, &second, DAY).await), "slug_unchanged");
    assert_eq!(change(&ctx, &third, Duration::ZERO).await?, second.as_str());
    assert_eq!(code(change(&other, &second, DAY).await), "ok");
    Ok(())
}

async fn a_users_tenants_come_in_pages(world: &World<'_>) -> Result<(), Error> {
    let user = UserId::new();
    for name in ["Same", "Last", "Same", "First"] {
        world.tenant(user, name).await?;
    }
    world.tenant(UserId::new(), "Somebody else's").await?;
    let (mut page, mut seen) = (MyTenantsPage::new().with_limit(1), Vec::new());
    while let Some(last) = world.store.for_user(user, &page).await?.pop() {
        assert!(seen.len() < 4, "the pages end");
        page = page.with_after(&last);
        seen.push(last);
    }
    let names: Vec<_> = seen.iter().map(|mine| mine.tenant.name.as_str()).collect();
    assert_eq!(names, ["First", "Last", "Same", "Same"]);
    assert!(seen.iter().all(|mine| mine.is_owner));
    Ok(())
}
