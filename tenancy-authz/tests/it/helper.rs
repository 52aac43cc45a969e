//! `util.user_has_permission`, in SQL and in a host's policy.

use std::collections::BTreeMap;

use sqlx::{Connection as _, PgConnection};
use tenancy_core::{ServiceKey, TenantDb, TenantId, TenantTx, UserId};

use crate::support::{PURGE, READ, Result, World, user};

/// Asks on a connection of the app role with these settings; NULL is not an answer.
async fn ask(
    conn: &mut PgConnection,
    settings: &[(&str, String)],
    tenant: Option<TenantId>,
    permission: Option<&str>,
) -> Result<bool> {
    let mut tx = conn.begin().await?;
    for (name, value) in settings {
        sqlx::query("SELECT set_config($1, $2, true)")
            .bind(name)
            .bind(value)
            .execute(&mut *tx)
            .await?;
    }
    let said: Option<bool> = sqlx::query_scalar("SELECT util.user_has_permission($1, $2)")
        .bind(tenant)
        .bind(permission)
        .fetch_one(&mut *tx)
        .await?;
    tx.rollback().await?;
    said.ok_or_else(|| "NULL is no answer".into())
}

#[tokio::test]
async fn the_function_is_true_or_false_in_every_case() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer"]).await?;
    let here = member.tenant();
    let there = world.other_owner.tenant();
    let conn = &mut PgConnection::connect(world.db.server.app_url()).await?;
    let tenant = |value: &dyn ToString| ("tenancy.tenant_id", value.to_string());
    let who = |value: &dyn ToString| ("tenancy.user_id", value.to_string());
    let in_order = [tenant(&here), who(&user(&member))];

    assert!(ask(conn, &in_order, Some(here), Some("templates.read")).await?);
    for (case, settings, t, p) in [
        ("no context", vec![], Some(here), Some("templates.read")),
        (
            "a context that ended",
            vec![tenant(&""), who(&"")],
            Some(here),
            Some("templates.read"),
        ),
        (
            "no user",
            vec![tenant(&here)],
            Some(here),
            Some("templates.read"),
        ),
        (
            "no tenant",
            vec![who(&user(&member))],
            Some(here),
            Some("templates.read"),
        ),
        (
            "a tenant that is no uuid",
            vec![tenant(&"x' OR true"), who(&user(&member))],
            Some(here),
            Some("templates.read"),
        ),
        (
            "a user that is no uuid",
            vec![tenant(&here), who(&"root")],
            Some(here),
            Some("templates.read"),
        ),
        (
            "no tenant asked for",
            in_order.to_vec(),
            None,
            Some("templates.read"),
        ),
        (
            "no permission asked for",
            in_order.to_vec(),
            Some(here),
            None,
        ),
        (
            "an unknown tenant",
            in_order.to_vec(),
            Some(TenantId::new()),
            Some("templates.read"),
        ),
        (
            "another tenant",
            in_order.to_vec(),
            Some(there),
            Some("templates.read"),
        ),
        (
            "a permission not granted",
            in_order.to_vec(),
            Some(here),
            Some("templates.purge"),
        ),
        (
            "an unknown permission",
            in_order.to_vec(),
            Some(here),
            Some("no.such"),
        ),
        (
            "a permission in upper case",
            in_order.to_vec(),
            Some(here),
            Some("TEMPLATES.READ"),
        ),
        (
            "an empty permission",
            in_order.to_vec(),
            Some(here),
            Some(""),
        ),
        (
            "a pattern",
            in_order.to_vec(),
            Some(here),
            Some("templates.%"),
        ),
        (
            "a stranger",
            vec![tenant(&here), who(&UserId::new())],
            Some(here),
            Some("templates.read"),
        ),
        (
            "a member of another tenant",
            vec![tenant(&here), who(&user(&world.other_owner))],
            Some(here),
            Some("templates.read"),
        ),
        (
            "the settings of a service on a user",
            [
                &in_order[..],
                &[("tenancy.permissions", "templates.purge".to_owned())],
            ]
            .concat(),
            Some(here),
            Some("templates.purge"),
        ),
        (
            "a kind of actor that does not exist",
            [&in_order[..], &[("tenancy.actor_kind", "god".to_owned())]].concat(),
            Some(here),
            Some("templates.read"),
        ),
    ] {
        assert!(!ask(conn, &settings, t, p).await?, "{case}");
    }
    let unknown = TenantId::new();
    let settings = [tenant(&unknown), who(&user(&member))];
    assert!(
        !ask(conn, &settings, Some(unknown), Some("templates.read")).await?,
        "unknown context"
    );
    Ok(())
}

