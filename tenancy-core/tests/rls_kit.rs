//! `protect_table` and its companions: what they do, what they leave alone, and what they refuse.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{AssertSqlSafe, PgPool};
use tenancy_core::{
    ErrorKind, Retry,
    doctor::{self, Options},
    migrate::CORE,
    rls::{self, Privilege, Table},
    testing,
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const NOTES: &str = "CREATE TABLE public.notes (
    tenant_id uuid NOT NULL, id bigint NOT NULL, body text, PRIMARY KEY (tenant_id, id))";

async fn with(sql: &'static str) -> Result<Db> {
    let db = Db::new(&[&CORE]).await?;
    run(db.operator.pool(), sql).await?;
    Ok(db)
}

async fn run(pool: &PgPool, sql: &'static str) -> Result {
    sqlx::raw_sql(sql)
        .execute(pool)
        .await
        .map_err(|error| format!("{sql}: {error}"))?;
    Ok(())
}

/// `name: command roles condition check` of each policy.
async fn policies(db: &Db, table: &str) -> Result<Vec<String>> {
    let list = "SELECT format('%s: %s %s %s %s', policyname, cmd, array_to_string(roles, ','), qual, with_check)
        FROM pg_catalog.pg_policies WHERE format('%I.%I', schemaname, tablename) = $1
          -- Those by which a tenant is exported and purged have tests of their own.
          AND policyname NOT IN ('owner_select', 'owner_delete') ORDER BY policyname";
    Ok(sqlx::query_scalar(list)
        .bind(table)
        .fetch_all(db.operator.pool())
        .await?)
}

/// What the app's role holds on a table.
async fn grants(db: &Db, table: &str) -> Result<Vec<String>> {
    let list = "SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
        WHERE has_table_privilege('tenancy_app'::name, $1, p)";
    Ok(sqlx::query_scalar(list)
        .bind(table)
        .fetch_all(db.operator.pool())
        .await?)
}

/// Whether row-level security is on and forced.
async fn forced(db: &Db, table: &str) -> Result<bool> {
    let ask =
        "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = to_regclass($1)";
    Ok(sqlx::query_scalar(ask)
        .bind(table)
        .fetch_one(db.operator.pool())
        .await?)
}

async fn advised(db: &Db, table: &Table) -> Result<BTreeSet<String>> {
    let advice = rls::advice(&db.operator, table).await?;
    Ok(advice.into_iter().map(|advice| advice.rule).collect())
}

