//! Purges and exports where it gets difficult: rows that hold each other, rows that come late, readers
//! that take nothing.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tenancy_core::{
    DeletionCertificate, Error, ErrorKind, ExportOptions, Grace, Platform, PurgeOptions,
    ServiceKey, TenantCtx, TenantId, TenantStatus,
    migrate::CORE,
    testing::{self, MemoryAudit},
};
use tenancy_testkit::Db;
use tokio::io::AsyncReadExt as _;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SERVICE: ServiceKey = ServiceKey::from_static("backoffice");

/// How large the largest single removal from each table was.
const WATCHED: &str = "
    CREATE TABLE removals (name text PRIMARY KEY, largest bigint NOT NULL);
    CREATE FUNCTION note_removal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO public.removals SELECT TG_TABLE_NAME, count(*) FROM gone
        ON CONFLICT (name) DO UPDATE SET largest = greatest(public.removals.largest, excluded.largest);
        RETURN NULL; END $$;
    CREATE TRIGGER watched AFTER DELETE ON folders REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION note_removal();";

struct Host {
    kit: Db,
    platform: Platform,
    audit: MemoryAudit,
    superuser: PgPool,
    a: TenantCtx,
    b: TenantCtx,
}

async fn host(tables: &'static str) -> Result<Host> {
    let kit = Db::new(&[&CORE]).await?;
    sqlx::raw_sql(tables).execute(kit.operator.pool()).await?;
    let audit = MemoryAudit::new();
    Ok(Host {
        platform: Platform::new(kit.app.clone(), SERVICE, Arc::new(audit.clone())),
        superuser: kit.superuser().await?,
        a: testing::tenant(&kit.app).await?,
        b: testing::tenant(&kit.app).await?,
        audit,
        kit,
    })
}

