//! What is kept of what happens outside of every tenant.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{Router, body::Body, routing::get};
use chrono::{TimeDelta, Utc};
use http::Request;
use tenancy_core::{
    DbOptions, Error, NoPlatformLog, PlatformEntry, PlatformEvent, PlatformEventKind,
    PlatformEvents, PlatformQuery, Principal, ServiceKey, TenantDb, TenantId, UserId,
    http::{TenantLayer, TenantSource},
    migrate::CORE,
    testing::{
        self, MemoryPlatformLog, TestLogin,
        conformance::{PlatformReader, platform_log},
    },
};
use tenancy_testkit::Db;
use tower::ServiceExt as _;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What the operator reads, once everything that `app` noted is stored.
async fn entries(db: &Db, app: &TenantDb) -> Result<Vec<PlatformEntry>> {
    app.platform_log().flush().await;
    let events = PlatformEvents::new(db.operator.clone());
    Ok(events.list(&PlatformQuery::new().with_limit(1_000)).await?)
}

struct Reader(PlatformEvents);

#[async_trait]
impl PlatformReader for Reader {
    async fn counts(&self, code: &str) -> std::result::Result<Vec<u64>, Error> {
        let query = PlatformQuery::new().with_limit(1_000);
        let found = self.0.list(&query).await?.into_iter();
        Ok(found
            .filter(|entry| entry.code == code)
            .map(|entry| entry.count)
            .collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_keep_the_contract_of_the_port() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let reader = Reader(PlatformEvents::new(db.operator.clone()));
    platform_log(db.app.platform_log().clone(), &reader).await?;
    let memory = MemoryPlatformLog::new();
    platform_log(Arc::new(memory.clone()), &memory).await?;
    Ok(())
}

#[tokio::test]
async fn a_refused_entry_is_on_record_and_an_accepted_one_is_not() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let (ours, theirs) = (
        testing::tenant(&db.app).await?,
        testing::tenant(&db.app).await?,
    );
    let stranger = theirs.user().ok_or("an owner is a user")?;
    db.app.enter(theirs.tenant(), stranger).await?;
    assert_eq!(entries(&db, &db.app).await?, []);

    let nowhere = TenantId::new();
    for tenant in [ours.tenant(), ours.tenant(), nowhere] {
        assert!(db.app.enter(tenant, stranger).await.is_err());
    }
    sqlx::query("UPDATE tenancy.tenants SET status = 'suspended_blocked' WHERE id = $1")
        .bind(ours.tenant())
        .execute(&db.superuser().await?)
        .await?;
    let service = ServiceKey::from_static("importer");
    let refused = db
        .app
        .enter_system(ours.tenant(), service, Vec::new())
        .await;
    assert!(refused.is_err());

    let mut found: Vec<_> = entries(&db, &db.app)
        .await?
        .into_iter()
        .map(|entry| {
            assert_eq!(entry.kind, "enter.refused");
            assert!(entry.first_at <= entry.last_at);
            (entry.tenant, entry.actor, entry.code, entry.count)
        })
        .collect();
    found.sort_by_key(|(.., count)| *count);
    let user = Some(format!("user:{stranger}"));
    let code = |code: &str| code.to_owned();
    let suspended = (
        Some(ours.tenant()),
        Some("service:importer".to_owned()),
        code("tenant_suspended"),
        1,
    );
    assert!(found.contains(&suspended), "{found:?}");
    assert!(found.contains(&(Some(nowhere), user.clone(), code("not_a_member"), 1)));
    assert!(found.contains(&(Some(ours.tenant()), user, code("not_a_member"), 2)));
    assert_eq!(found.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_login_that_is_not_valid_is_on_record_and_a_request_without_one_is_not() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let (ours, theirs) = (
        testing::tenant(&db.app).await?,
        testing::tenant(&db.app).await?,
    );
    let source = TenantSource::Header("x-tenant".to_owned());
    let layer = TenantLayer::new(db.app.clone(), Arc::new(TestLogin), [source]);
    let router = Router::new().route("/", get(async || "in")).layer(layer);
    let (stranger, tenant) = (
        theirs.user().ok_or("an owner is a user")?.to_string(),
        ours.tenant().to_string(),
    );
    let owner = ours.user().ok_or("an owner is a user")?.to_string();
    for (login, tenant, status) in [
        (None, tenant.as_str(), 401),
        (Some(owner.as_str()), &tenant, 200),
        (Some("forged"), &tenant, 401),
        (Some("forged too"), "no-such-tenant", 401),
        (Some(stranger.as_str()), &tenant, 404),
        (Some(stranger.as_str()), "no-such-tenant", 404),
    ] {
        let mut request = Request::get("/").header("x-tenant", tenant);
        if let Some(login) = login {
            request = request.header("authorization", format!("Bearer {login}"));
        }
        let answer = router.clone().oneshot(request.body(Body::empty())?).await?;
        assert_eq!(answer.status(), status, "{login:?} {tenant}");
    }
    let found = entries(&db, &db.app).await?;
    let count = |kind: &str| -> u64 {
        let of_kind = found.iter().filter(|entry| entry.kind == kind);
        of_kind.map(|entry| entry.count).sum()
    };
    assert_eq!(
        (count("login.refused"), count("enter.refused")),
        (2, 2),
        "{found:?}"
    );
    assert!(!format!("{found:?}").contains("forged"));
    Ok(())
}

#[tokio::test]
async fn a_code_that_is_no_word_takes_no_other_event_along() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let log = db.app.platform_log();
    for code in ["Not A Code", "login_invalid", ""] {
        log.note(PlatformEvent::new(PlatformEventKind::LoginRefused, code));
    }
    let mut codes: Vec<_> = entries(&db, &db.app)
        .await?
        .into_iter()
        .map(|entry| (entry.code, entry.count))
        .collect();
    codes.sort();
    assert_eq!(
        codes,
        [("login_invalid".to_owned(), 1), ("other".to_owned(), 2)]
    );
    Ok(())
}

#[tokio::test]
async fn a_flood_of_refusals_by_two_processes_fills_counters_and_not_the_disk() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let ours = testing::tenant(&db.app).await?;
    let second = TenantDb::connect(db.server.app_url()).await?;
    let stranger = UserId::new();
    for _ in 0..300 {
        assert!(db.app.enter(ours.tenant(), stranger).await.is_err());
        assert!(second.enter(ours.tenant(), stranger).await.is_err());
    }
    second.platform_log().flush().await;
    let same = entries(&db, &db.app).await?;
    assert_eq!(same.iter().map(|entry| entry.count).sum::<u64>(), 600);
    assert!(
        same.len() <= 2,
        "two at most, where a minute ended: {same:?}"
    );