#[tokio::test]
async fn it_does_what_is_missing_says_so_and_does_nothing_twice() -> Result {
    let db = with(NOTES).await?;
    let notes = Table::new("public.notes");
    let first = rls::protect(&db.operator, &notes).await?;
    assert_eq!(first.steps.len(), 10, "{:#?}", first.steps);
    assert!(first.is_sound() && first.advice.is_empty(), "{first:#?}");
    assert_eq!(
        policies(&db, "public.notes").await?,
        [
            "tenant_delete: DELETE tenancy_app (tenant_id = util.current_tenant()) ",
            "tenant_insert: INSERT tenancy_app  (tenant_id = util.current_tenant())",
            "tenant_select: SELECT tenancy_app (tenant_id = util.current_tenant()) ",
            "tenant_update: UPDATE tenancy_app (tenant_id = util.current_tenant()) (tenant_id = util.current_tenant())",
        ]
    );
    assert!(forced(&db, "public.notes").await?);

    // A reader that holds the table does not keep the second call waiting: nothing is missing.
    let mut reader = db.operator.pool().begin().await?;
    sqlx::raw_sql("LOCK TABLE public.notes IN ACCESS SHARE MODE")
        .execute(&mut *reader)
        .await?;
    let again = rls::protect(
        &db.operator,
        &notes.clone().with_lock_timeout(Duration::from_millis(50)),
    )
    .await?;
    assert!(again.steps.is_empty(), "{:?}", again.steps);
    reader.rollback().await?;

    // Whatever was undone meanwhile is done again, and nothing else.
    run(db.operator.pool(), "ALTER TABLE public.notes NO FORCE ROW LEVEL SECURITY;
        ALTER POLICY tenant_update ON public.notes WITH CHECK (true); GRANT TRUNCATE ON public.notes TO tenancy_app").await?;
    let mended = rls::protect(&db.operator, &notes).await?;
    assert!(
        mended
            .steps
            .iter()
            .any(|step| step.contains("FORCE ROW LEVEL SECURITY"))
    );
    assert!(
        mended
            .steps
            .contains(&"DROP POLICY tenant_update ON public.notes".to_owned())
    );
    assert!(
        !mended
            .steps
            .iter()
            .any(|step| step.contains("tenant_select"))
    );
    assert_eq!(
        grants(&db, "public.notes").await?,
        ["SELECT", "INSERT", "UPDATE", "DELETE"]
    );
    Ok(())
}

#[tokio::test]
async fn only_the_named_commands_are_granted_and_admitted() -> Result {
    let db = with(NOTES).await?;
    let notes = Table::new("public.notes");
    rls::protect(&db.operator, &notes).await?;
    rls::protect(
        &db.operator,
        &notes.with_privileges([Privilege::Select, Privilege::Insert]),
    )
    .await?;
    assert_eq!(grants(&db, "public.notes").await?, ["SELECT", "INSERT"]);
    let left = policies(&db, "public.notes").await?;
    assert_eq!(left.len(), 2, "{left:?}");
    Ok(())
}

#[tokio::test]
async fn a_table_in_use_is_waited_for_in_turns_and_then_given_up() -> Result {
    let db = with(NOTES).await?;
    let mut reader = db.operator.pool().begin().await?;
    sqlx::raw_sql("LOCK TABLE public.notes IN ACCESS SHARE MODE")
        .execute(&mut *reader)
        .await?;
    let notes = Table::new("public.notes").with_lock_timeout(Duration::from_millis(20));
    let busy = rls::protect(&db.operator, &notes.clone().with_attempts(2))
        .await
        .unwrap_err();
    assert_eq!(
        (busy.kind(), busy.code(), busy.retry()),
        (ErrorKind::Unavailable, "table_busy", Retry::Backoff)
    );

    let operator = db.operator.clone();
    let waiting =
        tokio::spawn(async move { rls::protect(&operator, &notes.with_attempts(100)).await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    reader.rollback().await?;
    assert_eq!(waiting.await??.steps.len(), 10);
    Ok(())
}

#[tokio::test]
async fn eight_who_protect_a_table_at_once_do_it_once() -> Result {
    let db = with(
        "CREATE TABLE public.events (tenant_id uuid NOT NULL, id bigint NOT NULL, PRIMARY KEY (tenant_id, id)) PARTITION BY HASH (tenant_id);
         CREATE TABLE public.events_0 PARTITION OF public.events FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE public.events_1 PARTITION OF public.events FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    )
    .await?;
    let mut runs = Vec::new();
    for _ in 0..8 {
        let operator = tenancy_core::OperatorDb::connect(db.server.operator_url()).await?;
        runs.push(tokio::spawn(async move {
            rls::protect(&operator, &Table::new("public.events").with_attempts(1)).await
        }));
    }
    let mut did = 0;
    for run in runs {
        did += usize::from(!run.await??.steps.is_empty());
    }
    assert_eq!(did, 1);
    assert_eq!(policies(&db, "public.events").await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn partitions_are_closed_and_those_that_come_later_by_the_next_call() -> Result {
    let db = with(
        "CREATE TABLE public.events (tenant_id uuid NOT NULL, id bigint NOT NULL, at date NOT NULL, PRIMARY KEY (tenant_id, id, at))
            PARTITION BY RANGE (at);
         CREATE TABLE public.events_2025 PARTITION OF public.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (at);
         CREATE TABLE public.events_rest PARTITION OF public.events_2025 DEFAULT;
         GRANT SELECT ON public.events_rest TO tenancy_app, PUBLIC",
    )
    .await?;
    let events = Table::new("public.events");
    assert!(advised(&db, &events).await?.contains("TEN005"));
    let done = rls::protect(&db.operator, &events).await?;
    assert!(done.advice.is_empty(), "{done:#?}");
    for part in ["public.events_2025", "public.events_rest"] {
        assert!(forced(&db, part).await?, "{part}");
        assert!(grants(&db, part).await?.is_empty(), "{part}");
        assert!(policies(&db, part).await?.is_empty(), "{part}");
    }

    run(db.operator.pool(), "CREATE TABLE public.events_2026 PARTITION OF public.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')").await?;
    assert_eq!(
        advised(&db, &events).await?,
        BTreeSet::from(["TEN005".to_owned()])
    );
    let later = rls::protect(&db.operator, &events).await?;
    assert_eq!(
        later.steps,
        [
            "ALTER TABLE public.events_2026 ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE public.events_2026 FORCE ROW LEVEL SECURITY"
        ]
    );

    // Named itself it is closed as well, whatever is asked for.
    rls::protect(&db.operator, &Table::new("public.events_2026")).await?;
    assert!(grants(&db, "public.events_2026").await?.is_empty());

    let report = doctor::run(&db.operator, &Options::default().with_app(&db.app)).await?;
    assert_eq!(report.exit_code(), 0, "{}", report.to_text(false));
    Ok(())
}

#[tokio::test]
async fn tables_that_inherit_are_closed_unless_they_are_protected_themselves() -> Result {
    let db = with(NOTES).await?;
    run(
        db.operator.pool(),
        "CREATE TABLE public.old_notes (PRIMARY KEY (tenant_id, id)) INHERITS (public.notes);
         CREATE TABLE public.own_notes (PRIMARY KEY (tenant_id, id)) INHERITS (public.notes);
         SELECT tenancy.protect_table('public.own_notes')",
    )
    .await?;
    assert!(
        advised(&db, &Table::new("public.own_notes"))
            .await?
            .contains("TEN001"),
        "the table above shows its rows"
    );
    rls::protect(&db.operator, &Table::new("public.notes")).await?;
    assert!(forced(&db, "public.old_notes").await?);
    assert!(policies(&db, "public.old_notes").await?.is_empty());
    assert_eq!(policies(&db, "public.own_notes").await?.len(), 4);
    assert_eq!(grants(&db, "public.own_notes").await?.len(), 4);
    assert!(
        advised(&db, &Table::new("public.own_notes"))
            .await?
            .is_empty()
    );
    Ok(())
}

/// Names, with the code and a part of the answer.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "public.shown",
        "table_not_protectable",
        "SET (security_invoker = true)",
    ),
    ("public.kept", "table_not_protectable", "is no table"),
    (
        "public.loose",
        "table_not_protectable",
        "of type uuid NOT NULL",
    ),
    (
        "public.texts",
        "table_not_protectable",
        "of type uuid NOT NULL",
    ),
    (
        "public.foreigners",
        "table_not_protectable",
        "OWNER TO tenancy_dev_operator",
    ),
    ("public.nowhere", "table_unknown", "`public.nowhere`"),
    ("no_schema.notes", "table_unknown", "`no_schema.notes`"),
    (
        "a.b.c.d; DROP TABLE public.notes",
        "table_unknown",
        "there is no table",
    ),
];

#[tokio::test]
async fn what_can_not_be_confined_is_refused_with_the_way_out() -> Result {
    let db = with(NOTES).await?;
    run(
        db.operator.pool(),
        "CREATE VIEW public.shown AS SELECT * FROM public.notes;
         CREATE MATERIALIZED VIEW public.kept AS SELECT * FROM public.notes;
         CREATE TABLE public.loose (tenant_id uuid, id int);
         CREATE TABLE public.texts (tenant_id text NOT NULL, id int)",
    )
    .await?;
    run(
        &db.superuser().await?,
        "CREATE TABLE public.foreigners (tenant_id uuid NOT NULL, id int NOT NULL, PRIMARY KEY (tenant_id, id))",
    )
    .await?;
    for (name, code, says) in REFUSED {
        let refused = rls::protect(&db.operator, &Table::new(*name))
            .await
            .unwrap_err();
        assert_eq!(
            (refused.kind(), refused.code(), refused.retry()),
            (ErrorKind::Misconfigured, *code, Retry::Never),
            "{name}: {refused}"
        );
        assert!(refused.to_string().contains(says), "{name}: {refused}");
    }
    let words = sqlx::raw_sql("SELECT tenancy.protect_table('public.notes', '{SELECT}')")
        .execute(db.operator.pool())
        .await;
    assert!(
        words.is_err(),
        "a word that means nothing must not be passed over"
    );
    Ok(())
}

#[tokio::test]
async fn odd_names_and_generated_tenant_columns_work() -> Result {
    let db = with(
        r#"CREATE SCHEMA "Odd ""Schema";
           GRANT USAGE ON SCHEMA "Odd ""Schema" TO tenancy_app;
           CREATE TABLE "Odd ""Schema"."Ta.ble 'x' %s" ("Tenant ""Id" uuid NOT NULL, id int NOT NULL, PRIMARY KEY ("Tenant ""Id", id));
           CREATE TABLE public.made (owner text NOT NULL, id int NOT NULL,
               tenant_id uuid NOT NULL GENERATED ALWAYS AS (owner::uuid) STORED, PRIMARY KEY (tenant_id, id))"#,
    )
    .await?;
    let odd = Table::new(r#""Odd ""Schema"."Ta.ble 'x' %s""#).with_tenant_column("Tenant \"Id");
    let done = rls::protect(&db.operator, &odd).await?;
    assert!(
        done.advice.is_empty() && done.steps.len() == 10,
        "{done:#?}"
    );
    assert!(rls::protect(&db.operator, &odd).await?.steps.is_empty());

    let made = Table::new("public.made");
    let done = rls::protect(&db.operator, &made).await?;
    assert!(done.advice.is_empty(), "{done:#?}");
    let (ours, theirs) = (
        testing::tenant(&db.app).await?,
        testing::tenant(&db.app).await?,
    );
    let insert = "INSERT INTO public.made (owner, id) VALUES ($1, 1)";
    let mut tx = db.app.write(&ours).await?;
    sqlx::query(insert)
        .bind(ours.tenant().to_string())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let mut tx = db.app.write(&ours).await?;
    let foreign = sqlx::query(insert)
        .bind(theirs.tenant().to_string())
        .execute(&mut *tx)
        .await;
    assert!(foreign.is_err());
    let mut tx = db.app.read(&theirs).await?;
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM public.made")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(seen, 0);
    Ok(())
}

#[tokio::test]
async fn a_hosts_own_policies_stay_and_are_judged() -> Result {
    let db = with(NOTES).await?;
    let notes = Table::new("public.notes");
    rls::protect(&db.operator, &notes).await?;
    run(
        db.operator.pool(),
        "CREATE POLICY reports ON public.notes FOR SELECT TO tenancy_worker USING (true);
         CREATE POLICY mine ON public.notes FOR SELECT TO tenancy_app USING (tenant_id = util.current_tenant() AND body <> 'x')",
    )
    .await?;
    let again = rls::protect(&db.operator, &notes).await?;
    assert!(
        again.steps.is_empty() && again.advice.is_empty(),
        "{again:#?}"
    );
    assert_eq!(policies(&db, "public.notes").await?.len(), 6);

    run(db.operator.pool(), "CREATE POLICY published ON public.notes FOR SELECT TO tenancy_app USING (body = 'published')").await?;
    let again = rls::protect(&db.operator, &notes).await?;
    assert!(!again.is_sound());
    assert_eq!(policies(&db, "public.notes").await?.len(), 7);
    Ok(())
}

#[tokio::test]
async fn unprotecting_closes_and_opens_nothing() -> Result {
    let db = with(NOTES).await?;
    let notes = Table::new("public.notes");
    rls::protect(&db.operator, &notes).await?;
    run(
        db.operator.pool(),
        "CREATE POLICY reports ON public.notes FOR SELECT TO tenancy_worker USING (true)",
    )
    .await?;
    let steps = rls::unprotect(&db.operator, &notes).await?;
    assert_eq!(steps.len(), 5, "{steps:?}");
    assert!(forced(&db, "public.notes").await?);
    assert!(grants(&db, "public.notes").await?.is_empty());
    assert_eq!(policies(&db, "public.notes").await?.len(), 1);
    assert!(rls::unprotect(&db.operator, &notes).await?.is_empty());
    // And back again.
    assert_eq!(rls::protect(&db.operator, &notes).await?.steps.len(), 8);
    Ok(())
}

#[tokio::test]
async fn in_a_migrations_transaction_it_is_part_of_it() -> Result {
    let db = with("SELECT 1").await?;
    let mut tx = db.operator.pool().begin().await?;
    sqlx::raw_sql(NOTES).execute(&mut *tx).await?;
    let done = rls::protect_in(&mut tx, &Table::new("public.notes")).await?;
    assert_eq!(done.steps.len(), 10);
    tx.rollback().await?;
    let left: bool = sqlx::query_scalar("SELECT to_regclass('public.notes') IS NOT NULL")
        .fetch_one(db.operator.pool())
        .await?;
    assert!(!left);
    Ok(())
}

/// What is wrong with a protected `public.notes`, and the rule that has to say so: the advice and
/// the doctor both.
const FAULTS: &[(&str, &str)] = &[
    ("TEN001", "ALTER TABLE public.notes NO FORCE ROW LEVEL SECURITY; ALTER TABLE public.notes DISABLE ROW LEVEL SECURITY"),
    ("TEN003", "ALTER TABLE public.notes DROP CONSTRAINT notes_pkey; ALTER TABLE public.notes ALTER tenant_id DROP NOT NULL"),
    ("TEN007", "ALTER TABLE public.notes ADD UNIQUE (id); CREATE TABLE public.lines (id int PRIMARY KEY, note bigint REFERENCES public.notes (id));
        GRANT SELECT ON public.lines TO tenancy_app"),
    ("TEN010", "ALTER TABLE public.notes ALTER tenant_id SET DEFAULT '01910000-0000-7000-8000-00000000000a'"),
    ("TEN104", "CREATE POLICY p ON public.notes FOR SELECT TO tenancy_app USING (body = 'published')"),
    ("TEN106", "CREATE POLICY p ON public.notes AS RESTRICTIVE TO tenancy_app USING (body <> 'x')"),
    ("TEN301", "ALTER TABLE public.notes ADD UNIQUE (body)"),
    ("TEN302", "ALTER TABLE public.notes ADD COLUMN other uuid UNIQUE"),
    ("TEN303", "ALTER TABLE public.notes ADD UNIQUE (id), ADD COLUMN parent bigint REFERENCES public.notes (id)"),
    ("TEN304", "ALTER TABLE public.notes ADD COLUMN parent bigint, ADD FOREIGN KEY (tenant_id, parent) REFERENCES public.notes ON DELETE SET NULL (parent)"),
    ("TEN305", "ALTER TABLE public.notes DROP CONSTRAINT notes_pkey"),
    ("TEN306", "ALTER TABLE public.notes DROP CONSTRAINT notes_pkey"),
    ("TEN307", "ALTER TABLE public.notes DROP CONSTRAINT notes_pkey, ADD PRIMARY KEY (id, tenant_id)"),
    ("TEN401", "CREATE VIEW public.v AS SELECT * FROM public.notes; GRANT SELECT ON public.v TO tenancy_app"),
    ("TEN402", "CREATE MATERIALIZED VIEW public.v AS SELECT * FROM public.notes; GRANT SELECT ON public.v TO tenancy_app"),
    ("TEN602", "ALTER TABLE public.notes OWNER TO tenancy_dev_app"),
    ("TEN901", "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER g BEFORE UPDATE ON public.notes FOR EACH ROW EXECUTE FUNCTION public.f()"),
];

#[tokio::test]
async fn the_advice_finds_what_the_doctor_finds() -> Result {
    let db = with(NOTES).await?;
    run(
        db.operator.pool(),
        "SELECT tenancy.protect_table('public.notes')",
    )
    .await?;
    let superuser = db.superuser().await?;
    for (rule, fault) in FAULTS {
        let mut tx = superuser.begin().await?;
        sqlx::raw_sql(*fault)
            .execute(&mut *tx)
            .await
            .map_err(|error| format!("{fault}: {error}"))?;
        let rules: Vec<(String, String)> =
            sqlx::query_as("SELECT rule, fix FROM tenancy.table_advice('public.notes')")
                .fetch_all(&mut *tx)
                .await?;
        assert!(
            rules.iter().any(|(found, _)| found == rule),
            "{fault}: {rule}: {rules:?}"
        );
        let findings = doctor::inspect(&mut tx, &Options::default()).await?;
        assert!(
            findings.iter().any(|finding| finding.rule == *rule),
            "{fault}: {rule}"
        );
        tx.rollback().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_advice_on_a_reference_can_be_followed_as_it_stands() -> Result {
    let db = with(
        "CREATE TABLE public.notes (tenant_id uuid NOT NULL, id bigint NOT NULL UNIQUE, PRIMARY KEY (tenant_id, id));
         CREATE TABLE public.lines (tenant_id uuid NOT NULL, id bigint NOT NULL, note bigint REFERENCES public.notes (id), PRIMARY KEY (tenant_id, id))",
    )
    .await?;
    let lines = Table::new("public.lines");
    let done = rls::protect(&db.operator, &lines).await?;
    let advice = done
        .advice
        .iter()
        .find(|advice| advice.rule == "TEN303")
        .ok_or("no advice")?;
    sqlx::raw_sql(AssertSqlSafe(advice.fix.clone()))
        .execute(db.operator.pool())
        .await?;
    run(db.operator.pool(), "ALTER TABLE public.lines VALIDATE CONSTRAINT lines_tenant_id_note_fkey, DROP CONSTRAINT lines_note_fkey").await?;
    assert!(rls::protect(&db.operator, &lines).await?.is_sound());
    Ok(())
}
