//! What is swept: no more than was said, and never what covers tracks.

use std::time::Duration;

use tenancy_core::{
    CoreMaintenance, HoldReference, NoAudit, NoRoles, OwnerAuthorizer, Platform, ServiceKey, Slug,
    Tenants, migrate::CORE, testing,
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DAY: Duration = Duration::from_hours(24);

const EVENTS: &str = "INSERT INTO tenancy.platform_log (minute, kind, code, actor, count, first_at, last_at)
    SELECT t, 'enter.refused', 'not_a_member', days::text, 1, t, t
    FROM unnest(ARRAY[0, 1, 2, 80, 100, 4000]) days, LATERAL (SELECT now() - days * interval '25 hours' AS t) x";

async fn kept(db: &Db) -> Result<Vec<String>> {
    let sql = "SELECT actor FROM tenancy.platform_log WHERE actor ~ '^[0-9]+$' ORDER BY actor::int";
    Ok(sqlx::query_scalar(sql)
        .fetch_all(&db.superuser().await?)
        .await?)
}

#[tokio::test]
async fn the_platform_log_is_kept_as_long_as_was_said_and_a_day_at_least() -> Result {
    let db = Db::new(&[&CORE]).await?;
    sqlx::raw_sql(EVENTS)
        .execute(&db.superuser().await?)
        .await?;
    let maintenance = CoreMaintenance::new(db.worker.clone());
    let done = maintenance.run_once().await?;
    assert_eq!((done.platform_events, done.more), (2, false));
    assert_eq!(kept(&db).await?, ["0", "1", "2", "80"]);
    let done = maintenance
        .clone()
        .with_platform_log_kept(2 * DAY)
        .run_once()
        .await?;
    assert_eq!(done.platform_events, 2);
    let done = maintenance
        .with_platform_log_kept(Duration::ZERO)
        .run_once()
        .await?;
    assert_eq!(done.platform_events, 1);
    // Nor by SQL as the worker: the last day stays.
    sqlx::query("SELECT tenancy.platform_log_prune(0, 1000)")
        .execute(db.worker.pool())
        .await?;
    assert_eq!(kept(&db).await?, ["0"]);
    let as_app = sqlx::query("SELECT tenancy.platform_log_prune(0, 1000)");
    assert!(as_app.execute(db.app.without_tenant()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_flood_is_removed_in_bounded_steps() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let flood = "INSERT INTO tenancy.platform_log (minute, kind, code, actor, count, first_at, last_at)
        SELECT now() - interval '1 year', 'enter.refused', 'x', n::text, 1, now(), now() FROM generate_series(1, 2500) n";
    sqlx::raw_sql(flood).execute(&db.superuser().await?).await?;
    let one: i64 = sqlx::query_scalar("SELECT tenancy.platform_log_prune(86400, 1000)")
        .fetch_one(db.worker.pool())
        .await?;
    assert_eq!(one, 1_000);
    let done = CoreMaintenance::new(db.worker.clone()).run_once().await?;
    assert_eq!(done.platform_events, 1_500);
    Ok(())
}

#[tokio::test]
async fn slugs_are_freed_when_their_time_is_over_and_no_hold_stands() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let authz = std::sync::Arc::new(OwnerAuthorizer::new(
        db.app.clone(),
        std::sync::Arc::new(NoAudit::new()),
    ));
    let audit = std::sync::Arc::new(NoAudit::new());
    let tenants = Tenants::new(
        db.app.clone(),
        authz,
        std::sync::Arc::new(NoRoles::new()),
        audit.clone(),
    );
    let (a, b) = (
        testing::tenant(&db.app).await?,
        testing::tenant(&db.app).await?,
    );
    let c = testing::tenant(&db.app).await?;
    for (at, ctx) in [&a, &b, &c].into_iter().enumerate() {
        tenants
            .change_slug(ctx, &Slug::parse(&format!("new-{at}"))?)
            .await?;
    }
    let platform = Platform::new(db.app.clone(), ServiceKey::from_static("desk"), audit);
    platform
        .hold(b.tenant(), &HoldReference::parse("case 7")?)
        .await?;
    let maintenance = CoreMaintenance::new(db.worker.clone());
    assert_eq!(maintenance.run_once().await?.slugs, 0);
    let superuser = db.superuser().await?;
    sqlx::query("UPDATE tenancy.tenant_slugs SET former_until = now() WHERE former_until IS NOT NULL AND tenant_id <> $1")
        .bind(c.tenant())
        .execute(&superuser)
        .await?;
    assert_eq!(maintenance.run_once().await?.slugs, 1);
    let left: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT tenant_id FROM tenancy.tenant_slugs WHERE former_until IS NOT NULL ORDER BY 1",
    )
    .fetch_all(&superuser)
    .await?;
    assert_eq!(left, [b.tenant().as_uuid(), c.tenant().as_uuid()]);
    Ok(())
}

#[tokio::test]
async fn a_sweep_that_fails_keeps_no_other_from_its_work() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let a = testing::tenant(&db.app).await?;
    let superuser = db.superuser().await?;
    sqlx::raw_sql(
        "UPDATE tenancy.tenant_slugs SET former_until = now();
         DROP FUNCTION tenancy.platform_log_prune(bigint, integer)",
    )
    .execute(&superuser)
    .await?;
    let failed = CoreMaintenance::new(db.worker.clone()).run_once().await;
    assert_eq!(failed.unwrap_err().code(), "schema_missing");
    let slugs: i64 =
        sqlx::query_scalar("SELECT count(*) FROM tenancy.tenant_slugs WHERE tenant_id = $1")
            .bind(a.tenant())
            .fetch_one(&superuser)
            .await?;
    assert_eq!(slugs, 0);
    Ok(())
}

