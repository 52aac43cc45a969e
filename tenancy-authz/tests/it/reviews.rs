//! Who may do what and why: in SQL, and as a matrix.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tenancy_authz::{ErrorKind, NewRole, RolePage, testing};
use tenancy_core::{ServiceKey, TenantCtx, TenantDb, TenantId, UserId};

use crate::support::{PURGE, READ, Result, World, name, role, user, wildcard};

/// Verdict, role, whether it grants, through which parent, by which wildcard.
type Row = (
    String,
    Option<String>,
    Option<bool>,
    Option<String>,
    Option<String>,
);

async fn explained(
    world: &World,
    ctx: &TenantCtx,
    tenant: TenantId,
    key: &str,
) -> Result<Vec<Row>> {
    let mut tx = world.db.app.read(ctx).await?;
    Ok(sqlx::query_as(
        "SELECT verdict, role_key, grants, through, pattern FROM util.explain_permission($1, $2)",
    )
    .bind(tenant)
    .bind(key)
    .fetch_all(&mut *tx)
    .await?)
}

#[tokio::test]
async fn sql_explains_by_which_role_through_which_parent_and_wildcard() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let base = NewRole::new(role("base"), name("Base")).with_wildcard(wildcard("templates.*"));
    roles.create(owner, base).await?;
    let clerk = NewRole::new(role("clerk"), name("Clerk")).with_parent(role("base"));
    roles.create(owner, clerk).await?;
    let member = world.member(&["clerk", "viewer", "support"]).await?;
    let here = member.tenant();
    let text = |words: &str| Some(words.to_owned());
    let rows = explained(&world, &member, here, "templates.purge").await?;
    assert_eq!(
        rows,
        [
            (
                "allowed".into(),
                text("clerk"),
                Some(true),
                text("base"),
                text("templates.*")
            ),
            ("allowed".into(), text("support"), Some(false), None, None),
            ("allowed".into(), text("viewer"), Some(false), None, None),
        ]
    );
    let verdict = async |ctx: &TenantCtx, tenant: TenantId, key: &str| -> Result<String> {
        Ok(explained(&world, ctx, tenant, key).await?.swap_remove(0).0)
    };
    assert_eq!(verdict(&member, here, "roles.manage").await?, "not_granted");
    assert_eq!(verdict(&member, here, "no.such").await?, "unregistered");
    assert_eq!(verdict(&member, here, "templates.*").await?, "unregistered");
    let there = world.other_owner.tenant();
    assert_eq!(
        verdict(&member, there, "templates.read").await?,
        "other_tenant"
    );
    let service = ServiceKey::from_static("importer");
    let service = world.db.app.enter_system(here, service, vec![READ]).await?;
    assert_eq!(
        verdict(&service, here, "templates.read").await?,
        "brought_along"
    );
    assert_eq!(
        verdict(&service, here, "templates.purge").await?,
        "not_brought_along"
    );

    for (statement, expected) in [
        (
            "UPDATE tenancy.member_roles SET expires_at = now() - interval '1 s' WHERE user_id = $1",
            "ended",
        ),
        (
            "DELETE FROM tenancy.member_roles WHERE user_id = $1",
            "not_granted",
        ),
        (
            "UPDATE tenancy.memberships SET status = 'deactivated' WHERE user_id = $1",
            "deactivated",
        ),
        (
            "UPDATE tenancy.tenants SET status = 'suspended_blocked' WHERE id = (SELECT tenant_id FROM tenancy.memberships WHERE user_id = $1)",
            "tenant_closed",
        ),
        (
            "DELETE FROM tenancy.memberships WHERE user_id = $1",
            "stranger",
        ),
    ] {
        let superuser: PgPool = world.db.superuser().await?;
        sqlx::query(statement)
            .bind(user(&member))
            .execute(&superuser)
            .await?;
        assert_eq!(verdict(&member, here, "templates.read").await?, expected);
        assert!(!world.allowed_by_sql(&member, &READ).await?, "{expected}");
    }
    Ok(())
}

