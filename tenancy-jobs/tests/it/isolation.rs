//! What a tenant can do to another tenant's jobs, and to the queue itself: nothing.

use serde_json::json;
use sqlx::error::DatabaseError;
use tenancy_core::{
    NewJob, PermissionKey, Principal, RequestId, ServiceKey, TenantCtx, testing::member,
};
use tenancy_jobs::{ErrorKind, JobQuery};

use crate::support::{House, KIND};

const TABLES: [&str; 5] = [
    "jobs",
    "job_keys",
    "job_progress",
    "job_dead",
    "job_history",
];

/// Leaves a row of tenant A in every table.
async fn fill(house: &House) {
    let job = NewJob::new(KIND, json!({"secret": 1})).with_idempotency_key("k");
    house.jobs.enqueue(&house.a, job).await.unwrap();
    house
        .plant(
            "INSERT INTO tenancy.job_progress SELECT tenant_id, id, 1, 2 FROM tenancy.jobs;
             INSERT INTO tenancy.job_dead
                SELECT tenant_id, id, request_id, enqueued_at, started_at, now(), 1, 1, 1, 0, 'failed', queue,
                       kind, NULL, payload, principal FROM tenancy.jobs;
             INSERT INTO tenancy.job_history
                SELECT tenant_id, id, request_id, enqueued_at, started_at, now(), 1, 1, 1, 1, 0, 'succeeded',
                       queue, kind, principal FROM tenancy.jobs;",
        )
        .await;
}

async fn count(house: &House, ctx: &TenantCtx, table: &str) -> i64 {
    let sql: &'static str = format!("SELECT count(*) FROM tenancy.{table}").leak();
    house.number(ctx, sql).await
}

/// The SQLSTATE of a statement that the app role is refused in a tenant's context.
async fn refused(house: &House, ctx: &TenantCtx, sql: &'static str) -> String {
    let mut tx = house.db.app.write(ctx).await.unwrap();
    let error = sqlx::raw_sql(sql).execute(&mut *tx).await.expect_err(sql);
    error
        .as_database_error()
        .and_then(DatabaseError::code)
        .unwrap_or_default()
        .into_owned()
}

#[tokio::test]
async fn no_row_of_another_tenant_is_seen_even_without_a_predicate() {
    let house = House::new().await;
    fill(&house).await;
    for table in TABLES {
        assert_eq!(count(&house, &house.a, table).await, 1, "{table}");
        assert_eq!(count(&house, &house.b, table).await, 0, "{table}");
    }
    let page = house
        .jobs
        .list(&house.b, &JobQuery::default())
        .await
        .unwrap();
    assert!(page.jobs.is_empty());
}

#[tokio::test]
async fn without_the_policies_the_same_look_succeeds() {
    let house = House::new().await;
    fill(&house).await;
    for table in TABLES {
        let fault = format!(
            "DROP POLICY tenant_select ON tenancy.{table}; CREATE POLICY tenant_select ON tenancy.{table} FOR SELECT USING (true)"
        );
        house.plant(fault.leak()).await;
        assert_eq!(count(&house, &house.b, table).await, 1, "{table}");
    }
}

#[tokio::test]
async fn the_app_role_can_neither_change_jobs_by_hand_nor_reach_across_tenants() {
    let house = House::new().await;
    fill(&house).await;
    for sql in [
        "UPDATE tenancy.jobs SET attempt = 0",
        "DELETE FROM tenancy.jobs",
        "DELETE FROM tenancy.job_history",
        "INSERT INTO tenancy.job_history SELECT * FROM tenancy.job_history",
        "SELECT * FROM tenancy.job_history_default",
        "SELECT * FROM tenancy.job_workers",
        "UPDATE tenancy.job_policies SET weight = 1000",
        "SELECT * FROM tenancy.jobs_claim(gen_random_uuid(), 'default', '{test.job}', NULL, 1)",
        "SELECT * FROM tenancy.jobs_take(gen_random_uuid(), 'default', '{test.job}', '{}', 1, 1)",
        "SELECT * FROM tenancy.jobs_sweep()",
        "SELECT * FROM tenancy.jobs_purge(0, 1)",
        "SELECT tenancy.job_worker_retire(gen_random_uuid())",
        "SELECT tenancy.job_policy_set(util.current_tenant(), 1000, NULL, false)",
        "SELECT * FROM tenancy.job_policy_get(util.current_tenant())",
        "SELECT tenancy.job_history_drop_before(CURRENT_DATE)",
        "INSERT INTO tenancy.jobs (tenant_id, id, worker_id) SELECT util.current_tenant(), gen_random_uuid(), gen_random_uuid()",
    ] {
        assert_eq!(refused(&house, &house.a, sql).await, "42501", "{sql}");
    }
    // A row for another tenant is refused by the policy, not by a privilege.
    let foreign =
        "INSERT INTO tenancy.job_keys SELECT gen_random_uuid(), sha256('x'), gen_random_uuid(), 1";
    assert_eq!(refused(&house, &house.a, foreign).await, "42501");
}