#[tokio::test]
async fn what_a_service_or_an_api_key_holds_is_exactly_what_it_brings() -> Result {
    let world = World::new().await?;
    let here = world.owner.tenant();
    let key = ServiceKey::from_static("importer");
    let service = world.db.app.enter_system(here, key, vec![READ]).await?;
    assert!(world.allowed_by_sql(&service, &READ).await? && world.allowed(&service, &READ).await?);
    assert!(!world.allowed_by_sql(&service, &PURGE).await?);
    assert!(!world.allowed(&service, &PURGE).await?);

    // Whoever it may act for: the roles of a user it names give it nothing. A key's maker is the owner.
    let made = "INSERT INTO tenancy.api_keys (tenant_id, id, name, prefix, permissions, created_by, expires_at)
        VALUES ($1, $2, 'key', 'tk', '{templates.read}', $3, now() + interval '1 day')";
    let key = uuid::Uuid::now_v7();
    sqlx::query(made)
        .bind(here)
        .bind(key)
        .bind(user(&world.owner))
        .execute(&world.db.superuser().await?)
        .await?;
    let conn = &mut PgConnection::connect(world.db.server.app_url()).await?;
    for kind in ["service", "api_key"] {
        let settings = [
            ("tenancy.tenant_id", here.to_string()),
            ("tenancy.user_id", user(&world.owner).to_string()),
            ("tenancy.actor_kind", kind.to_owned()),
            ("tenancy.actor_id", key.to_string()),
            (
                "tenancy.permissions",
                "templates.write,templates.read".to_owned(),
            ),
        ];
        assert!(ask(conn, &settings, Some(here), Some("templates.read")).await?);
        assert!(!ask(conn, &settings, Some(here), Some("templates.purge")).await?);
        assert!(
            !ask(
                conn,
                &settings,
                Some(TenantId::new()),
                Some("templates.read")
            )
            .await?
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_key_holds_what_its_maker_holds_and_loses_what_he_loses() -> Result {
    let world = World::new().await?;
    let here = world.owner.tenant();
    let member = world.member(&["viewer"]).await?;
    let key = tenancy_core::ApiKeyId::new();
    sqlx::query(
        "INSERT INTO tenancy.api_keys (tenant_id, id, name, prefix, permissions, created_by, expires_at)
         VALUES ($1, $2, 'key', 'tk', '{templates.read,templates.purge}', $3, now() + interval '1 day')",
    )
    .bind(here)
    .bind(key)
    .bind(user(&member))
    .execute(&world.db.superuser().await?)
    .await?;
    let principal = tenancy_core::Principal::api_key(key, vec![READ, PURGE]);
    let ctx = world.db.app.enter_as(here, principal).await?;
    assert!(world.allowed_by_sql(&ctx, &READ).await? && world.allowed(&ctx, &READ).await?);
    // Brought along, but not his to give any more.
    assert!(!world.allowed_by_sql(&ctx, &PURGE).await? && !world.allowed(&ctx, &PURGE).await?);
    let mut tx = world.db.app.read(&ctx).await?;
    let mine: Vec<String> = sqlx::query_scalar("SELECT util.my_permissions($1)")
        .bind(here)
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(mine, ["templates.read"]);
    drop(tx);
    sqlx::query("DELETE FROM tenancy.member_roles WHERE tenant_id = $1 AND user_id = $2")
        .bind(here)
        .bind(user(&member))
        .execute(&world.db.superuser().await?)
        .await?;
    assert!(!world.allowed_by_sql(&ctx, &READ).await?);
    Ok(())
}

#[tokio::test]
async fn my_permissions_and_my_roles_answer_for_the_open_tenant_only() -> Result {
    let world = World::new().await?;
    let member = world.member(&["support", "viewer"]).await?;
    let mine = async |tenant: TenantId| -> Result<(Vec<String>, Vec<String>)> {
        let mut tx = world.db.app.read(&member).await?;
        Ok(
            sqlx::query_as("SELECT util.my_permissions($1), util.my_roles($1)")
                .bind(tenant)
                .fetch_one(&mut *tx)
                .await?,
        )
    };
    let (permissions, roles) = mine(member.tenant()).await?;
    assert_eq!(
        permissions,
        ["members.read", "roles.read", "templates.read"]
    );
    assert_eq!(roles, ["support", "viewer"]);
    let elsewhere = mine(world.other_owner.tenant()).await?;
    assert_eq!(elsewhere, (vec![], vec![]));
    Ok(())
}

/// 1,000 rows of a host for each of two tenants, under a policy that asks for a permission.
///
/// The table's lock comes first: a vacuum that runs by itself waits for whoever has granted
/// something on its table, and so the two would wait for each other.
async fn guarded_rows(world: &World, policy: &'static str) -> Result<TenantDb> {
    world
        .as_superuser(
            "CREATE TABLE IF NOT EXISTS public.templates (tenant_id uuid NOT NULL, id int NOT NULL, PRIMARY KEY (tenant_id, id));
             ALTER TABLE public.templates ENABLE ROW LEVEL SECURITY;
             ALTER TABLE public.templates FORCE ROW LEVEL SECURITY;
             GRANT SELECT ON public.templates TO tenancy_app;
             INSERT INTO public.templates SELECT t.id, n FROM tenancy.tenants t, generate_series(1, 1000) n ON CONFLICT DO NOTHING;
             DROP POLICY IF EXISTS readers ON public.templates;
             DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_functions = ''all''', current_database()); END $$",
        )
        .await?;
    world.as_superuser(policy).await?;
    // A new connection: the counting is switched on when it opens.
    Ok(TenantDb::connect(world.db.server.app_url()).await?)
}

/// Rows seen, and calls of the function it took.
async fn seen_and_calls(tx: &mut TenantTx) -> Result<(i64, i64)> {
    // The counter may still hold calls of the connection's last transaction.
    let before = calls(tx).await?;
    let rows = sqlx::query_scalar("SELECT count(*) FROM public.templates")
        .fetch_one(&mut **tx)
        .await?;
    Ok((rows, calls(tx).await? - before))
}

async fn calls(tx: &mut TenantTx) -> Result<i64> {
    Ok(sqlx::query_scalar(
        "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_xact_user_functions
         WHERE schemaname = 'util' AND funcname = 'user_has_permission'",
    )
    .fetch_one(&mut **tx)
    .await?)
}

#[tokio::test]
async fn in_a_hosts_policy_it_is_called_once_for_a_statement() -> Result {
    let world = World::new().await?;
    let (reader, nobody) = (
        world.member(&["viewer"]).await?,
        world.member(&["viewer"]).await?,
    );
    world
        .roles
        .unassign(&world.owner, user(&nobody), &crate::support::role("viewer"))
        .await?;
    let app = guarded_rows(
        &world,
        "CREATE POLICY readers ON public.templates FOR SELECT TO tenancy_app
         USING (tenant_id = util.current_tenant()
            AND (SELECT util.user_has_permission(util.current_tenant(), 'templates.read')))",
    )
    .await?;
    assert_eq!(
        seen_and_calls(&mut app.read(&reader).await?).await?,
        (1000, 1)
    );
    assert_eq!(seen_and_calls(&mut app.read(&nobody).await?).await?, (0, 1));
    assert_eq!(
        seen_and_calls(&mut app.read(&world.other_owner).await?).await?,
        (1000, 1)
    );

    // What the docs warn of: without the SELECT around it, once for every row.
    let app = guarded_rows(
        &world,
        "CREATE POLICY readers ON public.templates FOR SELECT TO tenancy_app
         USING (tenant_id = util.current_tenant()
            AND util.user_has_permission(util.current_tenant(), 'templates.read'))",
    )
    .await?;
    assert_eq!(
        seen_and_calls(&mut app.read(&reader).await?).await?,
        (1000, 1000)
    );

    // And without the tenant beside it, the rows of all.
    let app = guarded_rows(
        &world,
        "CREATE POLICY readers ON public.templates FOR SELECT TO tenancy_app
         USING ((SELECT util.user_has_permission(util.current_tenant(), 'templates.read')))",
    )
    .await?;
    assert_eq!(
        seen_and_calls(&mut app.read(&reader).await?).await?,
        (2000, 1)
    );
    Ok(())
}

/// How often each function of the family was called in this transaction.
async fn calls_of_all(tx: &mut TenantTx) -> Result<BTreeMap<String, i64>> {
    let calls: Vec<(String, i64)> = sqlx::query_as(
        "SELECT funcname::text, sum(calls)::bigint FROM pg_stat_xact_user_functions
         WHERE schemaname IN ('tenancy', 'util') GROUP BY funcname",
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(calls.into_iter().collect())
}

#[tokio::test]
async fn whatever_it_calls_itself_is_called_once_for_a_statement_too() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    let here = reader.tenant();
    let key = tenancy_core::ApiKeyId::new();
    sqlx::query(
        "INSERT INTO tenancy.api_keys (tenant_id, id, name, prefix, permissions, created_by, expires_at)
         VALUES ($1, $2, 'key', 'tk', '{templates.read}', $3, now() + interval '1 day')",
    )
    .bind(here)
    .bind(key)
    .bind(user(&reader))
    .execute(&world.db.superuser().await?)
    .await?;
    let principal = tenancy_core::Principal::api_key(key, vec![READ]);
    let by_key = world.db.app.enter_as(here, principal).await?;
    let service = ServiceKey::from_static("importer");
    let service = world.db.app.enter_system(here, service, vec![READ]).await?;
    // Of everything in the schemas, in whichever policy or function it stands.
    let guarded = "CREATE POLICY readers ON public.templates FOR SELECT TO tenancy_app
         USING (tenant_id = util.current_tenant()
            AND (SELECT util.user_has_permission(util.current_tenant(), 'templates.read')))";
    let by_row = "CREATE POLICY readers ON public.templates FOR SELECT TO tenancy_app
         USING (tenant_id = util.current_tenant()
            AND util.user_has_permission(util.current_tenant(), 'templates.read'))";
    for (policy, times) in [(guarded, 1), (by_row, 1000)] {
        let app = guarded_rows(&world, policy).await?;
        for (ctx, for_support, within) in [
            (&reader, false, None),
            (&reader, true, Some("closed_to_support")),
            (&by_key, false, Some("context_maker")),
            (&service, false, Some("context_permissions")),
        ] {
            let mut tx = app.read(ctx).await?;
            if for_support {
                sqlx::query("SELECT set_config('tenancy.on_behalf_of', $1, true)")
                    .bind(UserId::new().to_string())
                    .execute(&mut *tx)
                    .await?;
            }
            let before = calls_of_all(&mut tx).await?;
            let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM public.templates")
                .fetch_one(&mut *tx)
                .await?;
            let mut after = calls_of_all(&mut tx).await?;
            for (function, count) in &mut after {
                *count -= before.get(function).copied().unwrap_or_default();
            }
            after.retain(|_, count| *count > 0);
            assert_eq!(rows, 1000, "{within:?}");
            let asked = within.into_iter().chain(["user_has_permission"]);
            for function in asked {
                assert!(after.contains_key(function), "{function}: {after:?}");
            }
            assert!(
                after.values().all(|count| *count == times),
                "{within:?}: {after:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_host_asks_it_in_its_own_statements() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer"]).await?;
    let mut tx = world.db.app.read(&member).await?;
    let buttons: Vec<String> = sqlx::query_scalar(
        "SELECT key FROM tenancy.permissions
         WHERE key LIKE 'templates.%' AND util.user_has_permission(util.current_tenant(), key)",
    )
    .fetch_all(&mut *tx)
    .await?;
    assert_eq!(buttons, ["templates.read"]);
    Ok(())
}