    for _ in 0..600 {
        assert!(db.app.enter(TenantId::new(), stranger).await.is_err());
    }
    let all = entries(&db, &db.app).await?;
    assert_eq!(all.iter().map(|entry| entry.count).sum::<u64>(), 1_200);
    assert!(all.len() <= 2 * 201 + 2, "{} entries", all.len());
    assert!(
        all.iter().any(|entry| entry.tenant.is_none()),
        "what is too much is folded together"
    );
    Ok(())
}

#[tokio::test]
async fn the_app_adds_to_the_log_and_neither_reads_nor_changes_it() -> Result {
    let db = Db::new(&[&CORE]).await?;
    assert!(db.app.enter(TenantId::new(), UserId::new()).await.is_err());
    assert_eq!(entries(&db, &db.app).await?.len(), 1);
    let refused = async |sql: &'static str| {
        let answer = sqlx::raw_sql(sql).execute(db.app.without_tenant()).await;
        let error = answer.err();
        let code = error
            .as_ref()
            .and_then(|error| error.as_database_error()?.code());
        code.as_deref() == Some("42501")
    };
    for sql in [
        "SELECT * FROM tenancy.platform_log",
        "UPDATE tenancy.platform_log SET count = 1",
        "DELETE FROM tenancy.platform_log",
        "TRUNCATE tenancy.platform_log",
        "INSERT INTO tenancy.platform_log (minute, kind, code, count, first_at, last_at)
         VALUES (now(), 'a.b', 'c', 1, now(), now())",
    ] {
        assert!(refused(sql).await, "{sql}");
    }
    // Not even the functions' owner rewrites what happened.
    let mut tx = db.operator.pool().begin().await?;
    sqlx::raw_sql("SET LOCAL ROLE tenancy_definer")
        .execute(&mut *tx)
        .await?;
    let rewritten = sqlx::query("UPDATE tenancy.platform_log SET code = 'other'")
        .execute(&mut *tx)
        .await;
    assert!(rewritten.is_err());
    drop(tx);
    let events = db.app.without_tenant();
    for bad in [
        r#"[{"kind": "Enter", "code": "x", "count": 1}]"#,
        r#"[{"kind": "enter.refused", "code": "x", "count": 0}]"#,
        r#"[{"kind": "enter.refused", "code": "x'; --", "count": 1}]"#,
    ] {
        let note = sqlx::query("SELECT tenancy.note_platform_events($1::jsonb)").bind(bad);
        assert!(note.execute(events).await.is_err(), "{bad}");
    }
    assert_eq!(entries(&db, &db.app).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn events_are_stored_soon_by_themselves() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let events = PlatformEvents::new(db.operator.clone());
    // Twice: the task that stores them ends when there is nothing to do.
    for expected in [1, 2] {
        assert!(db.app.enter(TenantId::new(), UserId::new()).await.is_err());
        let mut found = 0;
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            found = events.list(&PlatformQuery::new()).await?.len();
            if found == expected {
                break;
            }
        }
        assert_eq!(found, expected);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_the_log_and_what_it_could_not_store_comes_later() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let superuser = db.superuser().await?;
    let mut options = DbOptions::default();
    options.lock_timeout = Duration::from_millis(100);
    let app = TenantDb::connect_with(db.server.app_url(), options).await?;
    let mut locked = superuser.begin().await?;
    sqlx::raw_sql("LOCK TABLE tenancy.platform_log IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *locked)
        .await?;
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        assert!(app.enter(TenantId::new(), UserId::new()).await.is_err());
    }
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    app.platform_log().flush().await;
    locked.rollback().await?;
    assert_eq!(entries(&db, &app).await?.len(), 20);

    // A host that wants no log says so.
    let silent = TenantDb::connect(db.server.app_url()).await?;
    let silent = silent.with_platform_log(Arc::new(NoPlatformLog::new()));
    assert!(silent.enter(TenantId::new(), UserId::new()).await.is_err());
    assert_eq!(entries(&db, &silent).await?.len(), 20);
    Ok(())
}

