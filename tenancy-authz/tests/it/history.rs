//! What went wrong in other systems, and in databases under them, tried here.
//!
//! The guide of this crate has the table of all classes and their tests; these are those that belong
//! to no feature.

use sqlx::{Connection as _, PgConnection};
use tenancy_core::{Authorizer as _, TenantCtx, TenantId};

use crate::support::{READ, Result, World, role, user};

/// A connection of the app's login.
async fn login(world: &World) -> Result<PgConnection> {
    Ok(PgConnection::connect(world.db.server.app_url()).await?)
}

/// Opens a transaction for somebody as the family does.
async fn open(conn: &mut PgConnection, begin: &'static str, ctx: &TenantCtx) -> Result {
    sqlx::raw_sql(begin).execute(&mut *conn).await?;
    for (name, value) in [
        ("tenancy.tenant_id", ctx.tenant().to_string()),
        ("tenancy.user_id", user(ctx).to_string()),
    ] {
        sqlx::query("SELECT set_config($1, $2, true)")
            .bind(name)
            .bind(value)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn run(conn: &mut PgConnection, sql: &'static str) -> Result {
    sqlx::raw_sql(sql).execute(conn).await?;
    Ok(())
}

async fn count(conn: &mut PgConnection, sql: &'static str) -> Result<i64> {
    // Without a cached statement of the driver: what is prepared is prepared by the test.
    Ok(sqlx::query_scalar(sql)
        .persistent(false)
        .fetch_one(conn)
        .await?)
}

/// Rows of a host for each tenant, confined as the guide says.
const GUARDED: &str = "
    CREATE TABLE public.notes (tenant_id uuid NOT NULL, id int NOT NULL, PRIMARY KEY (tenant_id, id));
    INSERT INTO public.notes SELECT t.id, n FROM tenancy.tenants t, generate_series(1, 10) n;
    GRANT SELECT ON public.notes TO tenancy_app;
    ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
    CREATE POLICY readers ON public.notes FOR SELECT TO tenancy_app USING (tenant_id = util.current_tenant()
        AND (SELECT util.user_has_permission(util.current_tenant(), 'templates.read')))";

#[tokio::test]
async fn a_cached_plan_asks_anew_for_whoever_runs_it() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    let nobody = world.member(&["viewer"]).await?;
    let (roles, owner) = (&world.roles, &world.owner);
    roles
        .unassign(owner, user(&nobody), &role("viewer"))
        .await?;
    world.as_superuser(GUARDED).await?;
    for mode in ["force_generic_plan", "force_custom_plan", "auto"] {
        let mut conn = login(&world).await?;
        sqlx::query("SELECT set_config('plan_cache_mode', $1, false)")
            .bind(mode)
            .execute(&mut conn)
            .await?;
        run(
            &mut conn,
            "PREPARE asked AS SELECT count(*) FROM public.notes",
        )
        .await?;
        let mut seen = Vec::new();
        // More often than it takes for a plan to be generic.
        for _ in 0..7 {
            for ctx in [&reader, &nobody, &world.other_owner] {
                open(&mut conn, "BEGIN", ctx).await?;
                seen.push(count(&mut conn, "EXECUTE asked").await?);
                run(&mut conn, "COMMIT").await?;
            }
            seen.push(count(&mut conn, "EXECUTE asked").await?);
        }
        assert_eq!(seen, [10, 0, 10, 0].repeat(7), "{mode}");
    }
    Ok(())
}

#[tokio::test]
async fn a_plan_made_under_one_role_does_not_serve_another() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    world.as_superuser(GUARDED).await?;
    let tenants: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.tenants")
        .fetch_one(&world.db.superuser().await?)
        .await?;
    // A session that may be both: past every policy first, and then bound by them.
    let mut conn = PgConnection::connect(world.db.server.superuser_url()?).await?;
    run(&mut conn, "SET plan_cache_mode = force_generic_plan").await?;
    run(
        &mut conn,
        "PREPARE asked AS SELECT count(*) FROM public.notes",
    )
    .await?;
    open(&mut conn, "BEGIN", &reader).await?;
    let as_itself = count(&mut conn, "EXECUTE asked").await?;
    run(&mut conn, "SET LOCAL ROLE tenancy_app").await?;
    let as_app = count(&mut conn, "EXECUTE asked").await?;
    run(&mut conn, "SET LOCAL tenancy.user_id = ''").await?;
    let as_nobody = count(&mut conn, "EXECUTE asked").await?;
    run(&mut conn, "SET LOCAL ROLE NONE").await?;
    let again = count(&mut conn, "EXECUTE asked").await?;
    assert_eq!(
        [as_itself, as_app, as_nobody, again],
        [tenants * 10, 10, 0, tenants * 10]
    );
    Ok(())
}

