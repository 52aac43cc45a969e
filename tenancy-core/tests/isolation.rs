//! A tenant sees and writes its own rows, and nothing else.

use tenancy_core::{ErrorKind, TenantCtx, migrate::CORE, testing};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A host's own table with one row for each of two tenants.
async fn two_tenants() -> Result<(Db, TenantCtx, TenantCtx)> {
    let db = Db::new(&[&CORE]).await?;
    sqlx::raw_sql(
        "CREATE TABLE public.notes (tenant_id uuid NOT NULL, id int NOT NULL, body text, PRIMARY KEY (tenant_id, id));
         SELECT tenancy.protect_table('public.notes');",
    )
    .execute(db.operator.pool())
    .await?;
    let (a, b) = (
        testing::tenant(&db.app).await?,
        testing::tenant(&db.app).await?,
    );
    for ctx in [&a, &b] {
        let mut tx = db.app.write(ctx).await?;
        sqlx::query("INSERT INTO public.notes VALUES ($1, 1, 'mine')")
            .bind(ctx.tenant())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
    }
    Ok((db, a, b))
}

async fn visible(db: &Db, ctx: &TenantCtx) -> Result<Vec<uuid::Uuid>> {
    let mut tx = db.app.read(ctx).await?;
    Ok(sqlx::query_scalar("SELECT tenant_id FROM public.notes")
        .fetch_all(&mut *tx)
        .await?)
}

#[tokio::test]
async fn a_query_that_forgets_the_tenant_sees_its_own_rows_only() -> Result {
    let (db, a, b) = two_tenants().await?;
    assert_eq!(visible(&db, &a).await?, [a.tenant().as_uuid()]);
    assert_eq!(visible(&db, &b).await?, [b.tenant().as_uuid()]);

    // The planted fault: without the policies the same query shows everything.
    let superuser = db.superuser().await?;
    sqlx::raw_sql("ALTER TABLE public.notes DISABLE ROW LEVEL SECURITY")
        .execute(&superuser)
        .await?;
    assert_eq!(visible(&db, &a).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_tenant_writes_no_row_of_another() -> Result {
    let (db, a, b) = two_tenants().await?;
    let mut tx = db.app.write(&a).await?;
    for statement in [
        "UPDATE public.notes SET body = 'stolen' WHERE tenant_id = $1",
        "DELETE FROM public.notes WHERE tenant_id = $1",
    ] {
        let done = sqlx::query(statement)
            .bind(b.tenant())
            .execute(&mut *tx)
            .await?;
        assert_eq!(done.rows_affected(), 0, "{statement}");
    }
    tx.rollback().await?;
    for statement in [
        "INSERT INTO public.notes VALUES ($1, 2, 'planted')",
        "INSERT INTO public.notes VALUES ($1, 1, 'planted') ON CONFLICT (tenant_id, id) DO UPDATE SET body = 'stolen'",
        "UPDATE public.notes SET tenant_id = $1",
    ] {
        let mut tx = db.app.write(&a).await?;
        let refused = sqlx::query(statement)
            .bind(b.tenant())
            .execute(&mut *tx)
            .await
            .unwrap_err();
        let code = refused
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .unwrap_or_default()
            .into_owned();
        assert_eq!(code, "42501", "{statement}");
    }
    assert!(
        sqlx::raw_sql("TRUNCATE public.notes")
            .execute(&mut *db.app.write(&a).await?)
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn no_context_means_no_rows_and_no_writes() -> Result {
    let (db, a, _) = two_tenants().await?;
    let pool = db.app.without_tenant();
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM public.notes")
        .fetch_one(pool)
        .await?;
    assert_eq!(seen, 0);
    let write = sqlx::query("INSERT INTO public.notes VALUES ($1, 9, 'x')").bind(a.tenant());
    assert!(write.execute(pool).await.is_err());
    Ok(())
}

#[tokio::test]
async fn the_app_role_writes_tenants_and_members_only_through_functions() -> Result {
    let (db, a, _) = two_tenants().await?;
    for statement in [
        "UPDATE tenancy.tenants SET status = 'active'",
        "INSERT INTO tenancy.memberships (tenant_id, user_id, is_owner) VALUES (util.current_tenant(), gen_random_uuid(), true)",
        "DELETE FROM tenancy.tenant_epoch",
        "SELECT token_hash FROM tenancy.invitation_tokens",
        "SELECT tenancy.admit_definer('public.notes')",
    ] {
        let mut tx = db.app.write(&a).await?;
        let refused = sqlx::raw_sql(statement).execute(&mut *tx).await;
        assert!(refused.is_err(), "{statement}");
    }
    Ok(())
}

#[tokio::test]
async fn a_read_only_transaction_refuses_writes() -> Result {
    let (db, a, _) = two_tenants().await?;
    let mut tx = db.app.read(&a).await?;
    assert!(
        sqlx::query("DELETE FROM public.notes")
            .execute(&mut *tx)
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn logins_that_row_level_security_does_not_bind_are_refused() -> Result {
    let (db, ..) = two_tenants().await?;
    for url in [
        db.server.superuser_url()?,
        db.server.operator_url(),
        db.server.worker_url(),
    ] {
        let refused = tenancy_core::TenantDb::connect(url).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Misconfigured, "{refused}");
        assert!(refused.to_string().contains("login `"), "{refused}");
    }
    for url in [db.server.superuser_url()?, db.server.app_url()] {
        assert!(tenancy_core::WorkerDb::connect(url).await.is_err());
    }
    Ok(())
}

#[tokio::test]
async fn protecting_a_table_twice_changes_nothing_and_a_table_without_the_column_is_refused()
-> Result {
    let (db, a, _) = two_tenants().await?;
    let again = "SELECT tenancy.protect_table('public.notes')";
    sqlx::raw_sql(again).execute(db.operator.pool()).await?;
    assert_eq!(visible(&db, &a).await?.len(), 1);

    sqlx::raw_sql("CREATE TABLE public.bare (id int)")
        .execute(db.operator.pool())
        .await?;
    let refused = sqlx::raw_sql("SELECT tenancy.protect_table('public.bare')")
        .execute(db.operator.pool())
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("no column tenant_id"),
        "{refused}"
    );
    Ok(())
}