#[tokio::test]
async fn closing_stores_what_waits() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let app = TenantDb::connect(db.server.app_url()).await?;
    assert!(app.enter(TenantId::new(), UserId::new()).await.is_err());
    app.close().await;
    assert_eq!(entries(&db, &db.app).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_operator_pages_filters_and_purges() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let log = db.app.platform_log();
    for n in 0..5 {
        let from = PlatformEvent::new(PlatformEventKind::LoginRefused, "login_invalid")
            .with_address(Some([192, 0, 2, n].into()));
        log.note(from);
    }
    let who = Principal::user(UserId::new());
    log.note(PlatformEvent::new(PlatformEventKind::EnterRefused, "not_a_member").with_actor(&who));
    log.flush().await;
    let events = PlatformEvents::new(db.operator.clone());
    let logins = PlatformQuery::new().with_kind(PlatformEventKind::LoginRefused);
    let first = events.list(&logins.clone().with_limit(3)).await?;
    let last = first.last().ok_or("a page of three")?.id;
    let rest = events.list(&logins.with_before(last)).await?;
    let mut addresses: Vec<_> = first.iter().chain(&rest).map(|e| e.address).collect();
    addresses.sort();
    assert_eq!(
        addresses,
        [0, 1, 2, 3, 4].map(|n| Some([192, 0, 2, n].into()))
    );

    let hour = TimeDelta::hours(1);
    let later = PlatformQuery::new().with_since(Utc::now() + hour);
    assert_eq!(events.list(&later).await?, []);
    assert_eq!(events.purge(Utc::now() - hour).await?, 0);
    assert_eq!(events.purge(Utc::now() + hour).await?, 6);
    assert_eq!(events.list(&PlatformQuery::new()).await?, []);
    Ok(())
}

#[tokio::test]
async fn what_an_operator_did_is_there_when_it_returns_and_folded_as_the_rest() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let events = PlatformEvents::new(db.operator.clone());
    let kind = PlatformEventKind::LogExported;
    let tenant = TenantId::new();
    let exported = PlatformEvent::new(kind, "proof_of_log").with_tenant(tenant);
    events.record(&exported).await?;
    events.record(&exported).await?;
    let service = Principal::service(ServiceKey::parse("lawyers")?, Vec::new());
    events
        .record(&exported.clone().with_actor(&service))
        .await?;
    let query = PlatformQuery::new().with_kind(kind);
    let found = events.list(&query).await?;
    assert!(found.iter().all(|entry| entry.kind == "audit.exported"));
    assert!(found.iter().all(|entry| entry.tenant == Some(tenant)));
    let of = |who: fn(&str) -> bool| -> u64 {
        let theirs = found
            .iter()
            .filter(|entry| entry.actor.as_deref().is_some_and(who));
        theirs.map(|entry| entry.count).sum()
    };
    let login: String = sqlx::query_scalar("SELECT session_user::text")
        .fetch_one(db.operator.pool())
        .await?;
    assert_eq!(of(|who| who == "service:lawyers"), 1);
    assert_eq!(of(|who| who.starts_with("operator:")), 2);
    let by_login = format!("operator:{login}");
    assert!(
        found
            .iter()
            .any(|entry| entry.actor.as_ref() == Some(&by_login))
    );
    let unfit = PlatformEvent::new(kind, "no word");
    assert!(events.record(&unfit).await.is_err());
    Ok(())
}
