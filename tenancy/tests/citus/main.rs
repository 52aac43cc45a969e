//! The way to several nodes: what goes where, that every part is ready for it, and that the family
//! works with the functions and grants that it has there.
//!
//! Where `TENANCY_DATABASE_URL` names the coordinator of a Citus cluster, the family is tried on distributed
//! tables there: `docs/scaling-out.md` says how far it gets. Everywhere else its two functions are stood in
//! for by ones that write down what they are told, so that every other statement of the plan runs as it
//! would there; and its rule for transactions that change their user by triggers and policies.

mod host;
mod works;

use sqlx::PgPool;
use tenancy::{
    citus::{self, RULES},
    core::{
        OperatorDb,
        doctor::{self, Options},
        migrate::Component,
    },
};
use tenancy_testkit::Db;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Failure> = std::result::Result<T, E>;

async fn database() -> Result<Db> {
    static PARTS: std::sync::LazyLock<Vec<&'static Component>> =
        std::sync::LazyLock::new(tenancy::components);
    Db::new(&PARTS).await
}

const HOST: &str = "
    CREATE TABLE public.currencies (code text PRIMARY KEY);
    CREATE TABLE public.orders (tenant_id uuid NOT NULL, id uuid NOT NULL, currency text NOT NULL REFERENCES public.currencies,
        PRIMARY KEY (tenant_id, id));
    CREATE TABLE public.\"Order's lines\" (tenant_id uuid NOT NULL, id uuid NOT NULL, order_id uuid NOT NULL, PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, order_id) REFERENCES public.orders (tenant_id, id) ON DELETE CASCADE);
    CREATE TABLE public.unrelated (id bigint PRIMARY KEY);
    SELECT tenancy.protect_table('public.orders'), tenancy.protect_table('public.\"Order''s lines\"')";