#[tokio::test]
async fn sql_says_what_support_is_not_shown_and_what_the_maker_of_a_key_lost() -> Result {
    let world = World::new().await?;
    let here = world.owner.tenant();
    let member = world.member(&["viewer", "admin"]).await?;
    let asked = "SELECT DISTINCT verdict, util.user_has_permission($1, $2), $2 = ANY (util.my_permissions($1))
        FROM util.explain_permission($1, $2)";
    let said = async |ctx: &TenantCtx,
                      behalf: Option<UserId>,
                      key: &str|
           -> Result<(String, bool, bool)> {
        let mut tx = world.db.app.read(ctx).await?;
        if let Some(behalf) = behalf {
            sqlx::query("SELECT set_config('tenancy.on_behalf_of', $1, true)")
                .bind(behalf.to_string())
                .execute(&mut *tx)
                .await?;
        }
        let query = sqlx::query_as(asked).bind(here).bind(key);
        Ok(query.fetch_one(&mut *tx).await?)
    };
    let support = Some(UserId::new());
    for (behalf, key, verdict) in [
        (None, "roles.manage", "allowed"),
        (support, "roles.manage", "closed_to_support"),
        (support, "members.invite", "closed_to_support"),
        (support, "tenant.manage", "closed_to_support"),
        (support, "templates.purge", "allowed"),
        (support, "no.such", "unregistered"),
    ] {
        let holds = verdict == "allowed";
        let expected = (verdict.to_owned(), holds, holds);
        assert_eq!(
            said(&member, behalf, key).await?,
            expected,
            "{behalf:?} {key}"
        );
    }

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
    let by_key = world.db.app.enter_as(here, principal).await?;
    let of_key = async |verdicts: [&str; 3]| -> Result {
        for (permission, verdict) in ["templates.read", "templates.purge", "templates.write"]
            .into_iter()
            .zip(verdicts)
        {
            let holds = verdict == "brought_along";
            let expected = (verdict.to_owned(), holds, holds);
            assert_eq!(
                said(&by_key, None, permission).await?,
                expected,
                "{permission}"
            );
        }
        Ok(())
    };
    of_key(["brought_along", "brought_along", "not_brought_along"]).await?;
    let roles = &world.roles;
    roles
        .unassign(&world.owner, user(&member), &role("admin"))
        .await?;
    of_key(["brought_along", "maker_lacks", "not_brought_along"]).await?;
    // With his place goes all that his key brings.
    sqlx::query("UPDATE tenancy.memberships SET status = 'deactivated' WHERE user_id = $1")
        .bind(user(&member))
        .execute(&world.db.superuser().await?)
        .await?;
    of_key(["maker_lacks", "maker_lacks", "not_brought_along"]).await
}

/// Verdict, role and end, as the database explains them.
type ExplainedRow = (String, String, Option<DateTime<Utc>>);

/// Role, end, whether it has ended and whether it counts, as a review tells them.
type ReviewedRole = (String, Option<DateTime<Utc>>, bool, bool);

#[tokio::test]
async fn a_review_says_until_when_and_that_it_is_over() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let member = world.member(&["viewer"]).await?;
    let ends: DateTime<Utc> = "2999-01-01T00:00:00Z".parse()?;
    roles
        .assign(owner, user(&member), &role("support"), Some(ends))
        .await?;
    let in_sql = async || -> Result<Vec<ExplainedRow>> {
        let mut tx = world.db.app.read(&member).await?;
        let asked = "SELECT verdict, role_key, expires_at FROM util.explain_permission($1, 'templates.read')";
        let query = sqlx::query_as(asked).bind(member.tenant());
        Ok(query.fetch_all(&mut *tx).await?)
    };
    let row = |verdict: &str, key: &str, until| (verdict.to_owned(), key.to_owned(), until);
    assert_eq!(
        in_sql().await?,
        [
            row("allowed", "support", Some(ends)),
            row("allowed", "viewer", None)
        ]
    );
    let in_code = async || -> Result<Vec<ReviewedRole>> {
        let why = roles.why(owner, user(&member), &READ).await?;
        let told = why.roles.iter().map(|grant| {
            let counts = grant.counts();
            (
                grant.role.to_string(),
                grant.expires_at,
                grant.has_ended,
                counts,
            )
        });
        Ok(told.collect())
    };
    assert_eq!(
        in_code().await?,
        [
            ("support".to_owned(), Some(ends), false, true),
            ("viewer".to_owned(), None, false, true)
        ]
    );
    let why = roles.why(owner, user(&member), &READ).await?.to_string();
    assert!(
        why.contains("`support` (until 2999-01-01T00:00:00Z)"),
        "{why}"
    );

    // One is over: the other still counts, and comes first.
    let over: DateTime<Utc> = "2020-01-01T00:00:00Z".parse()?;
    let end = "UPDATE tenancy.member_roles SET expires_at = $1 WHERE user_id = $2 AND role_key = 'support'";
    sqlx::query(end)
        .bind(over)
        .bind(user(&member))
        .execute(&world.db.superuser().await?)
        .await?;
    assert_eq!(
        in_sql().await?,
        [
            row("allowed", "viewer", None),
            row("allowed", "support", Some(over))
        ]
    );
    assert_eq!(
        in_code().await?,
        [
            ("viewer".to_owned(), None, false, true),
            ("support".to_owned(), Some(over), true, false)
        ]
    );
    roles
        .unassign(owner, user(&member), &role("viewer"))
        .await?;
    assert_eq!(in_sql().await?, [row("ended", "support", Some(over))]);
    let why = roles.why(owner, user(&member), &READ).await?;
    assert!(!why.is_allowed());
    assert!(
        why.to_string().contains("(ended 2020-01-01T00:00:00Z)"),
        "{why}"
    );
    Ok(())
}

