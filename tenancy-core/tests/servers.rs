//! A real streaming replica, and logins with passwords.

use std::time::{Duration, Instant};

use tenancy_core::{
    DbOptions, ErrorKind, Isolation, OperatorDb, SecretText, TenantCtx, TenantDb, TxOptions,
    migrate::{self, CORE},
    testing,
};
use tenancy_testkit::{Cluster, open_until_refused};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PASSWORD: &str = "first";
const LIMIT: Duration = Duration::from_secs(20);

/// A migrated server with the login `my_app`.
async fn primary() -> Result<Cluster> {
    let primary = Cluster::start().await?;
    let url = primary.superuser_url("postgres");
    let operator = OperatorDb::connect(&url).await?;
    migrate::migrate(&operator, &[&CORE]).await?;
    sqlx::raw_sql(
        "CREATE ROLE my_app LOGIN PASSWORD 'first'; GRANT tenancy_app TO my_app;
         CREATE TABLE tenancy.notes (tenant_id uuid NOT NULL, body text NOT NULL);
         SELECT tenancy.protect_table('tenancy.notes')",
    )
    .execute(operator.pool())
    .await?;
    operator.pool().close().await;
    Ok(primary)
}

fn url_of(cluster: &Cluster) -> String {
    cluster.url("my_app", PASSWORD, "postgres")
}

/// Whether a read was served by a server that follows another, and how many notes it saw.
async fn look(db: &TenantDb, ctx: &TenantCtx, options: &TxOptions) -> Result<(bool, i64)> {
    let mut tx = db.read_with(ctx, options).await?;
    let seen = sqlx::query_as("SELECT pg_is_in_recovery(), (SELECT count(*) FROM tenancy.notes)");
    Ok(seen.fetch_one(&mut *tx).await?)
}

async fn note(db: &TenantDb, ctx: &TenantCtx) -> Result {
    let mut tx = db.write(ctx).await?;
    sqlx::query("INSERT INTO tenancy.notes VALUES ($1, 'x')")
        .bind(ctx.tenant())
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn a_replica_serves_the_reads_that_may_be_behind_and_no_other() -> Result {
    let primary = primary().await?;
    let mut replica = primary.replica().await?;
    let options = DbOptions::default().with_replica(url_of(&replica));
    let db = TenantDb::connect_with(&url_of(&primary), options).await?;
    let (ctx, other) = (testing::tenant(&db).await?, testing::tenant(&db).await?);
    note(&db, &ctx).await?;
    note(&db, &other).await?;

    let behind = TxOptions::default().on_replica();
    assert_eq!(look(&db, &ctx, &TxOptions::default()).await?, (false, 1));
    let begun = Instant::now();
    while look(&db, &ctx, &behind).await? != (true, 1) {
        assert!(begun.elapsed() < LIMIT, "the replica does not catch up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A standby can't keep the promise of serializable transactions.
    let strict = behind.clone().with_isolation(Isolation::Serializable);
    assert_eq!(look(&db, &ctx, &strict).await?, (false, 1));
    // A write never goes there, whatever is asked for.
    let mut tx = db.write_with(&ctx, &behind).await?;
    let follows: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()")
        .fetch_one(&mut *tx)
        .await?;
    assert!(!follows);
    drop(tx);

    replica.stop()?;
    let begun = Instant::now();
    assert_eq!(look(&db, &ctx, &behind).await?, (false, 1));
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "the way to the primary is bounded"
    );
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(look(&db, &ctx, &behind).await?, (false, 1));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "it is left alone for a while"
    );
    Ok(())
}

#[tokio::test]
async fn a_replica_that_is_away_stops_no_start_and_one_that_sees_too_much_does() -> Result {
    let primary = primary().await?;
    let away = DbOptions::default().with_replica("postgres://my_app@127.0.0.1:1/postgres");
    let db = TenantDb::connect_with(&url_of(&primary), away).await?;
    let ctx = testing::tenant(&db).await?;
    let behind = TxOptions::default().on_replica();
    assert_eq!(look(&db, &ctx, &behind).await?, (false, 0));

    let unbound = DbOptions::default().with_replica(primary.superuser_url("postgres"));
    let error = TenantDb::connect_with(&url_of(&primary), unbound)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "login_not_bound");
    Ok(())
}

#[tokio::test]
async fn a_password_changes_while_the_service_runs() -> Result {
    let primary = primary().await?;
    let db = TenantDb::connect(&url_of(&primary)).await?;
    let ctx = testing::tenant(&db).await?;
    let open = db.read(&ctx).await?;
    let superuser = sqlx::PgPool::connect(&primary.superuser_url("postgres")).await?;
    sqlx::raw_sql("ALTER ROLE my_app PASSWORD 'second'")
        .execute(&superuser)
        .await?;
    // Connections that stand go on; a new one needs the new password.
    let error = open_until_refused(&db, &ctx).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Misconfigured, "login_refused")
    );

    db.set_password(&SecretText::new("second"));
    drop(db.read(&ctx).await?);
    drop(open);
    assert!(!format!("{db:?}").contains("second"));
    Ok(())
}