#[tokio::test]
async fn what_is_not_ready_is_named_with_its_rule() -> Result {
    let db = database().await?;
    sqlx::raw_sql(HOST).execute(db.operator.pool()).await?;
    assert_eq!(citus::plan(&db.operator).await?.blocked, []);
    for (fault, rule) in [
        ("CREATE UNIQUE INDEX ON public.orders (currency)", "TEN301"),
        ("CREATE UNIQUE INDEX ON public.orders (id)", "TEN302"),
        ("CREATE TABLE public.tips (tenant_id uuid NOT NULL, id uuid NOT NULL, order_id uuid, PRIMARY KEY (tenant_id, id));
          CREATE UNIQUE INDEX one ON public.orders (id);
          ALTER TABLE public.tips ADD FOREIGN KEY (order_id) REFERENCES public.orders (id);
          SELECT tenancy.protect_table('public.tips')", "TEN303"),
        ("ALTER TABLE public.\"Order's lines\" DROP CONSTRAINT \"Order's lines_tenant_id_order_id_fkey\",
          ADD FOREIGN KEY (tenant_id, order_id) REFERENCES public.orders (tenant_id, id) ON DELETE SET NULL (order_id)", "TEN304"),
        ("ALTER TABLE public.orders ADD EXCLUDE (currency WITH =)", "TEN309"),
        ("CREATE TRIGGER t BEFORE INSERT ON public.orders EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()", "TEN901"),
        ("ALTER TABLE public.orders ADD COLUMN n int GENERATED ALWAYS AS IDENTITY", "TEN902"),
        ("CREATE POLICY floor ON public.orders AS RESTRICTIVE TO tenancy_app USING (true)", "TEN106"),
        ("CREATE POLICY asks ON public.orders TO tenancy_app USING (tenant_id = (SELECT util.current_tenant()))", "TEN107"),
        ("ALTER TABLE public.currencies ADD COLUMN t uuid, ADD COLUMN o uuid,
          ADD CONSTRAINT back FOREIGN KEY (t, o) REFERENCES public.orders (tenant_id, id)", "reference"),
    ] {
        let mut db_of_fault = planted(&db.operator, fault).await?;
        db_of_fault.retain(|blocked| blocked == rule);
        assert!(!db_of_fault.is_empty(), "{rule}: {fault}");
    }
    Ok(())
}

/// The rules that a plan names with a fault in the database, which is taken out again.
async fn planted(operator: &OperatorDb, fault: &'static str) -> Result<Vec<String>> {
    let pool = operator.pool();
    sqlx::raw_sql(fault)
        .execute(pool)
        .await
        .map_err(|error| format!("{fault}: {error}"))?;
    let plan = citus::plan(operator).await?;
    sqlx::raw_sql("DROP TABLE IF EXISTS public.tips, public.\"Order's lines\", public.orders, public.currencies, public.unrelated CASCADE")
        .execute(pool)
        .await?;
    sqlx::raw_sql(HOST).execute(pool).await?;
    Ok(plan
        .blocked
        .into_iter()
        .map(|blocked| blocked.rule)
        .collect())
}

#[tokio::test]
async fn the_rules_of_a_plan_are_rules_of_the_doctor() -> Result {
    for id in RULES {
        assert!(doctor::rule(id).is_some(), "{id}");
    }
    // And the doctor by itself finds none of them broken, in any part.
    let db = database().await?;
    let report = doctor::run(&db.operator, &Options::default().with_attack(false)).await?;
    let broken: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| RULES.contains(&finding.rule))
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
    Ok(())
}

#[tokio::test]
async fn without_citus_nothing_is_changed() -> Result {
    let db = database().await?;
    let error = citus::distribute(&db.operator).await.unwrap_err();
    assert_eq!(error.code(), "citus_missing");
    Ok(())
}

/// Stands in for Citus: writes down what is to go where.
const STAND_IN: &str = "
    CREATE TABLE public.told (place text, name regclass PRIMARY KEY, col text, beside text);
    GRANT ALL ON public.told TO PUBLIC;
    CREATE FUNCTION public.create_reference_table(t regclass) RETURNS void LANGUAGE sql
        AS $$ INSERT INTO public.told VALUES ('shared', t) $$;
    CREATE FUNCTION public.create_distributed_table(t regclass, col text, colocate_with text) RETURNS void LANGUAGE sql
        AS $$ INSERT INTO public.told VALUES ('distributed', t, col, colocate_with) $$;";

async fn keys(pool: &PgPool) -> Result<Vec<String>> {
    let sql = "SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
        WHERE contype = 'f' AND conparentid = 0 ORDER BY 1";
    Ok(sqlx::query_scalar(sql).fetch_all(pool).await?)
}

/// Runs a plan as psql would.
async fn carry_out(db: &Db) -> Result {
    sqlx::raw_sql(STAND_IN)
        .execute(&db.superuser().await?)
        .await?;
    let plan = citus::plan(&db.operator).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(plan.to_string()))
        .execute(db.operator.pool())
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_plan_runs_and_leaves_every_key_that_can_stand() -> Result {
    let db = database().await?;
    sqlx::raw_sql(HOST).execute(db.operator.pool()).await?;
    let superuser = db.superuser().await?;
    let before = keys(&superuser).await?;
    carry_out(&db).await?;
    let after = keys(&superuser).await?;
    let gone: Vec<&String> = before.iter().filter(|key| !after.contains(key)).collect();
    // What finds a tenant by a hash refers to nobody: it is the same on every node.
    let lookups = [
        "tenancy.api_key_hashes",
        "tenancy.invitation_tokens",
        "tenancy.oauth_states",
    ];
    assert_eq!(gone.len(), lookups.len(), "{gone:#?}");
    for (key, lookup) in gone.iter().zip(lookups) {
        assert!(key.starts_with(lookup), "{key}");
    }
    assert!(after.iter().all(|key| before.contains(key)));

    Ok(())
}

#[tokio::test]
async fn what_goes_where_is_told_to_citus() -> Result {
    let db = database().await?;
    sqlx::raw_sql(HOST).execute(db.operator.pool()).await?;
    carry_out(&db).await?;
    let superuser = db.superuser().await?;
    let told: Vec<(String, String, Option<String>, Option<String>)> =
        sqlx::query_as("SELECT name::text, place, col, beside FROM public.told")
            .fetch_all(&superuser)
            .await?;
    let of = |name: &str| {
        told.iter()
            .find(|row| row.0 == name)
            .map(|row| (row.1.as_str(), row.2.as_deref(), row.3.as_deref()))
    };
    assert_eq!(
        of("tenancy.tenants"),
        Some(("distributed", Some("id"), Some("none")))
    );
    let beside = Some(("distributed", Some("tenant_id"), Some("tenancy.tenants")));
    for name in [
        "tenancy.memberships",
        "tenancy.audit_logs",
        "tenancy.kb_chunks",
        "orders",
        "\"Order's lines\"",
    ] {
        assert_eq!(of(name), beside, "{name}");
    }
    for name in [
        "tenancy.permissions",
        "tenancy.tenant_slugs",
        "tenancy.mcp_providers",
        "currencies",
    ] {
        assert_eq!(of(name), Some(("shared", None, None)), "{name}");
    }
    for name in [
        "tenancy.jobs",
        "tenancy.job_keys",
        "tenancy.job_history",
        "tenancy.job_workers",
        "tenancy.outbox",
        "tenancy.webhook_events",
        "tenancy.platform_log",
        "unrelated",
    ] {
        assert_eq!(of(name), None, "{name} stays where it is");
    }
    Ok(())
}