/// Enqueues by hand, as the app role, in another's name; whether it was refused.
async fn is_refused_in_the_name_of(
    house: &House,
    ctx: &TenantCtx,
    principal: &Principal,
    request: RequestId,
) -> bool {
    let mut tx = house.db.app.write(ctx).await.unwrap();
    let forged = sqlx::query(
        "INSERT INTO tenancy.jobs (tenant_id, id, request_id, run_at, timeout_ms, max_attempts, queue, kind, payload, principal)
         VALUES ($1, gen_random_uuid(), $2, now(), 1000, 1, 'default', 'test.job', '{}', $3)",
    )
    .bind(ctx.tenant())
    .bind(request)
    .bind(sqlx::types::Json(principal))
    .execute(&mut *tx)
    .await;
    match forged {
        Ok(_) => false,
        Err(error) => {
            let code = error.as_database_error().and_then(DatabaseError::code);
            assert_eq!(code.as_deref(), Some("42501"), "{error}");
            true
        }
    }
}

#[tokio::test]
async fn nobody_enqueues_in_another_members_name_or_with_more_rights() {
    let house = House::new().await;
    let other = member(&house.db.app, &house.a).await.unwrap();
    let service = |permissions: &[&'static str]| {
        let keys = permissions.iter().copied().map(PermissionKey::from_static);
        Principal::service(ServiceKey::from_static("importer"), keys.collect())
    };
    let tenant = house.a.tenant();
    let part = house.db.app.enter_as(tenant, service(&["leads.read"]));
    let part = part.await.unwrap();
    let more = service(&["leads.read", "jobs.manage"]);
    let acting = house
        .a
        .principal()
        .clone()
        .on_behalf_of(other.user().unwrap());
    let cases = [
        (&house.a, house.a.principal(), false),
        (&house.a, other.principal(), true),
        (&house.a, &acting, true),
        (&house.a, &more, true),
        (&part, &service(&["leads.read"]), false),
        (&part, &service(&[]), false),
        (&part, &more, true),
        (&part, house.a.principal(), true),
    ];
    for (ctx, principal, refused) in cases {
        let was = is_refused_in_the_name_of(&house, ctx, principal, ctx.request_id()).await;
        assert_eq!(was, refused, "{principal:?}");
    }
    let (mine, foreign) = (house.a.principal(), RequestId::new());
    assert!(is_refused_in_the_name_of(&house, &house.a, mine, foreign).await);

    // The planted fault: without the condition the forged job is stored.
    house
        .plant(
            "DROP POLICY tenant_insert ON tenancy.jobs;
             CREATE POLICY tenant_insert ON tenancy.jobs FOR INSERT TO tenancy_app
                 WITH CHECK (tenant_id = util.current_tenant())",
        )
        .await;
    let request = house.a.request_id();
    assert!(!is_refused_in_the_name_of(&house, &house.a, other.principal(), request).await);
}

#[tokio::test]
async fn the_worker_role_reaches_jobs_through_its_functions_only() {
    let house = House::new().await;
    fill(&house).await;
    for sql in [
        "SELECT * FROM tenancy.jobs",
        "SELECT * FROM tenancy.job_workers",
        "SELECT * FROM public.leads",
    ] {
        let error = sqlx::raw_sql(sql)
            .execute(house.db.worker.pool())
            .await
            .expect_err(sql);
        let code = error
            .as_database_error()
            .and_then(DatabaseError::code)
            .unwrap_or_default()
            .into_owned();
        assert_eq!(code, "42501", "{sql}");
    }
}

#[tokio::test]
async fn another_tenants_job_can_not_be_seen_cancelled_or_retried() {
    let house = House::new().await;
    let id = house
        .jobs
        .enqueue(&house.a, NewJob::new(KIND, json!(1)))
        .await
        .unwrap();
    for error in [
        house.jobs.get(&house.b, id).await.map(drop).unwrap_err(),
        house.jobs.cancel(&house.b, id).await.unwrap_err(),
        house.jobs.retry(&house.b, id).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::NotFound, "job_unknown")
        );
    }
    house.jobs.get(&house.a, id).await.unwrap();
}
