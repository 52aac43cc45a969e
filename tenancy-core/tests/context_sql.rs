//! What a transaction of another library is bound with: whole, or not at all.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, error::DatabaseError};
use tenancy_core::{
    NoAudit, NoRoles, PermissionKey, ServiceKey, Suspension, TenantCtx, Tenants,
    migrate::CORE,
    testing::{self, FakeAuthorizer},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const NOTES: &str = "CREATE TABLE public.notes (tenant_id uuid NOT NULL, body text NOT NULL);
    SELECT tenancy.protect_table('public.notes')";

/// A database with notes, and a connection of the app's login that is nobody's handle.
async fn world() -> Result<(Db, PgConnection)> {
    let kit = Db::new(&[&CORE]).await?;
    sqlx::raw_sql(NOTES)
        .execute(&kit.superuser().await?)
        .await?;
    let conn = PgConnection::connect(kit.server.app_url()).await?;
    Ok((kit, conn))
}

async fn bind(conn: &mut PgConnection, kit: &Db, ctx: &TenantCtx) -> sqlx::Result<()> {
    let sql = AssertSqlSafe(kit.app.context_sql(ctx));
    sqlx::raw_sql(sql).execute(conn).await.map(drop)
}

fn state(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.map_or_else(|| error.to_string(), Into::into)
}

async fn note(conn: &mut PgConnection, ctx: &TenantCtx) -> sqlx::Result<()> {
    let insert = sqlx::query("INSERT INTO public.notes VALUES ($1, 'x')");
    insert.bind(ctx.tenant()).execute(conn).await.map(drop)
}

#[tokio::test]
async fn outside_of_a_transaction_it_is_refused() -> Result {
    let (kit, mut conn) = world().await?;
    let ctx = testing::tenant(&kit.app).await?;
    let error = bind(&mut conn, &kit, &ctx).await.unwrap_err();
    assert_eq!(state(&error), "25P01");
    // As a prepared statement it is refused as a whole.
    let mut tx = conn.begin().await?;
    let prepared = sqlx::query(AssertSqlSafe(kit.app.context_sql(&ctx)));
    assert_eq!(
        state(&prepared.execute(&mut *tx).await.unwrap_err()),
        "42601"
    );
    assert_eq!(state(&note(&mut tx, &ctx).await.unwrap_err()), "25P02");
    Ok(())
}

#[tokio::test]
async fn a_login_that_sees_every_tenant_is_refused() -> Result {
    let (kit, _) = world().await?;
    let ctx = testing::tenant(&kit.app).await?;
    for url in [kit.server.superuser_url()?, kit.server.operator_url()] {
        let mut conn = PgConnection::connect(url).await?;
        let mut tx = conn.begin().await?;
        let error = bind(&mut tx, &kit, &ctx).await.unwrap_err();
        assert_eq!(state(&error), "42501", "{error}");
        let error = note(&mut tx, &ctx).await.unwrap_err();
        assert_eq!(state(&error), "25P02", "{error}");
    }
    let mut worker = PgConnection::connect(kit.server.worker_url()).await?;
    let mut tx = worker.begin().await?;
    assert!(bind(&mut tx, &kit, &ctx).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_second_context_leaves_nothing_of_the_first() -> Result {
    let (kit, mut conn) = world().await?;
    let (ctx, other) = (
        testing::tenant(&kit.app).await?,
        testing::tenant(&kit.app).await?,
    );
    let service = ServiceKey::parse("importer")?;
    let permissions = vec![PermissionKey::parse("notes.write")?];
    let powerful = kit
        .app
        .enter_system(other.tenant(), service, permissions)
        .await?;
    let mut tx = conn.begin().await?;
    bind(&mut tx, &kit, &powerful).await?;
    sqlx::raw_sql("SET LOCAL tenancy.roles = 'admin'")
        .execute(&mut *tx)
        .await?;
    bind(&mut tx, &kit, &ctx).await?;
    let seen: (Option<String>, Option<Vec<String>>, Vec<String>, bool) = sqlx::query_as(
        "SELECT util.current_actor_kind(), util.current_permissions(), util.current_roles(),
            util.current_tenant() = $1 AND util.current_user_id() = $2",
    )
    .bind(ctx.tenant())
    .bind(ctx.user())
    .fetch_one(&mut *tx)
    .await?;
    assert_eq!(seen, (Some("user".to_owned()), None, Vec::new(), true));
    // A service has no user to leave behind either.
    bind(&mut tx, &kit, &powerful).await?;
    let seen: bool = sqlx::query_scalar("SELECT util.current_user_id() IS NULL")
        .fetch_one(&mut *tx)
        .await?;
    assert!(seen);
    Ok(())
}

#[tokio::test]
async fn a_tenant_that_can_only_be_read_can_only_be_read() -> Result {
    let (kit, mut conn) = world().await?;
    let owner = testing::tenant(&kit.app).await?;
    let mut tx = conn.begin().await?;
    bind(&mut tx, &kit, &owner).await?;
    note(&mut tx, &owner).await?;
    tx.commit().await?;

    let authorizer = std::sync::Arc::new(FakeAuthorizer::allowing_all());
    let (roles, audit) = (
        std::sync::Arc::new(NoRoles::new()),
        std::sync::Arc::new(NoAudit::new()),
    );
    Tenants::new(kit.app.clone(), authorizer, roles, audit)
        .suspend(&owner, Suspension::ReadOnly)
        .await?;
    let reader = kit.app.enter(owner.tenant(), owner.user().unwrap()).await?;
    let mut tx = conn.begin().await?;
    bind(&mut tx, &kit, &reader).await?;
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM public.notes")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(seen, 1);
    assert_eq!(state(&note(&mut tx, &reader).await.unwrap_err()), "25006");
    Ok(())
}