/// A function that a query takes in as if its text stood there, and one that runs for itself, as its owner.
const INLINED: &str = "
    CREATE FUNCTION public.all_notes() RETURNS SETOF public.notes LANGUAGE sql STABLE AS 'SELECT * FROM public.notes';
    CREATE FUNCTION public.notes_of_all() RETURNS SETOF public.notes LANGUAGE sql STABLE SECURITY DEFINER AS
        'SELECT * FROM public.notes';
    GRANT EXECUTE ON FUNCTION public.all_notes(), public.notes_of_all() TO tenancy_app";

#[tokio::test]
async fn a_function_taken_into_a_plan_under_one_role_does_not_serve_another() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    world.as_superuser(GUARDED).await?;
    world.as_superuser(INLINED).await?;
    let mut conn = PgConnection::connect(world.db.server.superuser_url()?).await?;
    run(
        &mut conn,
        "SET plan_cache_mode = force_generic_plan;
         PREPARE asked AS SELECT count(*) FROM public.all_notes();
         PREPARE confided AS SELECT count(*) FROM public.notes_of_all()",
    )
    .await?;
    let plan: Vec<String> = sqlx::query_scalar("EXPLAIN EXECUTE asked")
        .persistent(false)
        .fetch_all(&mut conn)
        .await?;
    assert!(!plan.join("\n").contains("Function Scan"), "{plan:?}");
    open(&mut conn, "BEGIN", &reader).await?;
    let as_itself = count(&mut conn, "EXECUTE asked").await?;
    let confided = count(&mut conn, "EXECUTE confided").await?;
    run(&mut conn, "SET LOCAL ROLE tenancy_app").await?;
    let as_app = count(&mut conn, "EXECUTE asked").await?;
    let confided_to_app = count(&mut conn, "EXECUTE confided").await?;
    run(&mut conn, "SET LOCAL tenancy.user_id = ''").await?;
    let as_nobody = count(&mut conn, "EXECUTE asked").await?;
    assert!(as_itself > 10, "of both tenants");
    assert_eq!((as_app, as_nobody), (10, 0));
    assert_eq!(
        (confided, confided_to_app),
        (as_itself, as_itself),
        "who runs it as somebody else is shown what that one may see"
    );
    Ok(())
}

/// A function that writes down what it is shown, and is cheaper than anything else.
const WATCHER: &str = "
    CREATE TABLE public.shown (value uuid);
    GRANT SELECT, INSERT ON public.shown TO tenancy_app;
    CREATE FUNCTION public.watch(value uuid) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
        $$ BEGIN INSERT INTO public.shown VALUES (value); RETURN true; END $$;
    GRANT EXECUTE ON FUNCTION public.watch(uuid) TO tenancy_app";

/// What a cheap function in a WHERE was shown of tables that are confined to tenants.
async fn watched(world: &World, ctx: &TenantCtx) -> Result<Vec<TenantId>> {
    let mut conn = login(world).await?;
    open(&mut conn, "BEGIN", ctx).await?;
    // No index that would find the tenant's rows before a condition is looked at.
    run(
        &mut conn,
        "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off",
    )
    .await?;
    for sql in [
        "SELECT count(*) FROM tenancy.roles WHERE public.watch(tenant_id)",
        "SELECT count(*) FROM tenancy.role_permissions WHERE public.watch(tenant_id)",
        "SELECT count(*) FROM tenancy.member_roles WHERE public.watch(tenant_id)",
        "SELECT count(*) FROM tenancy.effective_roles WHERE public.watch(tenant_id)",
        "SELECT count(*) FROM public.notes WHERE public.watch(tenant_id)",
    ] {
        assert!(count(&mut conn, sql).await? > 0, "{sql}");
    }
    let shown = "SELECT DISTINCT value FROM public.shown";
    Ok(sqlx::query_scalar(shown).fetch_all(&mut conn).await?)
}

