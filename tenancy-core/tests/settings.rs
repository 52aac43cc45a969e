//! What tenants choose for themselves, and what the platform allows them.

use std::sync::Arc;

use tenancy_core::{
    Error, ErrorKind, InvalidInput, Limit, Limits, Platform, ServiceKey, Setting, Settings,
    TenantCtx, TenantId, UserId, limit,
    migrate::CORE,
    perm,
    testing::{self, FakeAuthorizer, MemoryAudit},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const GREETING: Setting<String> = Setting::new("shop.greeting", "what visitors read", || {
    "Welcome".to_owned()
})
.with_check(|text| match text.len() {
    1..=20_000 => Ok(()),
    _ => Err(InvalidInput::new(
        "greeting_length",
        "a greeting is not empty",
    )),
});
const VISITS: Setting<u64> = Setting::new("shop.visits", "a number that is counted up", || 0);
const SEATS: Limit = Limit::new("shop.seats", "how many may work at once", 5).within(1, 500);

struct Host {
    kit: Db,
    settings: Settings,
    limits: Limits,
    platform: Platform,
    authz: FakeAuthorizer,
    audit: MemoryAudit,
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
        authz.grant(owner, <perm::TenantManage as tenancy_core::Permission>::KEY);
    }
    Ok(Host {
        settings: Settings::new(kit.app.clone(), Arc::new(authz.clone()), sink.clone()),
        limits: Limits::new(kit.app.clone()),
        platform: Platform::new(kit.app.clone(), ServiceKey::from_static("billing"), sink),
        kit,
        authz,
        audit,
        a,
        b,
    })
}

fn code<T: std::fmt::Debug>(result: std::result::Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

#[tokio::test]
async fn a_setting_holds_for_its_tenant_and_is_the_default_elsewhere() -> Result {
    let host = host().await?;
    let hello = "Grüezi".to_owned();
    host.settings.set(&host.a, &GREETING, &hello).await?;
    assert_eq!(host.settings.get(&host.a, &GREETING).await?, hello);
    assert_eq!(host.settings.get(&host.b, &GREETING).await?, "Welcome");

    host.settings.reset(&host.a, &GREETING).await?;
    assert_eq!(host.settings.get(&host.a, &GREETING).await?, "Welcome");
    let entries = host.audit.of("setting.changed");
    assert!(entries.len() == 2 && entries.iter().all(|entry| entry.tenant == host.a.tenant()));
    assert!(!format!("{entries:?}").contains(&hello));
    Ok(())
}

#[tokio::test]
async fn only_managers_change_settings_and_bad_values_are_refused() -> Result {
    let host = host().await?;
    let member = testing::member(&host.kit.app, &host.a).await?;
    let refused = host.settings.set(&member, &VISITS, &1).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);

    for (bad, expected) in [
        (String::new(), "greeting_length"),
        ("x".repeat(20_000), "setting_too_large"),
        // jsonb has no NUL.
        ("a\0b".to_owned(), "value_refused"),
    ] {
        let result = host.settings.set(&host.a, &GREETING, &bad).await;
        assert_eq!(code(result), expected);
    }
    assert_eq!(host.settings.get(&host.a, &GREETING).await?, "Welcome");
    assert_eq!(host.audit.of("setting.changed").len(), 0);

    // The type has changed since: an error, not a guess.
    host.settings
        .set(&host.a, &GREETING, &"hi".to_owned())
        .await?;
    let number: Setting<u64> = Setting::new("shop.greeting", "a number by now", || 0);
    let unreadable = host.settings.get(&host.a, &number).await;
    assert_eq!(code(unreadable), "setting_unreadable");
    Ok(())
}

#[tokio::test]
async fn of_many_who_count_up_at_once_none_is_lost() -> Result {
    let host = host().await?;
    let counting = (0..8).map(|_| async {
        for _ in 0..5 {
            loop {
                let seen = host.settings.get(&host.a, &VISITS).await.unwrap();
                let swapped = host
                    .settings
                    .swap(&host.a, &VISITS, &seen, &(seen + 1))
                    .await;
                match swapped {
                    Ok(()) => break,
                    Err(error) => assert_eq!(error.code(), "stale"),
                }
            }
        }
    });
    futures_util::future::join_all(counting).await;
    assert_eq!(host.settings.get(&host.a, &VISITS).await?, 40);
    assert_eq!(host.audit.of("setting.changed").len(), 40);
    Ok(())
}

#[tokio::test]
async fn a_limit_is_set_by_the_platform_and_by_nobody_in_the_tenant() -> Result {
    let host = host().await?;
    let staff = UserId::new();
    host.platform
        .on_behalf_of(staff)
        .set_limit(host.a.tenant(), &SEATS, 50)
        .await?;
    assert_eq!(host.limits.get(&host.a, &SEATS).await?, 50);
    assert_eq!(host.limits.get(&host.b, &SEATS).await?, 5);
    let entry = &host.audit.of("limit.changed")[0];
    assert_eq!(entry.principal.on_behalf_of, Some(staff));
    assert_eq!(entry.principal.actor.id(), "billing");

    // The same call by an owner, past the service: the function refuses it.
    let mut tx = host.kit.app.write(&host.a).await?;
    let answer: String = sqlx::query_scalar("SELECT tenancy.set_tenant_limit('shop.seats', 500)")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(answer, "not_platform");
    let direct = sqlx::query("UPDATE tenancy.tenant_limits SET value = 500")
        .execute(&mut *tx)
        .await;
    assert!(direct.is_err());
    drop(tx);
    assert_eq!(host.limits.get(&host.a, &SEATS).await?, 50);
    let _ = &host.authz;
    Ok(())
}

#[tokio::test]
async fn limits_stay_in_their_bounds_and_are_read_in_one_query() -> Result {
    let host = host().await?;
    let tenant = host.a.tenant();
    for outside in [0, 501, u64::MAX] {
        let result = host.platform.set_limit(tenant, &SEATS, outside).await;
        assert_eq!(code(result), "limit_out_of_bounds");
    }
    let nobody = host.platform.set_limit(TenantId::new(), &SEATS, 7).await;
    assert_eq!(code(nobody), "tenant_unknown");

    host.platform.set_limit(tenant, &SEATS, 500).await?;
    let both = [limit::PENDING_INVITATIONS, SEATS];
    assert_eq!(host.limits.list(&host.a, &both).await?, [100, 500]);
    // Stored under wider bounds than today's.
    let narrow = Limit::new("shop.seats", "fewer by now", 5).within(1, 20);
    assert_eq!(host.limits.get(&host.a, &narrow).await?, 20);
    host.platform.reset_limit(tenant, &SEATS).await?;
    assert_eq!(host.limits.list(&host.a, &both).await?, [100, 5]);
    Ok(())
}

#[tokio::test]
async fn a_change_bumps_the_epoch_that_caches_check() -> Result {
    let host = host().await?;
    let epoch = async || -> Result<i64> {
        let mut tx = host.kit.app.read(&host.a).await?;
        Ok(sqlx::query_scalar("SELECT epoch FROM tenancy.tenant_epoch")
            .fetch_one(&mut *tx)
            .await?)
    };
    let before = epoch().await?;
    host.settings.set(&host.a, &VISITS, &3).await?;
    let between = epoch().await?;
    assert!(between > before);
    host.platform.set_limit(host.a.tenant(), &SEATS, 9).await?;
    assert!(epoch().await? > between);
    Ok(())
}
