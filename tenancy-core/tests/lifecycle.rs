//! The life of a tenant: who moves it where, and what everybody else is told meanwhile.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tenancy_core::{
    Error, ErrorKind, Grace, HoldReference, MyTenantsPage, NewTenant, NoRoles, Permission,
    Platform, Principal, Reason, ServiceKey, Slug, SlugOwner, Suspension, TenantCtx, TenantFilter,
    TenantId, TenantList, TenantName, TenantStatus, Tenants, UserId,
    migrate::CORE,
    perm,
    testing::{self, FakeAuthorizer, MemoryAudit},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Host {
    kit: Db,
    tenants: Tenants,
    platform: Platform,
    audit: MemoryAudit,
    superuser: PgPool,
    a: TenantCtx,
    b: TenantCtx,
}

async fn host() -> Result<Host> {
    let kit = Db::new(&[&CORE]).await?;
    let (audit, authz) = (MemoryAudit::new(), FakeAuthorizer::new());
    let sink = Arc::new(audit.clone());
    let (a, b) = (
        testing::tenant(&kit.app).await?,
        testing::tenant(&kit.app).await?,
    );
    for owner in [&a, &b] {
        authz.grant(owner, perm::TenantManage::KEY);
        authz.grant(owner, perm::TenantDelete::KEY);
    }
    Ok(Host {
        tenants: Tenants::new(
            kit.app.clone(),
            Arc::new(authz),
            Arc::new(NoRoles::new()),
            sink.clone(),
        ),
        platform: Platform::new(kit.app.clone(), ServiceKey::from_static("backoffice"), sink),
        superuser: kit.superuser().await?,
        kit,
        audit,
        a,
        b,
    })
}

impl Host {
    /// What anybody finds who wants to come in.
    async fn door(&self, ctx: &TenantCtx) -> &'static str {
        code(
            self.kit
                .app
                .enter_as(ctx.tenant(), ctx.principal().clone())
                .await,
        )
    }
}