#[tokio::test]
async fn tenants_with_names_where_the_user_holds_it_and_nobody_elses() -> Result {
    let world = World::new().await?;
    let who = UserId::new();
    let one = testing::join(&world.db.app, &world.authz, &world.owner, who, &["viewer"]).await?;
    let two = testing::join(
        &world.db.app,
        &world.authz,
        &world.other_owner,
        who,
        &["admin"],
    )
    .await?;
    let third = testing::tenant(&world.db.app, &world.authz).await?;
    let named = async |ctx: &TenantCtx, key: &str| -> Result<Vec<TenantId>> {
        let mut tx = world.db.app.read(ctx).await?;
        let query = sqlx::query_scalar("SELECT util.tenants_with($1) ORDER BY 1").bind(key);
        Ok(query.fetch_all(&mut *tx).await?)
    };
    let mut both = vec![one.tenant(), two.tenant()];
    both.sort();
    assert_eq!(named(&one, "templates.read").await?, both);
    assert_eq!(named(&one, "templates.purge").await?, [two.tenant()]);
    assert_eq!(named(&one, "no.such").await?, []);
    assert_eq!(named(&third, "templates.read").await?, [third.tenant()]);
    // A service has what it brings where it was let in, whatever user is set beside it.
    let key = ServiceKey::from_static("importer");
    let service = world
        .db
        .app
        .enter_system(one.tenant(), key, vec![READ])
        .await?;
    assert_eq!(named(&service, "templates.read").await?, [one.tenant()]);
    assert_eq!(named(&service, "templates.purge").await?, []);
    // Who acts for somebody else is told of the open tenant only.
    let mut tx = world.db.app.read(&one).await?;
    sqlx::query("SELECT set_config('tenancy.on_behalf_of', $1, true)")
        .bind(who.to_string())
        .execute(&mut *tx)
        .await?;
    let open: Vec<TenantId> = sqlx::query_scalar("SELECT util.tenants_with('templates.read')")
        .fetch_all(&mut *tx)
        .await?;
    assert_eq!(open, [one.tenant()]);
    // Without any setting there is nobody.
    drop(tx);
    let mut conn = world.db.app.without_tenant().acquire().await?;
    let nobody: Vec<TenantId> = sqlx::query_scalar("SELECT util.tenants_with('templates.read')")
        .fetch_all(&mut *conn)
        .await?;
    assert_eq!(nobody, []);
    Ok(())
}

#[tokio::test]
async fn what_anybody_holds_is_for_the_service_role_only() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer"]).await?;
    let asked = "SELECT util.subject_has_permission($1, $2, $3)";
    for (who, tenant, key, expected) in [
        (user(&member), member.tenant(), "templates.read", true),
        (user(&member), member.tenant(), "templates.purge", false),
        (
            user(&member),
            world.other_owner.tenant(),
            "templates.read",
            false,
        ),
        (
            user(&world.other_owner),
            world.other_owner.tenant(),
            "templates.purge",
            true,
        ),
        (UserId::new(), member.tenant(), "templates.read", false),
    ] {
        let query = sqlx::query_scalar(asked).bind(who).bind(tenant).bind(key);
        let said: bool = query.fetch_one(world.db.worker.pool()).await?;
        assert_eq!(said, expected, "{key}");
    }
    let mut tx = world.db.app.read(&world.owner).await?;
    let query = sqlx::query(asked)
        .bind(user(&member))
        .bind(member.tenant())
        .bind("templates.read");
    let refused = query.execute(&mut *tx).await.unwrap_err();
    assert_eq!(
        refused.as_database_error().unwrap().code().unwrap(),
        "42501"
    );
    Ok(())
}