#[tokio::test]
async fn a_cheap_function_in_a_condition_is_shown_no_row_of_another_tenant() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    world.as_superuser(GUARDED).await?;
    world.as_superuser(WATCHER).await?;
    assert_eq!(watched(&world, &reader).await?, [reader.tenant()]);

    // Only a superuser can say of a function that it leaks nothing.
    world
        .as_superuser("ALTER FUNCTION public.watch(uuid) LEAKPROOF")
        .await?;
    let shown = watched(&world, &reader).await?;
    let there = world.other_owner.tenant();
    assert!(
        shown.contains(&there),
        "the attack works where it is not prevented"
    );
    Ok(())
}

/// An operator that raises what the planner shows it when it estimates how many rows there are.
const ESTIMATOR: &str = "
    CREATE FUNCTION public.tell(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN RAISE EXCEPTION 'shown %', $1; END $$;
    CREATE OPERATOR public.<<< (LEFTARG = text, RIGHTARG = text, FUNCTION = public.tell, RESTRICT = scalarltsel);
    GRANT EXECUTE ON FUNCTION public.tell(text, text) TO tenancy_app;
    INSERT INTO tenancy.roles (tenant_id, key, name)
        SELECT t.id, 'common', 'Common' FROM tenancy.tenants t ON CONFLICT DO NOTHING;
    ANALYZE tenancy.roles, tenancy.role_permissions, tenancy.member_roles";

#[tokio::test]
async fn the_statistics_of_roles_tell_nothing() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    world.as_superuser(ESTIMATOR).await?;
    let mut conn = login(&world).await?;
    open(&mut conn, "BEGIN", &reader).await?;
    let shown = "SELECT count(*) FROM pg_stats WHERE schemaname = 'tenancy' AND tablename IN
        ('roles', 'role_permissions', 'member_roles', 'role_parents', 'role_wildcards', 'retired_roles')";
    assert_eq!(count(&mut conn, shown).await?, 0);
    let explained = "EXPLAIN SELECT FROM tenancy.roles WHERE key OPERATOR(public.<<<) 'x'";
    run(&mut conn, explained).await?;

    // Whoever is past the policies is shown them, so that the two above prove something.
    let mut superuser = PgConnection::connect(world.db.server.superuser_url()?).await?;
    assert!(count(&mut superuser, shown).await? > 0);
    let told = run(&mut superuser, explained)
        .await
        .unwrap_err()
        .to_string();
    assert!(told.contains("shown "), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_revoke_counts_for_the_next_statement_of_an_open_transaction() -> Result {
    let world = World::new().await?;
    let asked = "SELECT count(*) FILTER (WHERE util.user_has_permission(util.current_tenant(), 'templates.read')) FROM (VALUES (1)) v";
    let after_a_revoke = async |begin: &'static str| -> Result<(i64, i64, bool)> {
        let member = world.member(&["viewer"]).await?;
        let mut conn = login(&world).await?;
        open(&mut conn, begin, &member).await?;
        let before = count(&mut conn, asked).await?;
        let (roles, owner) = (&world.roles, &world.owner);
        roles
            .unassign(owner, user(&member), &role("viewer"))
            .await?;
        let after = count(&mut conn, asked).await?;
        run(&mut conn, "COMMIT").await?;
        let elsewhere = world.authz.check(&member, &READ).await?.is_allowed();
        Ok((before, after, elsewhere))
    };
    assert_eq!(after_a_revoke("BEGIN").await?, (1, 0, false));
    // What the guide warns of.
    let frozen = after_a_revoke("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    assert_eq!(frozen, (1, 1, false));
    Ok(())
}

#[tokio::test]
async fn no_policy_of_these_tables_asks_anything_of_them() -> Result {
    // A policy that asks the tables it stands on never ends.
    let world = World::new().await?;
    let called: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT p.proname::text FROM pg_policy o
         JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = o.oid AND d.refclassid = 'pg_proc'::regclass
         JOIN pg_proc p ON p.oid = d.refobjid
         JOIN pg_class c ON c.oid = o.polrelid
         WHERE c.relnamespace = 'tenancy'::regnamespace ORDER BY 1",
    )
    .fetch_all(&world.db.superuser().await?)
    .await?;
    assert!(called.contains(&"current_tenant".to_owned()), "{called:?}");
    let reads_tables: Vec<String> = sqlx::query_scalar(
        "SELECT p.proname::text FROM pg_proc p
         WHERE p.pronamespace IN ('tenancy'::regnamespace, 'util'::regnamespace) AND p.proname = ANY ($1)
           AND p.prosrc ~* '\\m(from|join)\\M\\s+tenancy\\.'",
    )
    .bind(&called)
    .fetch_all(&world.db.superuser().await?)
    .await?;
    assert_eq!(reads_tables, Vec::<String>::new());
    Ok(())
}

/// What went wrong in the systems that this crate is measured by, and at their databases: each has a row in
/// the guide, which names its tests.
const ON_RECORD: &[&str] = &[
    "CVE-2007-2138",
    "CVE-2016-2193",
    "CVE-2017-7484",
    "CVE-2019-10130",
    "CVE-2023-2455",
    "CVE-2025-64751",
    "CVE-2025-8713",
    "CVE-2026-33729",
    "CVE-2026-34972",
    "CVE-2026-46668",
    "CVE-2026-48096",
    "CVE-2026-55170",
    "CVE-2026-55866",
    "CVE-2026-9795",
    "CVE-2026-97177",
    "CVE-2026-9800",
];

/// The attacks that were tried on naive functions first, and the tests that stand for them.
const ATTACKS: &[(&str, &str)] = &[
    (
        "temporary tables",
        "temp_tables_do_not_stand_in_for_the_tables_of_roles",
    ),
    (
        "an operator of one's own",
        "an_operator_of_ones_own_is_not_found",
    ),
    (
        "a function of one's own",
        "functions_of_ones_own_are_not_found",
    ),
    (
        "a setting that is empty when its transaction is over",
        "the_function_is_true_or_false_in_every_case",
    ),
    (
        "EXECUTE for PUBLIC",
        "the_public_can_not_call_the_helper_even_where_the_defaults_say_so",
    ),
    (
        "EXECUTE by default privileges",
        "what_default_privileges_give_away_does_not_reach_the_functions",
    ),
    (
        "a policy that asks its own table",
        "no_policy_of_these_tables_asks_anything_of_them",
    ),
    (
        "a transaction that began before the revoke",
        "a_revoke_counts_for_the_next_statement_of_an_open_transaction",
    ),
];

/// The table of the guide, and the tests of this crate: each row names some that exist.
#[test]
fn every_kind_of_mistake_in_the_guide_has_its_tests() -> Result {
    let crate_root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(crate_root.join("../docs/authz.md"))?;
    let (_, chapter) = guide
        .split_once("## What went wrong elsewhere")
        .ok_or("the guide has no such chapter")?;
    let chapter = chapter.split("\n## ").next().unwrap_or_default();
    let mut sources = String::new();
    let mut folders = vec![crate_root.join("src"), crate_root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                sources.push_str(&std::fs::read_to_string(path)?);
            }
        }
    }
    let rows: Vec<_> = chapter
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for id in ON_RECORD {
        // One id may begin as another does.
        let names = |row: &&str| {
            row.split(|c: char| c != '-' && !c.is_alphanumeric())
                .any(|word| word == *id)
        };
        assert!(rows.iter().any(names), "the guide has no row for {id}");
    }
    for (attack, test) in ATTACKS {
        let test = format!("`{test}`");
        assert!(
            rows.iter().any(|row| row.contains(&test)),
            "the guide names no test of {attack}"
        );
    }
    let unlisted = chapter.split(|c: char| c != '-' && !c.is_alphanumeric());
    let unlisted: Vec<_> = unlisted
        .filter(|word| word.starts_with("CVE-") && !ON_RECORD.contains(word))
        .collect();
    assert_eq!(unlisted, Vec::<&str>::new(), "add it to the list above");
    for row in rows {
        let tests = row.rsplit('|').nth(1).unwrap_or_default();
        let named: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row}");
        for test in named {
            assert!(
                sources.contains(&format!("fn {test}(")),
                "`{test}` is no test"
            );
        }
    }
    Ok(())
}
