//! Every statement can be prepared by the role that runs it.

use std::path::Path;

use crate::support::House;

#[tokio::test]
async fn every_statement_prepares_as_the_role_that_runs_it() {
    let house = House::new().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres/sql");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let sql: &'static str = std::fs::read_to_string(&path).unwrap().leak();
        let pool = match sql.lines().next() {
            Some("-- role: app") => house.db.app.without_tenant(),
            Some("-- role: worker") => house.db.worker.pool(),
            Some("-- role: operator (tenancy_owner)") => house.db.operator.pool(),
            other => panic!("{}: {other:?} names no role", path.display()),
        };
        let prepare: &'static str = format!("PREPARE statement AS {sql}").leak();
        let mut conn = pool.acquire().await.unwrap();
        let prepared = sqlx::raw_sql(prepare).execute(&mut *conn).await;
        assert!(prepared.is_ok(), "{}: {prepared:?}", path.display());
        sqlx::raw_sql("DEALLOCATE statement")
            .execute(&mut *conn)
            .await
            .unwrap();
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

#[tokio::test]
async fn filters_use_their_indexes_under_row_level_security() {
    let house = House::new().await;
    sqlx::raw_sql(
        "INSERT INTO tenancy.audit_logs (tenant_id, id, actor_kind, actor_id, action, resource, outcome, request_id, schema_version, content_hash)
         SELECT t.id,
                (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' || substr(md5(n::text), 1, 15))::uuid,
                'user', md5((n % 500)::text), 'thing.a' || (n % 400), 'thing:' || (n % 3000),
                CASE WHEN n % 500 = 0 THEN 'denied' ELSE 'allowed' END, md5((n / 3)::text)::uuid, 1, sha256('x')
         FROM tenancy.tenants t, generate_series(1, 20000) n;
         ANALYZE tenancy.audit_logs;",
    )
    .execute(&house.superuser().await)
    .await
    .unwrap();
    let search = include_str!("../../src/postgres/sql/search.sql");
    let month = chrono::Utc::now().format("audit_logs_y%Ym%m").to_string();
    let all = ["NULL"; 10];
    for (at, value, column) in [
        (1, "'cfcd208495d565ef66e7dff9f98764da'", "actor_id"),
        (2, "'thing.a7'", "action"),
        (5, "'thing:7'", "resource"),
        (8, "'denied'", "outcome"),
        (9, "'cfcd2084-95d5-65ef-66e7-dff9f98764da'", "request_id"),
    ] {
        let mut values = all;
        values[at] = value;
        let arguments = format!(
            "util.current_tenant(), '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', {}, 51, {REST}",
            values.join(", ")
        );
        let plan = plan_of(&house, search, &arguments).await;
        assert!(
            !plan.contains(&format!("Seq Scan on {month}")),
            "{column}: {plan}"
        );
        assert!(
            plan.contains(&format!("{month}_tenant_id_{column}")),
            "{column}: {plan}"
        );
    }
    let plan = plan_of(
        &house,
        search,
        &format!("util.current_tenant(), '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', {}, 51, {REST}", all.join(", ")),
    )
    .await;
    assert!(
        plan.contains("_pkey") && !plan.contains("->  Sort"),
        "a plain page walks the key: {plan}"
    );
    let oldest = plan_of(
        &house,
        search,
        &format!(
            "util.current_tenant(), '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', {}, 51, {}",
            all.join(", "),
            REST.replace("true", "false")
        ),
    )
    .await;
    assert!(
        plan.contains("Index Scan Backward") && !oldest.contains("Backward"),
        "{oldest}"
    );
    assert!(
        oldest.contains("_pkey") && !oldest.contains("->  Sort"),
        "in either order: {oldest}"
    );

    // A range of time leaves out the partitions of the other months.
    let months = plan.matches(" on audit_logs_y").count();
    let floor = |millis: i64| uuid::Uuid::from_u128(u128::from(millis.unsigned_abs()) << 80);
    let now = chrono::Utc::now().timestamp_millis();
    let arguments = format!(
        "util.current_tenant(), '{}', '{}', {}, 51, {REST}",
        floor(now - 1_000),
        floor(now),
        all.join(", ")
    );
    let pruned = plan_of(&house, search, &arguments).await;
    assert!(months > 12, "{plan}");
    assert!(
        (1..=2).contains(&pruned.matches(" on audit_logs_y").count()),
        "{pruned}"
    );

    let nobody = "'00000000-0000-0000-0000-000000000000'";
    let arguments = format!(
        "util.current_tenant(), '9999999999:9999999999:', '10000000000:10000000000:', '0', {nobody}, '10000000000', {nobody}, 500"
    );
    let plan = plan_as(
        &house,
        "uuid, text, text, text, uuid, text, uuid, bigint",
        include_str!("../../src/postgres/sql/follow.sql"),
        &arguments,
    )
    .await;
    assert!(
        plan.contains(&format!("{month}_txid_tenant_id_id_idx"))
            && !plan.contains(&format!("Seq Scan on {month}")),
        "a tail reads what is new: {plan}"
    );
}

/// No filter without an index.
const REST: &str = "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true";

/// The plan of a search for these values, as the app role in a tenant's context.
async fn plan_of(house: &House, sql: &str, arguments: &str) -> String {
    let types = "uuid, uuid, uuid, text, text, text, text, text, text, text, text, text, uuid, bigint, text, jsonb, text, \
                 text[], text[], text[], text[], jsonb[], text[], uuid[], text[], text[], boolean";
    plan_as(house, types, sql, arguments).await
}

async fn plan_as(house: &House, types: &str, sql: &str, arguments: &str) -> String {
    let prepare: &'static str = format!("PREPARE search ({types}) AS {sql}").leak();
    let tenant = house.a.tenant();
    let explain: &'static str = format!(
        "EXPLAIN EXECUTE search ({})",
        arguments.replace("util.current_tenant()", &format!("'{tenant}'"))
    )
    .leak();
    let mut tx = house.db.app.read(&house.a).await.unwrap();
    sqlx::raw_sql(prepare).execute(&mut *tx).await.unwrap();
    let lines: Vec<String> = sqlx::query_scalar(explain)
        .persistent(false)
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    sqlx::raw_sql("DEALLOCATE search")
        .execute(&mut *tx)
        .await
        .unwrap();
    lines.join("\n")
}
