//! What a login that may run SQL can't make the helper say, or do.
//!
//! Each attack is first tried on the function as it ships, and then on one that lacks the defence:
//! there it has to succeed, or it proves nothing.

use sqlx::{Connection as _, PgConnection};
use tenancy_core::{TenantCtx, migrate::CORE};
use tenancy_testkit::Db;

use crate::support::{Result, World, user};

/// A viewer whose days as an administrator are over, and a login of the app role that may make objects in a
/// schema of its own.
async fn attacker() -> Result<(World, TenantCtx)> {
    let world = World::new().await?;
    let viewer = world.member(&["viewer"]).await?;
    let login: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(&mut PgConnection::connect(world.db.server.app_url()).await?)
        .await?;
    let sql = format!("CREATE SCHEMA attack AUTHORIZATION {login}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&world.db.superuser().await?)
        .await?;
    // A role that would give everything, had it not ended.
    world
        .as_superuser(
            "INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, expires_at)
             SELECT tenant_id, user_id, 'admin', now() - interval '1 day' FROM tenancy.memberships WHERE NOT is_owner",
        )
        .await?;
    Ok((world, viewer))
}

/// Runs the preparations on a fresh connection of the app role, and then asks for what the viewer
/// does not hold.
async fn attack(world: &World, viewer: &TenantCtx, preparations: &'static str) -> Result<bool> {
    let mut conn = PgConnection::connect(world.db.server.app_url()).await?;
    sqlx::raw_sql(preparations).execute(&mut conn).await?;
    let mut tx = conn.begin().await?;
    for (name, value) in [
        ("tenancy.tenant_id", viewer.tenant().to_string()),
        ("tenancy.user_id", user(viewer).to_string()),
    ] {
        sqlx::query("SELECT set_config($1, $2, true)")
            .bind(name)
            .bind(value)
            .execute(&mut *tx)
            .await?;
    }
    let said: Option<bool> = sqlx::query_scalar(
        "SELECT util.user_has_permission(util.current_tenant(), pg_catalog.concat('templates', '.purge'))",
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(said.unwrap_or(false))
}

/// How the catalog shows the search path of the function.
const PINNED: &str = "SET search_path TO 'pg_catalog', 'pg_temp'";

/// Rewrites the function with a part of its text replaced, and without its search path.
async fn weaken(world: &World, from: &str, to: &str) -> Result {
    let superuser = world.db.superuser().await?;
    let source: String = sqlx::query_scalar(
        "SELECT pg_get_functiondef('util.user_has_permission(uuid, text)'::regprocedure)",
    )
    .fetch_one(&superuser)
    .await?;
    let weak = source.replace(from, to).replace(PINNED, "");
    assert_ne!(weak, source);
    sqlx::raw_sql(sqlx::AssertSqlSafe(weak))
        .execute(&superuser)
        .await?;
    Ok(())
}

const TEMP_TABLES: &str = "
    CREATE TEMP TABLE effective_roles AS
        SELECT t AS tenant_id, u AS user_id, 'viewer'::text AS role_key
        FROM (VALUES (NULL::uuid, NULL::uuid)) v(t, u) WHERE false;
    CREATE TEMP TABLE role_permissions (tenant_id uuid, role_key text, permission_key text);
    CREATE TEMP TABLE member_roles (LIKE effective_roles, expires_at timestamptz);
    CREATE TEMP TABLE memberships (tenant_id uuid, user_id uuid, status text);
    -- Whatever is asked of them, they have it.
    CREATE FUNCTION pg_temp.fill() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO pg_temp.effective_roles
            SELECT current_setting('attack.tenant')::uuid, current_setting('attack.user')::uuid, 'viewer';
        INSERT INTO pg_temp.member_roles TABLE pg_temp.effective_roles;
    END $$;
    GRANT SELECT ON pg_temp.effective_roles, pg_temp.member_roles, pg_temp.role_permissions TO PUBLIC;
    SET search_path = pg_temp, tenancy, util, public";

#[tokio::test]
async fn temp_tables_do_not_stand_in_for_the_tables_of_roles() -> Result {
    let (world, viewer) = attacker().await?;
    assert!(!with_temp_tables(&world, &viewer).await?);
    weaken(&world, "tenancy.member_roles", "member_roles").await?;
    weaken_more(&world).await?;
    assert!(
        with_temp_tables(&world, &viewer).await?,
        "the attack works where it is not prevented"
    );
    Ok(())
}

async fn weaken_more(world: &World) -> Result {
    let superuser = world.db.superuser().await?;
    let source: String = sqlx::query_scalar(
        "SELECT pg_get_functiondef('util.user_has_permission(uuid, text)'::regprocedure)",
    )
    .fetch_one(&superuser)
    .await?;
    let weak = source.replace("tenancy.role_permissions", "role_permissions");
    sqlx::raw_sql(sqlx::AssertSqlSafe(weak))
        .execute(&superuser)
        .await?;
    Ok(())
}

async fn with_temp_tables(world: &World, viewer: &TenantCtx) -> Result<bool> {
    let mut conn = PgConnection::connect(world.db.server.app_url()).await?;
    sqlx::raw_sql(TEMP_TABLES).execute(&mut conn).await?;
    let mut tx = conn.begin().await?;
    let (tenant, who) = (viewer.tenant().to_string(), user(viewer).to_string());
    for (name, value) in [
        ("tenancy.tenant_id", &tenant),
        ("tenancy.user_id", &who),
        ("attack.tenant", &tenant),
        ("attack.user", &who),
    ] {
        sqlx::query("SELECT set_config($1, $2, true)")
            .bind(name)
            .bind(value)
            .execute(&mut *tx)
            .await?;
    }
    sqlx::raw_sql("SELECT pg_temp.fill()")
        .execute(&mut *tx)
        .await?;
    sqlx::query("INSERT INTO pg_temp.role_permissions VALUES ($1, 'viewer', 'templates.purge')")
        .bind(viewer.tenant())
        .execute(&mut *tx)
        .await?;
    let said: Option<bool> = sqlx::query_scalar(
        "SELECT util.user_has_permission(util.current_tenant(), 'templates.purge')",
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(said.unwrap_or(false))
}

const OPERATORS: &str = "
    CREATE FUNCTION attack.yes(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
    CREATE FUNCTION attack.yes(uuid, uuid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
    CREATE OPERATOR attack.= (LEFTARG = text, RIGHTARG = text, FUNCTION = attack.yes);
    CREATE OPERATOR attack.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = attack.yes);
    GRANT USAGE ON SCHEMA attack TO PUBLIC;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA attack TO PUBLIC;
    SET search_path = attack, pg_catalog";

#[tokio::test]
async fn an_operator_of_ones_own_is_not_found() -> Result {
    let (world, viewer) = attacker().await?;
    assert!(!attack(&world, &viewer, OPERATORS).await?);
    let (world, viewer) = attacker().await?;
    weaken(&world, "DECLARE", "DECLARE").await?;
    assert!(
        attack(&world, &viewer, OPERATORS).await?,
        "the attack works where it is not prevented"
    );
    Ok(())
}

/// With a clock of the attacker's no role has ended. The others are for a body that names its own carelessly.
const FUNCTIONS: &str = "
    CREATE FUNCTION attack.statement_timestamp() RETURNS timestamptz LANGUAGE sql AS
        'SELECT ''-infinity''::pg_catalog.timestamptz';
    CREATE FUNCTION attack.context_is(uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
    CREATE FUNCTION attack.user_has_permission(uuid, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
    GRANT USAGE ON SCHEMA attack TO PUBLIC;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA attack TO PUBLIC;
    SET search_path = attack, pg_catalog";

#[tokio::test]
async fn functions_of_ones_own_are_not_found() -> Result {
    let (world, viewer) = attacker().await?;
    assert!(!attack(&world, &viewer, FUNCTIONS).await?);
    let (world, viewer) = attacker().await?;
    weaken(&world, "DECLARE", "DECLARE").await?;
    assert!(
        !attack(&world, &viewer, "SELECT").await?,
        "by itself it says no"
    );
    assert!(
        attack(&world, &viewer, FUNCTIONS).await?,
        "the attack works where it is not prevented"
    );
    Ok(())
}

/// Where `pg_temp` is not put last by name, it is looked into first for types: a domain there runs
/// its CHECK as whoever owns the function that uses it.
const DOMAINS: &str = "
    CREATE FUNCTION pg_temp.run_as(pg_catalog.anyelement) RETURNS pg_catalog.bool LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$;
    GRANT EXECUTE ON FUNCTION pg_temp.run_as(pg_catalog.anyelement) TO PUBLIC;
    CREATE DOMAIN pg_temp.uuid AS pg_catalog.uuid CHECK (pg_temp.run_as(VALUE));
    CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (pg_temp.run_as(VALUE));
    CREATE DOMAIN pg_temp.timestamptz AS pg_catalog.timestamptz CHECK (pg_temp.run_as(VALUE))";

#[tokio::test]
async fn a_temp_domain_does_not_stand_in_for_a_type() -> Result {
    let (world, viewer) = attacker().await?;
    assert!(!attack(&world, &viewer, DOMAINS).await?);

    let superuser = world.db.superuser().await?;
    let source: String = sqlx::query_scalar(
        "SELECT pg_get_functiondef('util.user_has_permission(uuid, text)'::regprocedure)",
    )
    .fetch_one(&superuser)
    .await?;
    // The two locks on this door: the path that names the catalog first, and the qualified type.
    let weak = source
        .replace(PINNED, "SET search_path TO ''")
        .replace("who pg_catalog.uuid", "who uuid");
    assert_ne!(weak, source);
    sqlx::raw_sql(sqlx::AssertSqlSafe(weak))
        .execute(&superuser)
        .await?;
    let ran = attack(&world, &viewer, DOMAINS)
        .await
        .unwrap_err()
        .to_string();
    assert!(ran.contains("ran as tenancy_definer"), "{ran}");
    Ok(())
}

/// One change of each kind.
const CHANGES: &str = r#"SELECT outcome FROM tenancy.change_policy('[
    {"op": "create", "role": "one", "name": "One"}, {"op": "create", "role": "two", "name": "Two"},
    {"op": "clone", "role": "three", "other": "two", "name": "Three"},
    {"op": "rename", "role": "clerk2", "name": "Clerks"},
    {"op": "remove_parent", "role": "clerk2", "other": "viewer"},
    {"op": "revoke", "role": "support", "other": "templates.read"},
    {"op": "revoke_wildcard", "role": "clerk2", "other": "templates.*"},
    {"op": "delete", "role": "member"},
    {"op": "grant", "role": "one", "other": "templates.write"},
    {"op": "grant_wildcard", "role": "one", "other": "templates.*"},
    {"op": "add_parent", "role": "one", "other": "two"}
]'::pg_catalog.jsonb)"#;

#[tokio::test]
async fn no_function_of_this_crate_can_be_made_to_run_a_domain_of_the_callers() -> Result {
    let (world, _) = attacker().await?;
    let mut conn = PgConnection::connect(world.db.server.app_url()).await?;
    sqlx::raw_sql(DOMAINS).execute(&mut conn).await?;
    let mut tx = conn.begin().await?;
    for (name, value) in [
        ("tenancy.tenant_id", world.owner.tenant().to_string()),
        ("tenancy.user_id", user(&world.owner).to_string()),
    ] {
        sqlx::query("SELECT set_config($1, $2, true)")
            .bind(name)
            .bind(value)
            .execute(&mut *tx)
            .await?;
    }
    for (call, outcome) in [
        (
            "SELECT outcome FROM tenancy.seed_roles(util.current_user_id())",
            "unchanged",
        ),
        (
            "SELECT outcome FROM tenancy.create_role('clerk', 'Clerk')",
            "ok",
        ),
        (
            "SELECT outcome FROM tenancy.rename_role('clerk', 'Clerks')",
            "ok",
        ),
        (
            "SELECT outcome FROM tenancy.grant_permission('clerk', 'templates.read')",
            "ok",
        ),
        (
            "SELECT outcome FROM tenancy.assign_role(util.current_user_id(), 'clerk', NULL)",
            "ok",
        ),
        (
            "SELECT outcome FROM tenancy.unassign_role(util.current_user_id(), 'clerk')",
            "ok",
        ),
        (
            "SELECT outcome FROM tenancy.revoke_permission('clerk', 'templates.read')",
            "ok",
        ),
        (
            "SELECT outcome FROM tenancy.grant_wildcard('clerk', 'templates.*')",
            "ok",
        ),
        (
            "SELECT outcome FROM tenancy.add_role_parent('clerk', 'viewer')",
            "ok",
        ),
        (
            "SELECT outcome FROM tenancy.clone_role('clerk', 'clerk2', 'Clerk 2')",
            "ok",
        ),
        (
            "SELECT (tenancy.grant_source('clerk', 'templates.read', true)).pattern",
            "templates.*",
        ),
        (
            "SELECT outcome FROM tenancy.remove_role_parent('clerk', 'viewer')",
            "ok",
        ),
        (
            "SELECT outcome FROM tenancy.revoke_wildcard('clerk', 'templates.*')",
            "ok",
        ),
        ("SELECT outcome FROM tenancy.lock_policy()", "ok"),
        (
            "SELECT verdict FROM util.explain_permission(util.current_tenant(), 'templates.read')",
            "allowed",
        ),
        (
            "SELECT (SELECT util.tenants_with('templates.read') = util.current_tenant())::pg_catalog.text",
            "true",
        ),
        ("SELECT outcome FROM tenancy.delete_role('clerk')", "ok"),
        (CHANGES, "ok"),
        (
            "SELECT outcome FROM tenancy.may_grant_roles(NULL, '{owner}')",
            "ok",
        ),
        (
            "SELECT outcome FROM tenancy.assign_invited(NULL, NULL, '{owner}')",
            "not_invited",
        ),
        (
            "SELECT (util.my_permissions(util.current_tenant()))[1]",
            "api_keys.manage",
        ),
        ("SELECT (util.my_roles(util.current_tenant()))[1]", "owner"),
    ] {
        let said: String = sqlx::query_scalar(call).fetch_one(&mut *tx).await?;
        assert_eq!(said, outcome, "{call}");
    }
    Ok(())
}

/// Every helper that a host's SQL may call, asked for what the viewer may be told: nothing of what he
/// does not hold.
const HELPERS: &str = "
    SELECT pg_catalog.concat_ws(' ',
        util.user_has_permission(util.current_tenant(), 'templates.purge'),
        pg_catalog.array_to_string(util.my_permissions(util.current_tenant()), ','),
        pg_catalog.array_to_string(util.my_roles(util.current_tenant()), ','),
        (SELECT pg_catalog.count(*) FROM util.tenants_with('templates.purge')),
        (SELECT pg_catalog.string_agg(e.verdict, ',') FROM util.explain_permission(util.current_tenant(), 'templates.purge') e)
    )";

#[tokio::test]
async fn no_helper_is_led_astray_by_tables_operators_functions_or_types_of_ones_own() -> Result {
    let (world, viewer) = attacker().await?;
    let ask = async |preparations: &'static str| -> Result<String> {
        let mut conn = PgConnection::connect(world.db.server.app_url()).await?;
        sqlx::raw_sql(preparations).execute(&mut conn).await?;
        let mut tx = conn.begin().await?;
        for (name, value) in [
            ("tenancy.tenant_id", viewer.tenant().to_string()),
            ("tenancy.user_id", user(&viewer).to_string()),
            ("attack.tenant", viewer.tenant().to_string()),
            ("attack.user", user(&viewer).to_string()),
        ] {
            sqlx::query("SELECT pg_catalog.set_config($1, $2, true)")
                .bind(name)
                .bind(value)
                .execute(&mut *tx)
                .await?;
        }
        Ok(sqlx::query_scalar(HELPERS).fetch_one(&mut *tx).await?)
    };
    let honest = ask("SELECT 1").await?;
    assert_eq!(honest, "f templates.read viewer 0 ended,ended");
    for preparations in [TEMP_TABLES, OPERATORS, FUNCTIONS, DOMAINS] {
        assert_eq!(ask(preparations).await?, honest, "{preparations}");
    }
    Ok(())
}

#[tokio::test]
async fn a_new_function_is_looked_at() -> Result {
    let world = World::new().await?;
    let core = Db::new(&[&CORE]).await?;
    let all = "SELECT p.proname::text FROM pg_proc p
        WHERE p.pronamespace IN ('tenancy'::regnamespace, 'util'::regnamespace) ORDER BY 1";
    let known: Vec<String> = sqlx::query_scalar(all)
        .fetch_all(&core.superuser().await?)
        .await?;
    let mut found: Vec<String> = sqlx::query_scalar(all)
        .fetch_all(&world.db.superuser().await?)
        .await?;
    found.retain(|name| !known.contains(name));
    assert_eq!(found, OURS, "add it to the lists below, and to the attacks");
    Ok(())
}

/// Every function of this crate; the catalog test above fails if one is missing here.
const OURS: &[&str] = &[
    "acting_person",
    "add_role_parent",
    "assign_invited",
    "assign_role",
    "begin_role_change",
    "begin_upgrade",
    "bump_epoch",
    "catch_up_roles",
    "catch_up_tenant",
    "catch_up_tenants",
    "change_breaks",
    "change_exceeds",
    "change_policy",
    "changes_of",
    "clone_role",
    "context_is",
    "context_maker",
    "context_permissions",
    "context_user",
    "copy_role",
    "create_role",
    "cut_content",
    "cut_list",
    "delete_role",
    "edited_roles",
    "expand_roles",
    "explain_permission",
    "finish_upgrade",
    "first_that_breaks",
    "first_that_exceeds",
    "give_template_parents",
    "grant_permission",
    "grant_source",
    "grant_wildcard",
    "has_administrator",
    "keep_administrator",
    "lacks_of_roles",
    "lock_policy",
    "make_changes",
    "make_grant_changes",
    "make_member_changes",
    "make_role_change",
    "make_role_changes",
    "may_grant_roles",
    "my_permissions",
    "my_roles",
    "permissions_of_role",
    "principal_lacks",
    "principal_rights",
    "purge_ended_roles",
    "register_permissions",
    "remove_role_parent",
    "rename_role",
    "revoke_permission",
    "revoke_wildcard",
    "rights_lack",
    "role_content",
    "role_depth",
    "role_heirs",
    "role_summary",
    "seed_roles",
    "set_member_roles",
    "set_owner_role",
    "subject_has_permission",
    "take_upgrades",
    "tenants_with",
    "tenants_with_upgrades",
    "unassign_role",
    "user_has_permission",
    "user_lacks",
    "user_lacks_wildcard",
    "wildcards_of_roles",
    "write_grant_changes",
];

/// What the app role may call; everything else is for the functions themselves.
const FOR_THE_APP: &[&str] = &[
    "add_role_parent",
    "assign_invited",
    "assign_role",
    "change_policy",
    "clone_role",
    "create_role",
    "delete_role",
    "explain_permission",
    "grant_permission",
    "grant_source",
    "grant_wildcard",
    "lock_policy",
    "may_grant_roles",
    "my_permissions",
    "my_roles",
    "remove_role_parent",
    "rename_role",
    "revoke_permission",
    "revoke_wildcard",
    "seed_roles",
    "set_member_roles",
    "set_owner_role",
    "take_upgrades",
    "tenants_with",
    "unassign_role",
    "user_has_permission",
];

/// What the service role may call: each is on the doctor's list of functions that cross tenants.
const FOR_THE_WORKER: &[&str] = &["purge_ended_roles", "subject_has_permission"];

/// Name, owner, definer or not, settings, and who may call it: the app, the worker, everybody.
type FunctionRow = (String, String, bool, Option<Vec<String>>, bool, bool, bool);

#[tokio::test]
async fn every_function_is_closed_to_the_public_and_pins_its_search_path() -> Result {
    let world = World::new().await?;
    let rows: Vec<FunctionRow> = sqlx::query_as(
        "SELECT p.proname::text, pg_get_userbyid(p.proowner)::text, p.prosecdef, p.proconfig,
            has_function_privilege('tenancy_app', p.oid, 'EXECUTE'),
            has_function_privilege('tenancy_worker', p.oid, 'EXECUTE'),
            EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
         FROM pg_proc p WHERE p.proname = ANY ($1) ORDER BY 1",
    )
    .bind(OURS)
    .fetch_all(&world.db.superuser().await?)
    .await?;
    assert_eq!(rows.len(), OURS.len());
    for (name, owner, is_definer, settings, for_app, for_worker, is_public) in rows {
        assert_eq!(owner, "tenancy_definer", "{name}");
        assert!(is_definer, "{name}");
        assert_eq!(
            settings.unwrap_or_default(),
            ["search_path=pg_catalog, pg_temp"],
            "{name}"
        );
        assert_eq!(for_app, FOR_THE_APP.contains(&name.as_str()), "{name}");
        let crosses = FOR_THE_WORKER.contains(&name.as_str());
        assert_eq!((for_worker, is_public), (crosses, false), "{name}");
    }
    Ok(())
}

/// A role that nobody granted anything, but for a way into the schemas.
const OUTSIDER: &str = "
    DO $$ BEGIN CREATE ROLE tenancy_test_outsider; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$;
    GRANT USAGE ON SCHEMA util, tenancy TO tenancy_test_outsider";

#[tokio::test]
async fn the_public_can_not_call_the_helper_even_where_the_defaults_say_so() -> Result {
    let world = World::new().await?;
    world.as_superuser(OUTSIDER).await?;
    let superuser = world.db.superuser().await?;
    let source: String = sqlx::query_scalar(
        "SELECT pg_get_functiondef('util.user_has_permission(uuid, text)'::regprocedure)",
    )
    .fetch_one(&superuser)
    .await?;
    // The same but for what it is called, and as Postgres hands out what it is not told to keep closed.
    let open = source.replace("util.user_has_permission", "util.open_to_everybody");
    sqlx::raw_sql(sqlx::AssertSqlSafe(open))
        .execute(&superuser)
        .await?;
    let mut conn = superuser.acquire().await?.detach();
    sqlx::raw_sql("SET ROLE tenancy_test_outsider")
        .execute(&mut conn)
        .await?;
    for asked in [
        "SELECT util.user_has_permission(NULL, NULL)",
        "SELECT util.my_permissions(NULL)",
        "SELECT util.subject_has_permission(NULL, NULL, NULL)",
        "SELECT tenancy.bump_epoch()",
    ] {
        let refused = sqlx::raw_sql(asked).execute(&mut conn).await.unwrap_err();
        let refused = refused.as_database_error().ok_or("another error")?;
        assert_eq!(refused.code().as_deref(), Some("42501"), "{asked}");
        assert!(
            refused.message().contains("for function"),
            "it is the function that is closed, and not its schema: {refused}"
        );
    }
    let said: bool = sqlx::query_scalar("SELECT util.open_to_everybody(NULL, NULL)")
        .fetch_one(&mut conn)
        .await?;
    assert!(!said, "it is called, where it is not closed");
    Ok(())
}
