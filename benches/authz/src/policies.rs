//! What a host's policy costs that asks for a permission: over 100,000 rows, beside one that asks for
//! the tenant only.

use std::time::Instant;

use tenancy_core::{TenantCtx, TenantDb};
use tenancy_testkit::Db;

use crate::{
    Result,
    report::{Better, Metric},
    sample::Sample,
    setting::Setting,
};

const ROUNDS: usize = 7;
/// A call for every row takes a second.
const SLOW_ROUNDS: usize = 3;

/// Rows of one tenant among a hundred, and as many rows that are all his.
const MAKE: &str = "
    CREATE TABLE public.spread (tenant_id uuid NOT NULL, id int NOT NULL, body text NOT NULL, PRIMARY KEY (tenant_id, id));
    CREATE TABLE public.alone (LIKE public.spread INCLUDING ALL);
    ALTER TABLE public.spread ENABLE ROW LEVEL SECURITY;
    ALTER TABLE public.alone ENABLE ROW LEVEL SECURITY;
    GRANT SELECT ON public.spread, public.alone TO tenancy_app";
const FILL: &str = "
    WITH hundred AS (SELECT t, row_number() OVER () AS at FROM unnest($1::uuid[]) t),
    spread AS (
        INSERT INTO public.spread SELECT h.t, n, repeat('x', 100) FROM generate_series(1, 1000) n, hundred h
    )
    INSERT INTO public.alone SELECT h.t, n, repeat('x', 100) FROM generate_series(1, 100000) n, hundred h WHERE h.at = 1";

/// A table, and its policy as one replaces the other.
struct Case {
    query: &'static str,
    tenant_only: &'static str,
    asking: &'static str,
    every_row: &'static str,
}

const CASES: [Case; 2] = [
    Case {
        query: "SELECT count(*), max(length(body)) FROM public.spread",
        tenant_only: "DROP POLICY IF EXISTS p ON public.spread;
            CREATE POLICY p ON public.spread USING (tenant_id = util.current_tenant())",
        asking: "DROP POLICY IF EXISTS p ON public.spread;
            CREATE POLICY p ON public.spread USING (tenant_id = util.current_tenant()
                AND (SELECT util.user_has_permission(util.current_tenant(), 'area0.k0')))",
        every_row: "DROP POLICY IF EXISTS p ON public.spread;
            CREATE POLICY p ON public.spread USING (util.user_has_permission(tenant_id, 'area0.k0'))",
    },
    Case {
        query: "SELECT count(*), max(length(body)) FROM public.alone",
        tenant_only: "DROP POLICY IF EXISTS p ON public.alone;
            CREATE POLICY p ON public.alone USING (tenant_id = util.current_tenant())",
        asking: "DROP POLICY IF EXISTS p ON public.alone;
            CREATE POLICY p ON public.alone USING (tenant_id = util.current_tenant()
                AND (SELECT util.user_has_permission(util.current_tenant(), 'area0.k0')))",
        every_row: "DROP POLICY IF EXISTS p ON public.alone;
            CREATE POLICY p ON public.alone USING (util.user_has_permission(tenant_id, 'area0.k0'))",
    },
];

