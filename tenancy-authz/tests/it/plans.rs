//! How Postgres runs a host's statement under a policy that asks for a permission.

use tenancy_core::{TenantCtx, TenantDb};

use crate::support::{Result, World};

/// 100 rows of a host for each tenant, confined by the recipe of the guide.
const GUARDED: &str = "
    CREATE TABLE public.documents (tenant_id uuid NOT NULL, id int NOT NULL, title text NOT NULL, PRIMARY KEY (tenant_id, id));
    INSERT INTO public.documents SELECT t.id, n, 'a title' FROM tenancy.tenants t, generate_series(1, 100) n;
    ANALYZE public.documents;
    GRANT SELECT, INSERT, UPDATE, DELETE ON public.documents TO tenancy_app;
    ALTER TABLE public.documents ENABLE ROW LEVEL SECURITY;
    ALTER TABLE public.documents FORCE ROW LEVEL SECURITY;
    CREATE POLICY readers ON public.documents TO tenancy_app
        USING (tenant_id = util.current_tenant()
            AND (SELECT util.user_has_permission(util.current_tenant(), 'templates.read')))
        WITH CHECK (tenant_id = util.current_tenant()
            AND (SELECT util.user_has_permission(util.current_tenant(), 'templates.write')))";

async fn plan(db: &TenantDb, ctx: &TenantCtx, statement: &str) -> Result<Vec<String>> {
    let mut tx = db.write(ctx).await?;
    // A hundred rows are read sooner than an index.
    sqlx::raw_sql("SET LOCAL enable_seqscan = off")
        .execute(&mut *tx)
        .await?;
    let explained = format!(
        "EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) {statement}"
    );
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(explained))
        .fetch_all(&mut *tx)
        .await?)
}

/// The lines of the plan that name the function.
fn calls(plan: &[String]) -> Vec<&str> {
    let named = plan
        .iter()
        .filter(|line| line.contains("user_has_permission"));
    named.map(|line| line.trim()).collect()
}

#[tokio::test]
async fn the_plan_asks_once_before_the_rows_and_reads_those_of_the_tenant_by_its_index() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    world.as_superuser(GUARDED).await?;
    for statement in [
        "SELECT title FROM public.documents",
        "SELECT d.title FROM public.documents d JOIN public.documents e USING (tenant_id, id)",
        "DELETE FROM public.documents WHERE id > 50",
        "UPDATE public.documents SET title = 'x' WHERE id < 1",
    ] {
        let plan = plan(&world.db.app, &reader, statement).await?;
        let shown = plan.join("\n");
        // It is the output of an InitPlan: a node of its own that runs once at most, however many
        // rows there are.
        let places = plan.iter().enumerate();
        for (at, line) in places.filter(|(_, line)| line.contains("user_has_permission")) {
            let [above, node] = [at - 2, at - 1].map(|at| plan[at].trim());
            assert!(line.trim().starts_with("Output: "), "{shown}");
            assert!(above.starts_with("InitPlan"), "{shown}");
            let once = node.ends_with("(actual rows=1.00 loops=1)")
                || node.ends_with("(actual rows=1 loops=1)");
            assert!(once || node.ends_with("(never executed)"), "{shown}");
        }
        assert!(!calls(&plan).is_empty(), "{shown}");
        assert!(shown.contains("Index Cond: ("), "{shown}");
        eprintln!("{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn without_the_select_around_it_the_plan_asks_for_every_row() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    world.as_superuser(GUARDED).await?;
    world
        .as_superuser(
            "ALTER POLICY readers ON public.documents USING (tenant_id = util.current_tenant()
                AND util.user_has_permission(util.current_tenant(), 'templates.read'))",
        )
        .await?;
    let plan = plan(&world.db.app, &reader, "SELECT title FROM public.documents").await?;
    let shown = plan.join("\n");
    let calls = calls(&plan);
    assert!(
        calls.iter().all(|line| line.starts_with("Filter: ")) && !calls.is_empty(),
        "{shown}"
    );
    assert!(!shown.contains("InitPlan"), "{shown}");
    Ok(())
}
