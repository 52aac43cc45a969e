//! What a tenant takes with it, and what is left of it.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use sqlx::PgPool;
use tenancy_core::{
    Error, ExportOptions, ExportSummary, Exports, Grace, HoldReference, NewTenant, NoRoles,
    OperatorDb, Permission, Platform, PurgeOptions, ServiceKey, Slug, TenantCtx, TenantDb,
    TenantId, TenantName, TenantStatus, Tenants, UserId,
    migrate::CORE,
    perm,
    testing::{self, FakeAuthorizer, MemoryAudit},
};
use tenancy_testkit::Db;
use tokio::io::AsyncReadExt as _;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const CHILD: &str = "TENANCY_CORE_TEST_PURGE";
const SERVICE: ServiceKey = ServiceKey::from_static("backoffice");
const HOST_TABLES: &str = "
    CREATE TABLE orders (tenant_id uuid NOT NULL, id bigint NOT NULL, \"Note\" text, at timestamptz DEFAULT '2026-01-02 03:04:05+06',
        PRIMARY KEY (tenant_id, id));
    CREATE TABLE order_lines (tenant_id uuid NOT NULL, id bigint NOT NULL, order_id bigint NOT NULL, PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id));
    CREATE TABLE folders (tenant_id uuid NOT NULL, id bigint NOT NULL, parent bigint, PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, parent) REFERENCES folders (tenant_id, id));
    CREATE TABLE visits (tenant_id uuid NOT NULL, id bigint NOT NULL, PRIMARY KEY (tenant_id, id)) PARTITION BY RANGE (id);
    CREATE TABLE visits_low PARTITION OF visits FOR VALUES FROM (0) TO (500);
    CREATE TABLE visits_high PARTITION OF visits FOR VALUES FROM (500) TO (100000000);
    CREATE TABLE journal (tenant_id uuid NOT NULL, line text, said json);
    SELECT tenancy.protect_table('orders'), tenancy.protect_table('order_lines'), tenancy.protect_table('folders'),
        tenancy.protect_table('visits'), tenancy.protect_table('journal', '{select,insert}');";
const TABLES: [&str; 5] = ["orders", "order_lines", "folders", "visits", "journal"];

struct Host {
    kit: Db,
    exports: Exports,
    platform: Platform,
    audit: MemoryAudit,
    superuser: PgPool,
    a: TenantCtx,
    b: TenantCtx,
}

/// Two tenants whose rows lie between each other's: `rows` in each of the host's tables.
async fn host(rows: i64) -> Result<Host> {
    let kit = Db::new(&[&CORE]).await?;
    sqlx::raw_sql(HOST_TABLES)
        .execute(kit.operator.pool())
        .await?;
    let (audit, authz) = (MemoryAudit::new(), FakeAuthorizer::new());
    let sink = Arc::new(audit.clone());
    let (a, b) = (
        testing::tenant(&kit.app).await?,
        testing::tenant(&kit.app).await?,
    );
    authz.grant(&a, perm::TenantExport::KEY);
    let superuser = kit.superuser().await?;
    for statement in [
        "INSERT INTO orders SELECT t, i, 'note ' || i FROM generate_series(1, $1) i, unnest($2) t",
        "INSERT INTO order_lines SELECT t, i, i FROM generate_series(1, $1) i, unnest($2) t",
        "INSERT INTO folders SELECT t, i, nullif(i / 2, 0) FROM generate_series(1, $1) i, unnest($2) t",
        "INSERT INTO visits SELECT t, i FROM generate_series(1, $1) i, unnest($2) t",
        "INSERT INTO journal SELECT t, 'line ' || i, E'[\\n{\"table\":\"tenancy.memberships\"}\\r\\n]' FROM generate_series(1, $1) i, unnest($2) t",
    ] {
        sqlx::query(statement)
            .bind(rows)
            .bind([a.tenant(), b.tenant()].map(TenantId::as_uuid).to_vec())
            .execute(&superuser)
            .await?;
    }
    Ok(Host {
        exports: Exports::new(kit.operator.clone(), Arc::new(authz), sink.clone()),
        platform: Platform::new(kit.app.clone(), SERVICE, sink),
        kit,
        audit,
        superuser,
        a,
        b,
    })
}