#[tokio::test]
async fn a_policy_over_several_tenants_asks_once_for_a_statement() -> Result {
    let world = World::new().await?;
    let who = UserId::new();
    let one = testing::join(&world.db.app, &world.authz, &world.owner, who, &["viewer"]).await?;
    testing::join(
        &world.db.app,
        &world.authz,
        &world.other_owner,
        who,
        &["viewer"],
    )
    .await?;
    let third = testing::tenant(&world.db.app, &world.authz).await?;
    world
        .as_superuser(
            "CREATE TABLE public.inbox (tenant_id uuid NOT NULL, id int NOT NULL, PRIMARY KEY (tenant_id, id));
             INSERT INTO public.inbox SELECT t.id, n FROM tenancy.tenants t, generate_series(1, 1000) n;
             INSERT INTO public.inbox
                SELECT t.id, n FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 300)) t, generate_series(1, 100) n;
             GRANT SELECT ON public.inbox TO tenancy_app;
             ALTER TABLE public.inbox ENABLE ROW LEVEL SECURITY;
             ALTER TABLE public.inbox FORCE ROW LEVEL SECURITY;
             CREATE POLICY readers ON public.inbox FOR SELECT TO tenancy_app
                USING (tenant_id = ANY (ARRAY(SELECT util.tenants_with('templates.read'))));
             DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_functions = ''all''', current_database()); END $$;
             ANALYZE public.inbox",
        )
        .await?;
    let app = TenantDb::connect(world.db.server.app_url()).await?;
    let calls = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_xact_user_functions
        WHERE schemaname = 'util' AND funcname = 'tenants_with'";
    for (ctx, expected) in [(&one, 2_000), (&third, 1_000)] {
        let mut tx = app.read(ctx).await?;
        let before: i64 = sqlx::query_scalar(calls).fetch_one(&mut *tx).await?;
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM public.inbox")
            .fetch_one(&mut *tx)
            .await?;
        let after: i64 = sqlx::query_scalar(calls).fetch_one(&mut *tx).await?;
        assert_eq!((rows, after - before), (expected, 1));
    }
    let mut tx = app.read(&third).await?;
    let plan: Vec<String> = sqlx::query_scalar("EXPLAIN SELECT count(*) FROM public.inbox")
        .fetch_all(&mut *tx)
        .await?;
    let plan = plan.join("\n");
    assert!(
        plan.contains("InitPlan") && plan.contains("inbox_pkey"),
        "{plan}"
    );
    Ok(())
}

#[tokio::test]
async fn the_matrix_shows_every_role_and_permission_and_how_it_is_granted() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let clerk = NewRole::new(role("clerk"), name("A & <b>"))
        .with_permission(PURGE)
        .with_wildcard(wildcard("templates.*"));
    roles.create(owner, clerk).await?;
    let matrix = roles.matrix(owner, &RolePage::default()).await?;
    assert_eq!(
        matrix.permissions.len(),
        crate::support::definitions().len()
    );
    let clerk = matrix
        .roles
        .iter()
        .find(|found| found.key == role("clerk"))
        .ok_or("no clerk")?;
    assert_eq!(
        (
            clerk.grants.len(),
            clerk.grants[&PURGE],
            clerk.grants[&READ]
        ),
        (3, true, false)
    );
    let text = matrix.to_text();
    let line = text
        .lines()
        .find(|line| line.starts_with("templates.read "))
        .ok_or("no line")?;
    let signs: Vec<_> = line.split_whitespace().skip(1).collect();
    assert_eq!(signs, ["x", "+", "x", "x", "x", "x"], "{text}");
    assert!(!matrix.to_svg().contains("<b>"));
    let viewer = world.member(&["viewer"]).await?;
    let refused = roles
        .matrix(&viewer, &RolePage::default())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    Ok(())
}
