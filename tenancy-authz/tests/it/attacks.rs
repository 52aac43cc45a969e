//! What a login that may run SQL can't make the helper say, or do.
//!
//! Each attack is first tried on the function as it ships, and then on one that lacks the defence:
//! there it has to succeed, or it proves nothing.

use sqlx::{Connection as _, PgConnection};
use tenancy_core::TenantCtx;

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
            "SELECT tenancy.lock_held_roles(util.current_user_id()) -> 0 ->> 'role'",
            "owner",
        ),
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