#[tokio::test]
async fn refusals_of_messages_that_were_given_up_are_forgotten_within_bounds() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let ours = testing::tenant(&db.app).await?;
    let superuser = db.superuser().await?;
    sqlx::query(
        "INSERT INTO tenancy.webhook_refusals (tenant_id, endpoint, message, last_at)
         SELECT $1, 'crm', 'msg_' || n, now() - n * interval '1 minute' FROM generate_series(42000, 44699) n",
    )
    .bind(ours.tenant())
    .execute(&superuser)
    .await?;
    // A month has 43,200 minutes; what is younger is still counted on, whatever the worker says.
    let one: i64 = sqlx::query_scalar("SELECT tenancy.webhook_refusals_purge(0, 100)")
        .fetch_one(db.worker.pool())
        .await?;
    assert_eq!(one, 100);
    CoreMaintenance::new(db.worker.clone()).run_once().await?;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.webhook_refusals")
        .fetch_one(&superuser)
        .await?;
    assert!((1_200..=1_202).contains(&left), "{left}");
    let as_app = sqlx::query("SELECT tenancy.webhook_refusals_purge(0, 1000)");
    assert!(as_app.execute(db.app.without_tenant()).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_is_being_placed_keeps_a_slug_from_everybody() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let audit = std::sync::Arc::new(NoAudit::new());
    let tenants = Tenants::new(
        db.app.clone(),
        std::sync::Arc::new(OwnerAuthorizer::new(db.app.clone(), audit.clone())),
        std::sync::Arc::new(NoRoles::new()),
        audit,
    );
    let (a, b) = (
        testing::tenant(&db.app).await?,
        testing::tenant(&db.app).await?,
    );
    let former = Slug::parse("former-name")?;
    tenants.change_slug(&a, &former).await?;
    tenants.change_slug(&a, &Slug::parse("name-now")?).await?;
    let superuser = db.superuser().await?;
    sqlx::raw_sql(
        "UPDATE tenancy.tenant_slugs SET former_until = now() WHERE former_until IS NOT NULL",
    )
    .execute(&superuser)
    .await?;

    let desk = ServiceKey::from_static("desk");
    let desk = db.app.enter_system(a.tenant(), desk, vec![]).await?;
    let mut placing = db.app.write(&desk).await?;
    let said: String = sqlx::query_scalar("SELECT tenancy.hold_tenant('case 7', true)")
        .fetch_one(&mut *placing)
        .await?;
    assert_eq!(said, "ok");
    // The sweep passes it over, and who wants it for himself waits.
    assert_eq!(
        CoreMaintenance::new(db.worker.clone())
            .run_once()
            .await?
            .slugs,
        0
    );
    let claiming = tokio::spawn({
        let (tenants, former) = (tenants.clone(), former.clone());
        async move { tenants.change_slug(&b, &former).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!claiming.is_finished());
    placing.commit().await?;
    let refused = claiming.await?;
    assert_eq!(refused.err().map(|error| error.code()), Some("slug_taken"));
    let whose: uuid::Uuid =
        sqlx::query_scalar("SELECT tenant_id FROM tenancy.tenant_slugs WHERE slug = 'former-name'")
            .fetch_one(&superuser)
            .await?;
    assert_eq!(whose, a.tenant().as_uuid());
    Ok(())
}