impl Host {
    /// How many rows of a tenant there are in the host's tables.
    async fn left(&self, tenant: TenantId) -> Result<Vec<i64>> {
        let mut left = Vec::new();
        for table in TABLES {
            let sql = format!("SELECT count(*) FROM {table} WHERE tenant_id = $1");
            let count = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .bind(tenant)
                .fetch_one(&self.superuser)
                .await?;
            left.push(count);
        }
        Ok(left)
    }

    async fn purge(&self, options: &PurgeOptions) -> std::result::Result<u64, Error> {
        let tenant = self.a.tenant();
        let purged = self
            .platform
            .purge(&self.kit.operator, tenant, options)
            .await;
        purged.map(|certificate| certificate.total())
    }

    async fn doom(&self, grace: Grace) -> Result {
        Ok(self
            .platform
            .schedule_deletion(self.a.tenant(), grace)
            .await?)
    }
}

fn code<T: std::fmt::Debug>(result: std::result::Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

fn lines(export: &[u8]) -> Vec<serde_json::Value> {
    let lines: Vec<serde_json::Value> = export
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap_or_default())
        .collect();
    assert!(lines.iter().all(serde_json::Value::is_object));
    lines
}

/// What a newcomer is told who wants this slug.
async fn claim(host: &Host, slug: &str) -> Result<&'static str> {
    let new = NewTenant::new(Slug::parse(slug)?, TenantName::parse("x")?, UserId::new());
    let tenants = Tenants::new(
        host.kit.app.clone(),
        Arc::new(FakeAuthorizer::new()),
        Arc::new(NoRoles::new()),
        Arc::new(MemoryAudit::new()),
    );
    Ok(code(tenants.create(new).await))
}

