//! Every function of this crate, and who may call it.

use tenancy_core::migrate::CORE;
use tenancy_testkit::Db;

use crate::support::{Result, World};

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
    assert_eq!(found, OURS, "add it to the lists below, and to `attacks`");
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
    "held_roles",
    "keep_administrator",
    "lacks_of_roles",
    "lock_held_roles",
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
    "lock_held_roles",
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
