//! What a database gives away by default: nothing of it reaches the functions of this crate.

use sqlx::{AssertSqlSafe, PgPool};
use tenancy_authz::COMPONENT;
use tenancy_core::migrate::{self, CORE};
use tenancy_testkit::Db;

use crate::support::{Result, World};

/// As platforms do it for the roles of their APIs, for whatever `{creator}` makes later.
const DEFAULTS: &str = "
    ALTER DEFAULT PRIVILEGES FOR ROLE {creator} GRANT EXECUTE ON FUNCTIONS TO tenancy_test_favoured, PUBLIC;
    ALTER DEFAULT PRIVILEGES FOR ROLE {creator} IN SCHEMA tenancy GRANT EXECUTE ON FUNCTIONS TO tenancy_test_favoured, PUBLIC;
    ALTER DEFAULT PRIVILEGES FOR ROLE {creator} IN SCHEMA util GRANT EXECUTE ON FUNCTIONS TO tenancy_test_favoured, PUBLIC";

/// A role that a platform favours, with a way into the schemas.
const FAVOURED: &str = "
    DO $$ BEGIN CREATE ROLE tenancy_test_favoured; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$;
    GRANT USAGE ON SCHEMA util, tenancy TO tenancy_test_favoured";

/// Who may call the functions of the definer, but he himself: function and role.
async fn callers(superuser: &PgPool) -> Result<Vec<(String, String)>> {
    Ok(sqlx::query_as(
        "SELECT p.oid::regprocedure::text, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
         FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         WHERE p.pronamespace IN ('tenancy'::regnamespace, 'util'::regnamespace)
           AND p.proowner = 'tenancy_definer'::regrole AND a.grantee <> p.proowner
         ORDER BY 1, 2",
    )
    .fetch_all(superuser)
    .await?)
}

#[tokio::test]
async fn what_default_privileges_give_away_does_not_reach_the_functions() -> Result {
    let usual = World::new().await?;
    let by_usual_defaults = callers(&usual.db.superuser().await?).await?;
    let db = Db::new(&[&CORE]).await?;
    let operator: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(db.operator.pool())
        .await?;
    for creator in [operator.as_str(), "tenancy_definer"] {
        let db = Db::new(&[&CORE]).await?;
        let superuser = db.superuser().await?;
        sqlx::raw_sql(FAVOURED).execute(&superuser).await?;
        sqlx::raw_sql(AssertSqlSafe(DEFAULTS.replace("{creator}", creator)))
            .execute(&superuser)
            .await?;
        migrate::migrate(&db.operator, &[&CORE, &COMPONENT]).await?;
        assert_eq!(callers(&superuser).await?, by_usual_defaults, "{creator}");

        let mut conn = superuser.acquire().await?.detach();
        sqlx::raw_sql("SET ROLE tenancy_test_favoured")
            .execute(&mut conn)
            .await?;
        for asked in [
            "SELECT util.user_has_permission(NULL, NULL)",
            "SELECT util.subject_has_permission(NULL, NULL, NULL)",
            "SELECT tenancy.bump_epoch()",
        ] {
            let refused = sqlx::raw_sql(asked).execute(&mut conn).await.unwrap_err();
            let refused = refused.as_database_error().ok_or("another error")?;
            assert_eq!(
                refused.code().as_deref(),
                Some("42501"),
                "{creator}: {asked}"
            );
            assert!(refused.message().contains("for function"), "{refused}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn whom_the_definers_defaults_name_has_no_share_in_what_it_makes_later() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let superuser = db.superuser().await?;
    sqlx::raw_sql(FAVOURED).execute(&superuser).await?;
    let defaults = DEFAULTS.replace("{creator}", "tenancy_definer");
    sqlx::raw_sql(AssertSqlSafe(defaults))
        .execute(&superuser)
        .await?;
    let make = "SET LOCAL ROLE tenancy_definer;
        CREATE FUNCTION util.later() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1;
        REVOKE EXECUTE ON FUNCTION util.later() FROM PUBLIC;
        SET LOCAL ROLE NONE";
    let may_call =
        "SELECT has_function_privilege('tenancy_test_favoured', 'util.later()', 'EXECUTE')";
    let mut before = superuser.begin().await?;
    sqlx::raw_sql(make).execute(&mut *before).await?;
    let may: bool = sqlx::query_scalar(may_call).fetch_one(&mut *before).await?;
    assert!(
        may,
        "closing it to PUBLIC takes nothing from a role that is named"
    );
    before.rollback().await?;

    migrate::migrate(&db.operator, &[&CORE, &COMPONENT]).await?;
    let mut after = superuser.begin().await?;
    sqlx::raw_sql(make).execute(&mut *after).await?;
    let may: bool = sqlx::query_scalar(may_call).fetch_one(&mut *after).await?;
    assert!(!may);
    Ok(())
}