#[tokio::test]
async fn an_export_is_one_snapshot_of_one_tenant_whatever_happens_meanwhile() -> Result {
    let host = host(700).await?;
    let (mut near, mut far) = tokio::io::duplex(64);
    let (exports, a) = (host.exports.clone(), host.a.clone());
    let exporting = tokio::spawn(async move { exports.export(&a, &mut near).await });
    // The first byte comes after the snapshot was taken, and the pipe holds 64 of them.
    let mut export = vec![far.read_u8().await?];
    for table in TABLES {
        let change = format!("DELETE FROM {table} WHERE tenant_id = $1");
        if table != "orders" {
            sqlx::query(sqlx::AssertSqlSafe(change))
                .bind(host.a.tenant())
                .execute(&host.superuser)
                .await?;
        }
    }
    sqlx::query("UPDATE orders SET \"Note\" = 'changed' WHERE tenant_id = $1")
        .bind(host.a.tenant())
        .execute(&host.superuser)
        .await?;
    sqlx::query("INSERT INTO visits SELECT $1, i FROM generate_series(10000, 10100) i")
        .bind(host.a.tenant())
        .execute(&host.superuser)
        .await?;
    far.read_to_end(&mut export).await?;
    let summary = exporting.await??;

    assert_eq!(ExportSummary::check(export.as_slice())?, summary);
    for table in TABLES {
        assert_eq!(summary.rows[&format!("public.{table}")], 700, "{table}");
    }
    assert_eq!(summary.rows["tenancy.memberships"], 1);
    assert_eq!(summary.rows["tenancy.tenants"], 1);
    let text = String::from_utf8(export.clone())?;
    assert!(!text.contains("changed"));
    assert!(
        !text.contains(&host.b.tenant().to_string()),
        "rows of another tenant"
    );
    assert!(!text.contains(&host.b.user().unwrap().to_string()));

    let all = lines(&export);
    assert_eq!(all[0]["format"], ExportSummary::FORMAT);
    assert_eq!(u64::try_from(all.len())?, summary.total() + 2);
    let ids: Vec<_> = all
        .iter()
        .filter(|line| line["table"] == "public.orders" && line["row"].is_object())
        .map(|line| line["row"]["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, (1..=700).collect::<Vec<_>>());
    assert!(
        text.contains("2026-01-01T21:04:05+00:00"),
        "times are written in UTC"
    );
    let entries = host.audit.of("tenant.exported");
    assert_eq!(entries[0].event.meta["sha256"], summary.sha256);
    assert_eq!(host.audit.of("tenant.export_started").len(), 1);
    Ok(())
}

#[tokio::test]
async fn two_exports_of_the_same_rows_are_equal_and_damage_is_found() -> Result {
    let host = host(50).await?;
    let (mut one, mut two) = (Vec::new(), Vec::new());
    host.exports.export(&host.a, &mut one).await?;
    host.exports.export(&host.a, &mut two).await?;
    let rows = |export: &[u8]| -> Vec<String> {
        let all = lines(export);
        all[1..all.len() - 1]
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(rows(&one), rows(&two));

    let last = one[..one.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap();
    for cut in [0, 1, one.len() / 2, last + 1, one.len() - 1] {
        assert_eq!(
            code(ExportSummary::check(&one[..cut])),
            "export_incomplete",
            "{cut}"
        );
    }
    let text = String::from_utf8(one)?.replacen("note 7\"", "note 8\"", 1);
    assert_eq!(
        code(ExportSummary::check(text.as_bytes())),
        "export_damaged"
    );
    Ok(())
}

#[tokio::test]
async fn an_export_leaves_out_what_it_says_and_nothing_silently() -> Result {
    let host = host(3).await?;
    let options = ExportOptions::default()
        .without("public.orders", Some("Note"), "of no use")
        .without("public.journal", None, "too long");
    let mut out = Vec::new();
    let exports = host.exports.clone().with_options(options);
    let summary = exports.export(&host.a, &mut out).await?;
    assert!(!String::from_utf8(out.clone())?.contains("note 1"));
    assert_eq!(summary.rows.get("public.journal"), None);
    let manifest = &lines(&out)[0];
    let omitted = |table: &str| -> usize {
        let tables = manifest["tables"].as_array().unwrap();
        let found = tables.iter().find(|part| part["table"] == table).unwrap();
        found["omitted"].as_array().unwrap().len()
    };
    assert_eq!(
        (omitted("public.orders"), omitted("public.journal")),
        (1, 3)
    );
    assert!(omitted("tenancy.invitation_tokens") > 2);
    assert_eq!(summary.rows.get("tenancy.invitation_tokens"), None);

    sqlx::raw_sql("CREATE TABLE forgotten (tenant_id uuid NOT NULL, id int)")
        .execute(host.kit.operator.pool())
        .await?;
    sqlx::raw_sql("ALTER TABLE forgotten ENABLE ROW LEVEL SECURITY")
        .execute(host.kit.operator.pool())
        .await?;
    let refused = host.exports.export(&host.a, &mut Vec::new()).await;
    assert_eq!(code(refused), "table_not_protected");
    host.doom(Grace::NONE).await?;
    assert_eq!(
        code(host.purge(&PurgeOptions::default()).await),
        "table_not_protected"
    );

    let denied = host.exports.export(&host.b, &mut Vec::new()).await;
    assert_eq!(code(denied), "permission_denied");
    Ok(())
}

#[tokio::test]
async fn a_hundred_thousand_rows_flow_through_a_small_pipe() -> Result {
    let host = host(20_000).await?;
    let (mut near, mut far) = tokio::io::duplex(4 * 1024);
    let (exports, a) = (host.exports.clone(), host.a.clone());
    let exporting = tokio::spawn(async move { exports.export(&a, &mut near).await });
    let (mut bytes, mut piece) = (0_u64, vec![0; 64 * 1024]);
    loop {
        match far.read(&mut piece).await? {
            0 => break,
            read => bytes += read as u64,
        }
    }
    let summary = exporting.await??;
    assert!(summary.total() > 100_000 && bytes > summary.bytes && summary.bytes > 5_000_000);
    Ok(())
}

#[tokio::test]
async fn a_purge_waits_for_its_time_and_for_holds() -> Result {
    let host = host(5).await?;
    let at_once = PurgeOptions::default().with_force(true);
    assert_eq!(code(host.purge(&at_once).await), "deletion_not_scheduled");
    host.doom(Grace::default()).await?;
    assert_eq!(
        code(host.purge(&PurgeOptions::default()).await),
        "grace_not_over"
    );
    let case = HoldReference::parse("case 7")?;
    host.platform.hold(host.a.tenant(), &case).await?;
    assert_eq!(code(host.purge(&at_once).await), "legal_hold");
    assert_eq!(host.left(host.a.tenant()).await?, [5; 5]);
    assert_eq!(
        host.platform.state(host.a.tenant()).await?.status,
        TenantStatus::Deleting
    );

    host.platform.release(host.a.tenant(), &case).await?;
    host.purge(&at_once).await?;
    assert_eq!(host.left(host.a.tenant()).await?, [0; 5]);
    Ok(())
}

#[tokio::test]
async fn a_purge_takes_everything_of_one_tenant_and_leaves_a_tombstone_and_a_certificate() -> Result
{
    let host = host(1_200).await?;
    let (a, b) = (host.a.tenant(), host.b.tenant());
    let owner = host.a.user().unwrap();
    let mut before = Vec::new();
    host.platform
        .export(
            &host.kit.operator,
            b,
            &ExportOptions::default(),
            &mut before,
        )
        .await?;
    let slug: String =
        sqlx::query_scalar("SELECT slug FROM tenancy.tenant_slugs WHERE tenant_id = $1")
            .bind(a)
            .fetch_one(&host.superuser)
            .await?;
    host.doom(Grace::NONE).await?;
    let options = PurgeOptions::default().with_batch(100);
    let certificate = host.platform.purge(&host.kit.operator, a, &options).await?;

    for table in TABLES {
        assert_eq!(
            certificate.rows[&format!("public.{table}")],
            1_200,
            "{table}"
        );
    }
    assert_eq!(
        (certificate.forced, certificate.started_by.as_str()),
        (false, "backoffice")
    );
    assert_eq!(host.left(a).await?, [0; 5]);
    assert_eq!(host.left(b).await?, [1_200; 5]);
    let mut after = Vec::new();
    host.platform
        .export(&host.kit.operator, b, &ExportOptions::default(), &mut after)
        .await?;
    let rows = |export: &[u8]| lines(export).split_off(1).split_last().unwrap().1.to_vec();
    assert_eq!(rows(&before), rows(&after));

    let (status, name): (String, String) =
        sqlx::query_as("SELECT status, name FROM tenancy.tenants WHERE id = $1")
            .bind(a)
            .fetch_one(&host.superuser)
            .await?;
    assert_eq!((status.as_str(), name.as_str()), ("deleted", "deleted"));
    assert_eq!(code(host.kit.app.enter(a, owner).await), "not_a_member");
    let members: i64 =
        sqlx::query_scalar("SELECT count(*) FROM tenancy.memberships WHERE tenant_id = $1")
            .bind(a)
            .fetch_one(&host.superuser)
            .await?;
    assert_eq!(members, 0);
    // Its address is nobody else's yet.
    assert_eq!(claim(&host, &slug).await?, "slug_taken");

    let entry = &host.audit.of("tenant.purged")[0];
    assert_eq!(entry.event.meta["rows"], certificate.total());
    // Again: the same paper, and no second entry.
    let again = host.platform.purge(&host.kit.operator, a, &options).await?;
    assert_eq!(again, certificate);
    assert_eq!(host.audit.of("tenant.purged").len(), 1);
    assert_eq!(host.audit.of("tenant.purge_started").len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_purge_that_is_killed_goes_on_and_a_hold_stops_it_between_two_batches() -> Result {
    let host = host(2_000).await?;
    host.doom(Grace::NONE).await?;
    let order = serde_json::json!({
        "app": host.kit.server.app_url(),
        "operator": host.kit.server.operator_url(),
        "tenant": host.a.tenant(),
    });
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", "a_child_purges_slowly", "--nocapture"])
        .env(CHILD, order.to_string())
        .stdout(Stdio::null())
        .spawn()?;
    while host.left(host.a.tenant()).await?.iter().sum::<i64>() > 9_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // SIGKILL: no destructor runs.
    child.kill()?;
    child.wait()?;
    let left: i64 = host.left(host.a.tenant()).await?.iter().sum();
    assert!(left > 0 && left < 10_000, "{left}");
    assert_eq!(
        code(host.platform.cancel_deletion(host.a.tenant()).await),
        "transition_refused"
    );

    let case = HoldReference::parse("case 7")?;
    host.platform.hold(host.a.tenant(), &case).await?;
    let slowly = PurgeOptions::default().with_batch(50);
    assert_eq!(code(host.purge(&slowly).await), "legal_hold");
    // The row's lock decides in the middle of a batch, too: nothing is removed past the hold.
    host.platform.release(host.a.tenant(), &case).await?;
    let pausing = slowly.clone().with_pause(Duration::from_millis(20));
    let (stopped, held) = tokio::join!(host.purge(&pausing), async {
        tokio::time::sleep(Duration::from_millis(120)).await;
        host.platform.hold(host.a.tenant(), &case).await
    });
    assert!(held?);
    assert_eq!(code(stopped), "legal_hold");
    let kept: i64 = host.left(host.a.tenant()).await?.iter().sum();
    assert!(kept > 0, "the hold came too late to be tested");

    host.platform.release(host.a.tenant(), &case).await?;
    let certificate = host
        .platform
        .purge(&host.kit.operator, host.a.tenant(), &slowly)
        .await?;
    for table in TABLES {
        assert_eq!(
            certificate.rows[&format!("public.{table}")],
            2_000,
            "{table}"
        );
    }
    assert_eq!(host.left(host.b.tenant()).await?, [2_000; 5]);
    Ok(())
}

/// What the killed process does; nothing when it runs as a test.
#[tokio::test]
async fn a_child_purges_slowly() -> Result {
    let Ok(order) = std::env::var(CHILD) else {
        return Ok(());
    };
    let order: serde_json::Value = serde_json::from_str(&order)?;
    let text = |name: &str| order[name].as_str().unwrap_or_default();
    let app = TenantDb::connect(text("app")).await?;
    let operator = OperatorDb::connect(text("operator")).await?;
    let platform = Platform::new(app, SERVICE, Arc::new(MemoryAudit::new()));
    let options = PurgeOptions::default()
        .with_batch(50)
        .with_pause(Duration::from_millis(10));
    platform
        .purge(&operator, text("tenant").parse()?, &options)
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_owner_sees_nothing_without_a_tenant_and_one_tenant_with_it() -> Result {
    let host = host(10).await?;
    let mut tx = host.kit.operator.owner().await?;
    for table in ["orders", "tenancy.memberships", "tenancy.tenants"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let seen: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(seen, 0, "{table}");
    }
    sqlx::query("SELECT set_config('tenancy.tenant_id', $1, true)")
        .bind(host.a.tenant().to_string())
        .execute(&mut *tx)
        .await?;
    let gone = sqlx::query("DELETE FROM order_lines")
        .execute(&mut *tx)
        .await?;
    assert_eq!(gone.rows_affected(), 10);
    Ok(())
}