pub(crate) async fn measure(db: &Db, setting: &Setting) -> Result<Vec<Metric>> {
    let superuser = db.superuser().await?;
    sqlx::raw_sql(MAKE).execute(&superuser).await?;
    let tenants: Vec<_> = setting.tenants.iter().map(|it| it.as_uuid()).collect();
    let first = tenants[0];
    sqlx::query(FILL).bind(&tenants).execute(&superuser).await?;
    sqlx::raw_sql("VACUUM ANALYZE public.spread")
        .execute(&superuser)
        .await?;
    sqlx::raw_sql("VACUUM ANALYZE public.alone")
        .execute(&superuser)
        .await?;
    let seat = (0..setting.seats.len()).find(|at| setting.ctx(*at).tenant().as_uuid() == first);
    let ctx = setting.ctx(seat.ok_or("nobody sits in the first tenant")?);

    let mut metrics = Vec::new();
    let names = [
        (
            "policy that asks, extra over tenant only, 1,000 of 100,000 rows",
            "call for every row / policy that asks, 1,000 of 100,000 rows",
            1_000,
            500.0,
        ),
        (
            "policy that asks, extra over tenant only, 100,000 rows",
            "call for every row / policy that asks, 100,000 rows",
            100_000,
            25.0,
        ),
    ];
    for (case, (extra_name, factor_name, rows, factor_goal)) in CASES.iter().zip(names) {
        let (mut plain, mut asking, mut every_row) =
            (Sample::default(), Sample::default(), Sample::default());
        let (mut extra, mut factor) = (Sample::default(), Sample::default());
        for round in 0..ROUNDS {
            let mut taken = [0.0; 3];
            let policies = [case.tenant_only, case.asking, case.every_row];
            for (policy, taken) in policies
                .into_iter()
                .zip(&mut taken)
                .take(2 + usize::from(round < SLOW_ROUNDS))
            {
                sqlx::raw_sql(policy).execute(&superuser).await?;
                let times = if policy == case.every_row { 3 } else { 25 };
                *taken = millis(db, &ctx, case.query, rows, times).await?;
            }
            plain.push(taken[0]);
            asking.push(taken[1]);
            extra.push(taken[1] - taken[0]);
            if round < SLOW_ROUNDS {
                every_row.push(taken[2]);
                factor.push(taken[2] / taken[1]);
            }
        }
        println!(
            "{rows} of 100,000 rows: tenant only {:.2} ms, asking {:.2} ms, a call for every row {:.1} ms",
            plain.median(),
            asking.median(),
            every_row.median()
        );
        let allowed = (plain.median() * 0.1).max(0.2);
        metrics.push(Metric::alone(
            extra_name,
            "ms",
            &extra,
            Better::Lower,
            allowed,
        ));
        metrics.push(Metric::alone(
            factor_name,
            "x",
            &factor,
            Better::Higher,
            factor_goal,
        ));
    }
    let mut calls = Sample::default();
    for case in &CASES {
        sqlx::raw_sql(case.asking).execute(&superuser).await?;
        calls.push(called(db, &ctx, case.query).await?);
    }
    metrics.push(Metric::alone(
        "calls of the SQL function for one statement under a policy",
        "calls",
        &calls,
        Better::Lower,
        1.0,
    ));
    Ok(metrics)
}

/// How often a statement calls the function.
async fn called(db: &Db, ctx: &TenantCtx, query: &'static str) -> Result<f64> {
    const COUNT: &str = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_xact_user_functions
        WHERE schemaname = 'util' AND funcname = 'user_has_permission'";
    const SWITCH: &str = "DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET track_functions = pl', current_database());
    END $$";
    let superuser = db.superuser().await?;
    sqlx::raw_sql(SWITCH).execute(&superuser).await?;
    // A new connection: the counting is switched on when it opens.
    let app = TenantDb::connect(db.server.app_url()).await?;
    let mut tx = app.read(ctx).await?;
    let before: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut *tx).await?;
    sqlx::query(query).execute(&mut *tx).await?;
    let after: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut *tx).await?;
    Ok((after - before) as f64)
}

/// The best of some in one session, warm: what others take from the machine is not the policy's.
async fn millis(
    db: &Db,
    ctx: &TenantCtx,
    query: &'static str,
    rows: i64,
    times: usize,
) -> Result<f64> {
    let mut best = f64::INFINITY;
    let mut tx = db.app.read(ctx).await?;
    for _ in 0..times {
        let begun = Instant::now();
        let (seen, _): (i64, i32) = sqlx::query_as(query).fetch_one(&mut *tx).await?;
        best = best.min(begun.elapsed().as_secs_f64() * 1e3);
        if seen != rows {
            return Err(format!("{seen} rows instead of {rows}").into());
        }
    }
    Ok(best)
}
