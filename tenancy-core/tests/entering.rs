//! Entering from memory: how long it may be behind.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tenancy_core::{
    Access, DbOptions, ErrorKind, MemberStatus, Members, NoAudit, NoRoles, ServiceKey, Suspension,
    TenantDb, Tenants,
    migrate::CORE,
    testing::{self, FakeAuthorizer},
};
use tenancy_testkit::{Db, Proxy};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const BOUND: Duration = Duration::from_millis(300);

/// A handle as another process has one: nothing is shared but the database.
async fn process(kit: &Db, bound: Duration) -> Result<TenantDb> {
    let options = DbOptions::default().with_enter_bound(bound);
    Ok(TenantDb::connect_with(kit.server.app_url(), options).await?)
}

fn members(db: &TenantDb) -> Members {
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let roles = Arc::new(NoRoles::new());
    Members::new(db.clone(), authorizer, roles, Arc::new(NoAudit::new()))
}

#[tokio::test]
async fn within_the_bound_the_database_is_not_asked() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let [ctx, other] = [
        testing::tenant(&kit.app).await?,
        testing::tenant(&kit.app).await?,
    ];
    let proxy = Proxy::start(kit.server.app_url()).await?;
    let db = TenantDb::connect_with(
        proxy.url(),
        DbOptions::default().with_enter_bound(Duration::from_mins(1)),
    )
    .await?;
    let user = ctx.user().unwrap();
    db.enter(ctx.tenant(), user).await?;
    proxy.cut_all();
    drop(proxy);
    let again = db.enter(ctx.tenant(), user).await?;
    assert_eq!((again.tenant(), again.user()), (ctx.tenant(), ctx.user()));
    assert_ne!(again.request_id(), ctx.request_id());
    // What was learnt of one tenant says nothing of another.
    assert!(db.enter(other.tenant(), user).await.is_err());
    Ok(())
}

#[tokio::test]
async fn what_this_process_changes_counts_at_once() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let db = process(&kit, Duration::from_mins(1)).await?;
    let owner = testing::tenant(&db).await?;
    let member = testing::member(&db, &owner).await?;
    let user = member.user().unwrap();
    let tenant = owner.tenant();
    db.enter(tenant, user).await?;

    members(&db)
        .set_status(&owner, user, MemberStatus::Deactivated)
        .await?;
    let error = db.enter(tenant, user).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAMember);

    members(&db)
        .set_status(&owner, user, MemberStatus::Active)
        .await?;
    db.enter(tenant, user).await?;
    members(&db).remove(&owner, user).await?;
    let error = db.enter(tenant, user).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAMember);

    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let roles = Arc::new(NoRoles::new());
    let tenants = Tenants::new(db.clone(), authorizer, roles, Arc::new(NoAudit::new()));
    db.enter(tenant, owner.user().unwrap()).await?;
    tenants.suspend(&owner, Suspension::Blocked).await?;
    let error = db.enter(tenant, owner.user().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Suspended);
    Ok(())
}

#[tokio::test]
async fn what_another_process_changes_counts_within_the_bound() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let owner = testing::tenant(&kit.app).await?;
    let member = testing::member(&kit.app, &owner).await?;
    let (tenant, user) = (owner.tenant(), member.user().unwrap());
    let here = process(&kit, BOUND).await?;
    here.enter(tenant, user).await?;

    members(&kit.app).remove(&owner, user).await?;
    let removed = Instant::now();
    while here.enter(tenant, user).await.is_ok() {
        assert!(removed.elapsed() < BOUND * 2, "a removed member stays in");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_bound_of_zero_asks_each_time() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let owner = testing::tenant(&kit.app).await?;
    let member = testing::member(&kit.app, &owner).await?;
    let here = process(&kit, Duration::ZERO).await?;
    here.enter(owner.tenant(), member.user().unwrap()).await?;
    members(&kit.app)
        .remove(&owner, member.user().unwrap())
        .await?;
    let refused = here.enter(owner.tenant(), member.user().unwrap()).await;
    assert!(refused.is_err());
    Ok(())
}

#[tokio::test]
async fn a_context_that_is_kept_is_renewed_until_its_member_is_gone() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let owner = testing::tenant(&kit.app).await?;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736".parse()?;
    let kept = testing::member(&kit.app, &owner).await?.with_trace(trace);
    let user = kept.user().ok_or("a member is a user")?;
    let here = process(&kit, Duration::from_mins(1)).await?;
    here.enter(owner.tenant(), user).await?;

    let renewed = here.renew(&kept).await?;
    assert_eq!(renewed.principal(), kept.principal());
    assert_eq!(renewed.request_id(), kept.request_id());
    assert_eq!(renewed.trace(), Some(trace));

    // Another process removes him: the kept context goes on, and what is remembered of him as well.
    members(&kit.app).remove(&owner, user).await?;
    here.read(&kept).await?;
    here.enter(owner.tenant(), user).await?;
    let error = here.renew(&kept).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAMember);
    let error = here.enter(owner.tenant(), user).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAMember);
    Ok(())
}

#[tokio::test]
async fn who_is_refused_has_nobody_else_asked_for_anew() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let owner = testing::tenant(&kit.app).await?;
    let [gone, stays] = [
        testing::member(&kit.app, &owner).await?,
        testing::member(&kit.app, &owner).await?,
    ];
    let user = |ctx: &tenancy_core::TenantCtx| ctx.user().ok_or("a member is a user");
    let proxy = Proxy::start(kit.server.app_url()).await?;
    let bound = DbOptions::default().with_enter_bound(Duration::from_mins(1));
    let here = TenantDb::connect_with(proxy.url(), bound).await?;
    for member in [&gone, &stays] {
        here.enter(owner.tenant(), user(member)?).await?;
    }
    members(&kit.app).remove(&owner, user(&gone)?).await?;
    let error = here.renew(&gone).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAMember);
    proxy.cut_all();
    drop(proxy);
    // Without a database: he is remembered, and the other is not.
    here.enter(owner.tenant(), user(&stays)?).await?;
    assert!(here.enter(owner.tenant(), user(&gone)?).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_renewed_context_may_do_what_its_tenant_may_today() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let owner = testing::tenant(&kit.app).await?;
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let (roles, audit) = (Arc::new(NoRoles::new()), Arc::new(NoAudit::new()));
    let tenants = Tenants::new(kit.app.clone(), authorizer, roles, audit);
    let here = process(&kit, Duration::from_mins(1)).await?;
    let service = ServiceKey::from_static("mailer");
    let kept = here.enter_system(owner.tenant(), service, vec![]).await?;

    tenants.suspend(&owner, Suspension::ReadOnly).await?;
    let renewed = here.renew(&kept).await?;
    assert_eq!(
        (kept.access(), renewed.access()),
        (Access::ReadWrite, Access::ReadOnly)
    );

    tenants.suspend(&owner, Suspension::Blocked).await?;
    let error = here.renew(&renewed).await.unwrap_err();
    assert_eq!(error.code(), "tenant_suspended");

    let user = owner.user().ok_or("an owner is a user")?;
    tenants.reopen(owner.tenant(), user).await?;
    assert_eq!(here.renew(&renewed).await?.access(), Access::ReadWrite);
    Ok(())
}
