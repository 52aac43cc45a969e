//! Whoever is kept out holds nothing, whichever way he is kept out and whichever function is asked.

use std::time::Duration;

use tenancy_authz::AuthzOptions;
use tenancy_core::{Authorizer as _, Decision, TenantCtx};

use crate::support::{READ, Result, World, authorizer, user};

/// A way to be kept out and the way back, as statements about tenant `$1` and user `$2`, and what is said of
/// him meanwhile. Nothing leads back from the last.
const WAYS: &[(&str, &str, &str)] = &[
    (
        "UPDATE tenancy.memberships SET status = 'deactivated' WHERE tenant_id = $1 AND user_id = $2",
        "UPDATE tenancy.memberships SET status = 'active' WHERE tenant_id = $1 AND user_id = $2",
        "deactivated",
    ),
    (
        "UPDATE tenancy.member_roles SET expires_at = now() - interval '1 s' WHERE tenant_id = $1 AND user_id = $2",
        "UPDATE tenancy.member_roles SET expires_at = now() + interval '1 h' WHERE tenant_id = $1 AND user_id = $2",
        "ended",
    ),
    (
        "UPDATE tenancy.tenants SET status = 'suspended_blocked' WHERE id = $1 AND $2::uuid IS NOT NULL",
        "UPDATE tenancy.tenants SET status = 'suspended_read_only' WHERE id = $1 AND $2::uuid IS NOT NULL",
        "tenant_closed",
    ),
    (
        "UPDATE tenancy.tenants SET status = 'deleting', status_before = 'active', delete_after = now() WHERE id = $1 AND $2::uuid IS NOT NULL",
        "UPDATE tenancy.tenants SET status = 'active', status_before = NULL, delete_after = NULL WHERE id = $1 AND $2::uuid IS NOT NULL",
        "tenant_closed",
    ),
    (
        "UPDATE tenancy.tenants SET status = 'purging' WHERE id = $1 AND $2::uuid IS NOT NULL",
        "UPDATE tenancy.tenants SET status = 'active' WHERE id = $1 AND $2::uuid IS NOT NULL",
        "tenant_closed",
    ),
    (
        "UPDATE tenancy.tenants SET status = 'deleted' WHERE id = $1 AND $2::uuid IS NOT NULL",
        "UPDATE tenancy.tenants SET status = 'active' WHERE id = $1 AND $2::uuid IS NOT NULL",
        "tenant_closed",
    ),
    (
        "DELETE FROM tenancy.memberships WHERE tenant_id = $1 AND user_id = $2",
        "",
        "stranger",
    ),
];

/// What every function that a host's SQL may call says to the app.
const ASKED: &str = "SELECT util.user_has_permission($1, 'templates.read'),
    util.my_permissions($1), util.my_roles($1),
    (SELECT count(*) FROM util.tenants_with('templates.read')),
    ARRAY(SELECT DISTINCT e.verdict FROM util.explain_permission($1, 'templates.read') e)";

type Answers = (bool, Vec<String>, Vec<String>, i64, Vec<String>);

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Asks all of them, the service role's function, and an authorizer that remembers nothing.
async fn assert_said(world: &World, member: &TenantCtx, verdict: &str, after: &str) -> Result {
    let mut tx = world.db.app.read(member).await?;
    let said: Answers = sqlx::query_as(ASKED)
        .bind(member.tenant())
        .fetch_one(&mut *tx)
        .await?;
    tx.rollback().await?;
    let holds = verdict == "allowed";
    let expected = if holds {
        (
            true,
            texts(&["templates.read"]),
            texts(&["viewer"]),
            1,
            texts(&[verdict]),
        )
    } else {
        (false, vec![], vec![], 0, texts(&[verdict]))
    };
    assert_eq!(said, expected, "{after}");

    let of_anybody: bool = sqlx::query_scalar("SELECT util.subject_has_permission($1, $2, $3)")
        .bind(user(member))
        .bind(member.tenant())
        .bind(READ.as_str())
        .fetch_one(world.db.worker.pool())
        .await?;
    assert_eq!(of_anybody, holds, "{after}");

    let always = AuthzOptions::default().with_bound(Duration::ZERO);
    let authz = authorizer(&world.db.app, &world.audit, always);
    // A tenant that is closed may let nobody ask.
    let allowed = authz
        .check(member, &READ)
        .await
        .is_ok_and(Decision::is_allowed);
    assert_eq!(allowed, holds, "{after}");
    Ok(())
}

#[tokio::test]
async fn whichever_way_somebody_is_kept_out_no_function_says_that_he_holds_anything() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer"]).await?;
    let superuser = world.db.superuser().await?;
    assert_said(&world, &member, "allowed", "nothing").await?;
    for (out, back, verdict) in WAYS {
        for (statement, verdict) in [(*out, *verdict), (*back, "allowed")] {
            if statement.is_empty() {
                continue;
            }
            sqlx::query(statement)
                .bind(member.tenant())
                .bind(user(&member))
                .execute(&superuser)
                .await?;
            assert_said(&world, &member, verdict, statement).await?;
        }
    }
    let left = "SELECT count(*) FROM tenancy.member_roles WHERE user_id = $1";
    let left: i64 = sqlx::query_scalar(left)
        .bind(user(&member))
        .fetch_one(&superuser)
        .await?;
    assert_eq!(left, 0, "who is no member has no role left");
    Ok(())
}
