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