impl Host {
    /// Runs a statement about the tenant `$1` with rows up to `$2`, for both tenants.
    async fn fill(&self, sql: &'static str, rows: i64) -> Result {
        for tenant in [self.a.tenant(), self.b.tenant()] {
            let mut tx = self.superuser.begin().await?;
            sqlx::raw_sql("SET CONSTRAINTS ALL DEFERRED")
                .execute(&mut *tx)
                .await?;
            sqlx::query(sql)
                .bind(tenant)
                .bind(rows)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn left(&self, table: &str, tenant: TenantId) -> Result<i64> {
        let sql = format!("SELECT count(*) FROM {table} WHERE tenant_id = $1");
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(tenant)
            .fetch_one(&self.superuser)
            .await?)
    }

    async fn purge(&self, batch: u16) -> std::result::Result<DeletionCertificate, Error> {
        let options = PurgeOptions::default().with_batch(batch);
        self.platform
            .purge(&self.kit.operator, self.a.tenant(), &options)
            .await
    }
}

fn code<T>(result: std::result::Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

const FOLDERS: &str = "
    CREATE TABLE folders (tenant_id uuid NOT NULL, id bigint NOT NULL, parent bigint, PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, parent) REFERENCES folders (tenant_id, id) DEFERRABLE);
    CREATE INDEX ON folders (tenant_id, parent);
    SELECT tenancy.protect_table('folders');";

#[tokio::test]
async fn a_table_that_refers_to_itself_goes_in_batches_too() -> Result {
    let host = host(FOLDERS).await?;
    sqlx::raw_sql(WATCHED).execute(&host.superuser).await?;
    host.fill(
        "INSERT INTO folders SELECT $1, i, nullif(i / 2, 0) FROM generate_series(1, $2) i",
        1_000,
    )
    .await?;
    host.platform
        .schedule_deletion(host.a.tenant(), Grace::NONE)
        .await?;
    let certificate = host.purge(64).await?;
    assert_eq!(certificate.rows["public.folders"], 1_000);
    let largest: i64 = sqlx::query_scalar("SELECT largest FROM removals WHERE name = 'folders'")
        .fetch_one(&host.superuser)
        .await?;
    assert!(largest <= 64, "{largest} rows in one transaction");
    assert_eq!(host.left("folders", host.b.tenant()).await?, 1_000);
    Ok(())
}

#[tokio::test]
async fn a_chain_that_is_too_deep_and_a_ring_go_all_the_same() -> Result {
    let host = host(FOLDERS).await?;
    host.fill(
        "INSERT INTO folders SELECT $1, i, nullif(i - 1, 0) FROM generate_series(1, $2) i
         UNION ALL SELECT $1, -i, -1 - i % 5 FROM generate_series(1, 5) i
         UNION ALL VALUES ($1, 0, 0)",
        300,
    )
    .await?;
    host.platform
        .schedule_deletion(host.a.tenant(), Grace::NONE)
        .await?;
    assert_eq!(host.purge(50).await?.rows["public.folders"], 306);
    assert_eq!(host.left("folders", host.a.tenant()).await?, 0);
    assert_eq!(host.left("folders", host.b.tenant()).await?, 306);
    Ok(())
}

#[tokio::test]
async fn tables_that_refer_to_each_other_go_and_who_refers_to_them_before() -> Result {
    let host = host(
        "CREATE TABLE firms (tenant_id uuid NOT NULL, id bigint NOT NULL, contact bigint, PRIMARY KEY (tenant_id, id));
         CREATE TABLE contacts (tenant_id uuid NOT NULL, id bigint NOT NULL, firm bigint NOT NULL, PRIMARY KEY (tenant_id, id),
            FOREIGN KEY (tenant_id, firm) REFERENCES firms (tenant_id, id) ON DELETE RESTRICT);
         ALTER TABLE firms ADD FOREIGN KEY (tenant_id, contact) REFERENCES contacts (tenant_id, id) DEFERRABLE;
         CREATE TABLE calls (tenant_id uuid NOT NULL, id bigint NOT NULL, contact bigint NOT NULL, PRIMARY KEY (tenant_id, id),
            FOREIGN KEY (tenant_id, contact) REFERENCES contacts (tenant_id, id));
         SELECT tenancy.protect_table('firms'), tenancy.protect_table('contacts'), tenancy.protect_table('calls');",
    )
    .await?;
    // Every second firm has a main contact, who is one of its own.
    host.fill(
        "WITH f AS (INSERT INTO firms SELECT $1, i, CASE WHEN i % 2 = 0 THEN i END FROM generate_series(1, $2) i),
            c AS (INSERT INTO contacts SELECT $1, i, i FROM generate_series(1, $2) i)
         INSERT INTO calls SELECT $1, i, i FROM generate_series(1, $2) i",
        200,
    )
    .await?;
    host.platform
        .schedule_deletion(host.a.tenant(), Grace::NONE)
        .await?;
    let certificate = host.purge(30).await?;
    for table in ["firms", "contacts", "calls"] {
        assert_eq!(certificate.rows[&format!("public.{table}")], 200, "{table}");
        assert_eq!(host.left(table, host.a.tenant()).await?, 0, "{table}");
        assert_eq!(host.left(table, host.b.tenant()).await?, 200, "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn rows_written_with_an_old_context_go_with_the_next_purge() -> Result {
    let host = host(FOLDERS).await?;
    host.fill(
        "INSERT INTO folders SELECT $1, i FROM generate_series(1, $2) i",
        10,
    )
    .await?;
    host.platform
        .schedule_deletion(host.a.tenant(), Grace::NONE)
        .await?;
    assert_eq!(host.purge(100).await?.rows["public.folders"], 10);
    // A task that kept its context: the tenant is gone, and the database has no reason to refuse.
    let mut tx = host.kit.app.write(&host.a).await?;
    sqlx::query("INSERT INTO folders VALUES ($1, 11)")
        .bind(host.a.tenant())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let certificate = host.purge(100).await?;
    assert_eq!(certificate.rows["public.folders"], 11);
    assert_eq!(host.left("folders", host.a.tenant()).await?, 0);
    assert_eq!(
        host.audit.of("tenant.purged").len(),
        2,
        "both are on record"
    );
    assert_eq!(
        host.platform.state(host.a.tenant()).await?.status,
        TenantStatus::Deleted
    );
    host.purge(100).await?;
    assert_eq!(host.audit.of("tenant.purged").len(), 2, "nothing was left");
    Ok(())
}

#[tokio::test]
async fn what_the_app_has_lost_is_still_purged_and_an_export_says_that_it_is_left_out() -> Result {
    let host = host(FOLDERS).await?;
    host.fill(
        "INSERT INTO folders SELECT $1, i FROM generate_series(1, $2) i",
        7,
    )
    .await?;
    sqlx::raw_sql("SELECT tenancy.unprotect_table('folders')")
        .execute(host.kit.operator.pool())
        .await?;
    let mut tx = host.kit.app.read(&host.a).await?;
    let refused = sqlx::query("SELECT FROM folders").execute(&mut *tx).await;
    assert!(refused.is_err(), "the app has lost it");
    drop(tx);
    let tenant = host.a.tenant();
    let (options, mut export) = (ExportOptions::default(), Vec::new());
    host.platform
        .export(&host.kit.operator, tenant, &options, &mut export)
        .await?;
    let manifest = export.split(|byte| *byte == b'\n').next();
    let manifest: serde_json::Value = serde_json::from_slice(manifest.unwrap_or_default())?;
    let tables = manifest["tables"]
        .as_array()
        .ok_or("the manifest lists tables")?;
    let folders = tables.iter().find(|part| part["table"] == "public.folders");
    let omitted = folders.and_then(|part| part["omitted"].as_array());
    assert_eq!(omitted.map(Vec::len), Some(3), "{folders:?}");
    host.platform.schedule_deletion(tenant, Grace::NONE).await?;
    assert_eq!(host.purge(100).await?.rows["public.folders"], 7);
    assert_eq!(host.left("folders", host.b.tenant()).await?, 7);
    Ok(())
}

#[tokio::test]
async fn a_reader_who_takes_nothing_holds_no_snapshot_for_ever() -> Result {
    let host = host(FOLDERS).await?;
    host.fill(
        "INSERT INTO folders SELECT $1, i FROM generate_series(1, $2) i",
        5_000,
    )
    .await?;
    let export = async |options: ExportOptions| {
        let (mut near, mut far) = tokio::io::duplex(1024);
        let reading = tokio::spawn(async move {
            let _ = far.read_u8().await;
            std::future::pending::<()>().await;
        });
        let exported = host
            .platform
            .export(&host.kit.operator, host.a.tenant(), &options, &mut near)
            .await;
        reading.abort();
        exported
    };
    let moment = Duration::from_millis(300);
    let stalled = export(ExportOptions::default().with_patience(moment)).await;
    let error = stalled.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "export_sink")
    );
    let slow = export(ExportOptions::default().with_time(moment)).await;
    assert_eq!(code(slow), "export_too_long");
    // The connections are back, and whole.
    for _ in 0..6 {
        host.platform
            .export(
                &host.kit.operator,
                host.a.tenant(),
                &ExportOptions::default(),
                &mut Vec::new(),
            )
            .await?;
    }
    Ok(())
}