fn code<T: std::fmt::Debug>(result: std::result::Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

/// Calls a function of the life cycle as the app in a tenant's context, past the services, and
/// keeps nothing.
async fn call(
    host: &Host,
    ctx: &TenantCtx,
    kind: &str,
    sql: &'static str,
    args: &[&str],
) -> Result<String> {
    let mut tx = host.kit.app.without_tenant().begin().await?;
    for (name, value) in [
        ("tenant_id", ctx.tenant().to_string()),
        ("actor_kind", kind.to_owned()),
    ] {
        sqlx::query("SELECT set_config('tenancy.' || $1, $2, true)")
            .bind(name)
            .bind(value)
            .execute(&mut *tx)
            .await?;
    }
    let query = args
        .iter()
        .fold(sqlx::query_scalar(sql), |query, arg| query.bind(*arg));
    Ok(query.fetch_one(&mut *tx).await?)
}

#[tokio::test]
async fn the_database_and_the_model_agree_on_every_pair_of_states() -> Result {
    let host = host().await?;
    let open = [
        TenantStatus::Active,
        TenantStatus::SuspendedReadOnly,
        TenantStatus::SuspendedBlocked,
    ];
    let mut allowed = 0;
    for from in TenantStatus::ALL {
        for before in open {
            let deleting = from == TenantStatus::Deleting;
            sqlx::query(
                "UPDATE tenancy.tenants SET status = $2, status_before = $3,
                 delete_after = CASE WHEN $3 IS NOT NULL THEN now() END WHERE id = $1",
            )
            .bind(host.a.tenant())
            .bind(from.as_str())
            .bind(deleting.then(|| before.as_str()))
            .execute(&host.superuser)
            .await?;
            for to in TenantStatus::ALL {
                let sql = "SELECT tenancy.move_tenant($1, $2, NULL, '1 day')";
                let answer = call(
                    &host,
                    &host.a,
                    "service",
                    sql,
                    &[from.as_str(), to.as_str()],
                )
                .await?;
                let by_purge = matches!(to, TenantStatus::Purging | TenantStatus::Deleted);
                let home = !deleting || to == before;
                let expected = from.may_become(to) && !by_purge && home;
                assert_eq!(answer == "ok", expected, "{from:?} -> {to:?}: {answer}");
                allowed += usize::from(expected);

                let elsewhere = if from == TenantStatus::Active {
                    "deleted"
                } else {
                    "active"
                };
                let stale = call(&host, &host.a, "service", sql, &[elsewhere, to.as_str()]).await?;
                assert_eq!(stale, "stale");
            }
        }
    }
    // Nine ways between the three open states and into a deletion, for each of three; three back.
    assert_eq!(allowed, 9 * 3 + 3);
    Ok(())
}

#[tokio::test]
async fn of_many_who_move_a_tenant_at_once_one_wins_and_the_others_learn_it() -> Result {
    let host = host().await?;
    host.tenants.suspend(&host.a, Suspension::ReadOnly).await?;
    let from = TenantStatus::SuspendedReadOnly;
    let racers = (0..8).map(|_| host.tenants.resume(&host.a, from));
    let answers = futures_util::future::join_all(racers).await;
    let codes: Vec<_> = answers.into_iter().map(code).collect();
    assert_eq!(
        codes.iter().filter(|code| **code == "ok").count(),
        1,
        "{codes:?}"
    );
    assert_eq!(
        codes.iter().filter(|code| **code == "stale").count(),
        7,
        "{codes:?}"
    );
    assert_eq!(host.audit.of("tenant.resumed").len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_suspension_switches_and_its_reason_is_kept() -> Result {
    let host = host().await?;
    let unpaid = host.tenants.because(Reason::parse("on holiday")?);
    unpaid.suspend(&host.a, Suspension::ReadOnly).await?;
    let again = unpaid.suspend(&host.a, Suspension::ReadOnly).await;
    assert_eq!(code(again), "transition_refused");
    assert_eq!(
        host.tenants.state(&host.a).await?.reason.as_deref(),
        Some("on holiday")
    );

    unpaid.suspend(&host.a, Suspension::Blocked).await?;
    assert_eq!(host.door(&host.a).await, "tenant_suspended");
    let service = Principal::service(ServiceKey::from_static("importer"), vec![]);
    assert_eq!(
        code(host.kit.app.enter_as(host.a.tenant(), service).await),
        "tenant_suspended"
    );
    let entries = host.audit.of("tenant.suspended");
    assert_eq!(entries.len(), 2);
    let meta = &entries[1].event.meta;
    assert_eq!(
        (&meta["from"], &meta["to"], &meta["reason"]),
        (
            &"suspended_read_only".into(),
            &"suspended_blocked".into(),
            &"on holiday".into()
        )
    );

    // Nobody can enter: the owner opens it from outside, a stranger does not.
    let stranger = host.tenants.reopen(host.a.tenant(), UserId::new()).await;
    let foreign = host
        .tenants
        .reopen(host.a.tenant(), host.b.user().unwrap())
        .await;
    let nothing = host.tenants.reopen(TenantId::new(), UserId::new()).await;
    assert_eq!(
        [code(stranger), code(foreign), code(nothing)],
        ["not_a_member"; 3]
    );
    host.tenants
        .reopen(host.a.tenant(), host.a.user().unwrap())
        .await?;
    assert_eq!(host.door(&host.a).await, "ok");
    assert_eq!(host.door(&host.b).await, "ok");
    Ok(())
}

#[tokio::test]
async fn what_the_platform_closed_no_member_opens() -> Result {
    let host = host().await?;
    let (tenant, owner) = (host.a.tenant(), host.a.user().unwrap());
    let staff = UserId::new();
    let hand = host
        .platform
        .on_behalf_of(staff)
        .because(Reason::parse("unpaid")?);

    hand.suspend(tenant, Suspension::ReadOnly).await?;
    let reader = host.kit.app.enter(tenant, owner).await?;
    let resumed = host
        .tenants
        .resume(&reader, TenantStatus::SuspendedReadOnly)
        .await;
    assert_eq!(code(resumed), "closed_by_platform");
    let switched = host.tenants.suspend(&reader, Suspension::Blocked).await;
    assert_eq!(code(switched), "closed_by_platform");
    let deleted = host.tenants.schedule_deletion(&reader, Grace::NONE).await;
    assert_eq!(code(deleted), "closed_by_platform");

    hand.suspend(tenant, Suspension::Blocked).await?;
    assert_eq!(
        code(host.tenants.reopen(tenant, owner).await),
        "closed_by_platform"
    );
    hand.schedule_deletion(tenant, Grace::default()).await?;
    assert_eq!(
        code(host.tenants.reopen(tenant, owner).await),
        "closed_by_platform"
    );
    hand.cancel_deletion(tenant).await?;
    let state = hand.state(tenant).await?;
    assert_eq!(state.status, TenantStatus::SuspendedBlocked);
    // The suspension is still the platform's after the deletion was taken back.
    assert_eq!(
        code(host.tenants.reopen(tenant, owner).await),
        "closed_by_platform"
    );
    hand.resume(tenant).await?;
    assert_eq!(host.door(&host.a).await, "ok");

    let entry = &host.audit.of("tenant.suspended")[0];
    assert_eq!(entry.principal.actor.id(), "backoffice");
    assert_eq!(entry.principal.on_behalf_of, Some(staff));
    assert_eq!(entry.tenant, tenant);
    let unknown = hand.suspend(TenantId::new(), Suspension::Blocked).await;
    assert_eq!(code(unknown), "tenant_unknown");
    Ok(())
}

#[tokio::test]
async fn a_deletion_closes_at_once_and_can_be_taken_back_to_where_it_began() -> Result {
    let host = host().await?;
    let (tenant, owner) = (host.a.tenant(), host.a.user().unwrap());
    let member = testing::member(&host.kit.app, &host.a).await?;
    let denied = host.tenants.schedule_deletion(&member, Grace::NONE).await;
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::Denied);

    host.tenants.suspend(&host.a, Suspension::ReadOnly).await?;
    let week = Grace::parse(Duration::from_hours(7 * 24))?;
    host.tenants.schedule_deletion(&host.a, week).await?;
    assert_eq!(host.door(&host.a).await, "tenant_suspended");
    let state = host.platform.state(tenant).await?;
    let after = state.delete_after.unwrap() - state.since;
    assert!((after.num_hours() - 7 * 24).abs() <= 1, "{after}");

    let twice = host.tenants.schedule_deletion(&host.a, week).await;
    assert_eq!(code(twice), "transition_refused");
    let resumed = host.platform.resume(tenant).await;
    assert_eq!(code(resumed), "transition_refused");
    let denied = host.tenants.reopen(tenant, member.user().unwrap()).await;
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::Denied);
    host.tenants.reopen(tenant, owner).await?;
    let state = host.platform.state(tenant).await?;
    assert_eq!(
        (state.status, state.delete_after),
        (TenantStatus::SuspendedReadOnly, None)
    );
    assert_eq!(
        code(host.tenants.reopen(tenant, owner).await),
        "tenant_not_closed"
    );
    assert_eq!(host.audit.of("tenant.deletion_cancelled").len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_former_slug_leads_to_its_tenant_until_it_is_free() -> Result {
    let host = host().await?;
    let slug = |text: &str| Slug::parse(text).unwrap();
    let (one, two) = (slug("first-name"), slug("second-name"));
    host.tenants.change_slug(&host.a, &one).await?;
    host.tenants.change_slug(&host.a, &two).await?;
    assert_eq!(
        code(host.tenants.change_slug(&host.a, &two).await),
        "slug_unchanged"
    );
    let a = host.a.tenant();
    let former = SlugOwner::Former {
        tenant: a,
        now: "second-name".into(),
    };
    assert_eq!(host.tenants.by_slug("first-name").await?, Some(former));
    assert_eq!(
        host.tenants.by_slug("second-name").await?,
        Some(SlugOwner::Current(a))
    );
    assert_eq!(host.tenants.by_slug("no-name").await?, None);
    assert_eq!(host.tenants.get(&host.a).await?.slug, "second-name");
    assert_eq!(
        host.tenants
            .of(host.a.user().unwrap(), &MyTenantsPage::new())
            .await?
            .len(),
        1
    );

    // Kept: for another tenant's change and for a new tenant.
    assert_eq!(
        code(host.tenants.change_slug(&host.b, &one).await),
        "slug_taken"
    );
    let new = NewTenant::new(one.clone(), TenantName::parse("n")?, UserId::new());
    assert_eq!(code(host.tenants.create(new.clone()).await), "slug_taken");

    sqlx::raw_sql("UPDATE tenancy.tenant_slugs SET former_until = now() WHERE slug = 'first-name'")
        .execute(&host.superuser)
        .await?;
    assert_eq!(host.tenants.by_slug("first-name").await?, None);
    let case = HoldReference::parse("case 7")?;
    host.platform.hold(a, &case).await?;
    assert_eq!(
        code(host.tenants.change_slug(&host.b, &one).await),
        "slug_taken"
    );
    host.platform.release(a, &case).await?;
    let (won, lost) = tokio::join!(
        host.tenants.change_slug(&host.b, &one),
        host.tenants.create(new)
    );
    assert!(won.is_ok() != lost.is_ok(), "{won:?} {lost:?}");
    let owner = host
        .tenants
        .by_slug("first-name")
        .await?
        .and_then(SlugOwner::current);
    assert!(owner.is_some_and(|owner| owner != a));
    Ok(())
}

#[tokio::test]
async fn a_tenant_takes_its_own_slug_back_and_does_not_hoard() -> Result {
    let host = host().await?;
    for n in 0..10 {
        host.tenants
            .change_slug(&host.a, &Slug::parse(&format!("name-{n}"))?)
            .await?;
    }
    let eleventh = host
        .tenants
        .change_slug(&host.a, &Slug::parse("name-x")?)
        .await;
    assert_eq!(code(eleventh), "too_many_former_slugs");
    host.tenants
        .change_slug(&host.a, &Slug::parse("name-0")?)
        .await?;
    assert_eq!(host.tenants.get(&host.a).await?.slug, "name-0");
    assert_eq!(host.audit.of("tenant.slug_changed").len(), 11);

    host.tenants
        .rename(&host.a, &TenantName::parse("Ácme")?)
        .await?;
    assert_eq!(host.tenants.get(&host.a).await?.name, "Ácme");
    let renamed = &host.audit.of("tenant.renamed")[0].event.meta;
    assert_eq!(renamed["to"], "Ácme");
    let member = testing::member(&host.kit.app, &host.a).await?;
    let denied = host
        .tenants
        .rename(&member, &TenantName::parse("Mine")?)
        .await;
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::Denied);
    assert_ne!(host.tenants.get(&host.b).await?.name, "Ácme");
    Ok(())
}

#[tokio::test]
async fn a_hold_is_placed_by_the_platform_alone() -> Result {
    let host = host().await?;
    for kind in ["user", "api_key"] {
        let sql = "SELECT tenancy.hold_tenant($1, true)";
        assert_eq!(
            call(&host, &host.a, kind, sql, &["case 7"]).await?,
            "not_platform"
        );
    }
    let case = HoldReference::parse("case 7")?;
    let tenant = host.a.tenant();
    assert!(host.platform.hold(tenant, &case).await?);
    assert!(!host.platform.hold(tenant, &case).await?);
    assert_eq!(host.tenants.state(&host.a).await?.holds, ["case 7"]);
    assert_eq!(host.tenants.state(&host.b).await?.holds.len(), 0);
    assert!(host.platform.release(tenant, &case).await?);
    assert!(!host.platform.release(tenant, &case).await?);
    assert_eq!(host.audit.of("tenant.hold_placed").len(), 1);
    assert_eq!(host.audit.of("tenant.hold_released").len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_list_of_all_tenants_is_for_workers_and_operators() -> Result {
    let host = host().await?;
    host.tenants.schedule_deletion(&host.a, Grace::NONE).await?;
    host.tenants
        .schedule_deletion(&host.b, Grace::default())
        .await?;
    let worker = TenantList::of_worker(&host.kit.worker);
    let ids = async |filter| -> Result<Vec<TenantId>> {
        let page = worker.page(filter, None, 100).await?;
        Ok(page.into_iter().map(|tenant| tenant.id).collect())
    };
    assert_eq!(ids(TenantFilter::All).await?.len(), 2);
    assert_eq!(ids(TenantFilter::Due).await?, [host.a.tenant()]);
    assert_eq!(
        ids(TenantFilter::Status(TenantStatus::Active)).await?.len(),
        0
    );

    let operator = TenantList::of_operator(&host.kit.operator);
    let first = operator.page(TenantFilter::All, None, 1).await?;
    let second = operator
        .page(TenantFilter::All, Some(first[0].id), 1)
        .await?;
    assert!(first.len() == 1 && second.len() == 1 && first[0].id < second[0].id);

    let as_app = sqlx::query("SELECT * FROM tenancy.list_tenants(NULL, false, NULL, 10)")
        .execute(host.kit.app.without_tenant())
        .await;
    assert!(as_app.is_err());
    Ok(())
}
