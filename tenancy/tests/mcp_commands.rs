//! `tenancy mcp purge` and `tenancy mcp reconcile`, as an operator runs them: the binary itself, and the
//! real audit log.

use std::process::Stdio;

use tenancy::{
    audit::COMPONENT as AUDIT,
    core::{
        TenantCtx,
        migrate::{CORE, Component},
        testing,
    },
    mcp::COMPONENT as MCP,
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const COMPONENTS: &[&Component] = &[&CORE, &AUDIT, &MCP];

/// A tenant with an unsafe call whose caller is gone, one that is under way, and an old one.
async fn tenant_with_calls(db: &Db) -> Result<TenantCtx> {
    let ctx = testing::tenant(&db.app).await?;
    let superuser = db.superuser().await?;
    sqlx::query(include_str!("mcp_commands/provider.sql"))
        .execute(&superuser)
        .await?;
    sqlx::query(include_str!("mcp_commands/calls.sql"))
        .bind(ctx.tenant())
        .execute(&superuser)
        .await?;
    superuser.close().await;
    Ok(ctx)
}

/// What the binary prints, and its exit code.
fn run(db: &Db, arguments: &[&str]) -> Result<(String, Option<i32>)> {
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_tenancy"))
        .args(arguments)
        .env("TENANCY_WORKER_URL", db.server.worker_url())
        .env("TENANCY_APP_URL", db.server.app_url())
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8(done.stdout)? + &String::from_utf8(done.stderr)?;
    Ok((text, done.status.code()))
}

#[tokio::test]
async fn reconciling_records_each_lost_try_in_its_tenants_log_and_purging_takes_old_calls() -> Result
{
    let db = Db::new(COMPONENTS).await?;
    let tenants = [tenant_with_calls(&db).await?, tenant_with_calls(&db).await?];

    let reconcile = ["mcp", "reconcile"];
    assert_eq!(
        run(&db, &reconcile)?,
        ("2 lost tries ended\n".into(), Some(0))
    );
    assert_eq!(
        run(&db, &reconcile)?,
        ("0 lost tries ended\n".into(), Some(0))
    );
    for ctx in &tenants {
        let mut tx = db.app.read(ctx).await?;
        let entries: Vec<(String, String)> = sqlx::query_as(
            "SELECT actor_id, meta ->> 'call' FROM tenancy.audit_logs WHERE action = 'mcp.invocation.lost'",
        )
        .fetch_all(&mut *tx)
        .await?;
        assert_eq!(entries, [("mcp_reconciler".to_owned(), "lost".to_owned())]);
    }

    let purge = ["mcp", "purge", "--keep-days", "7"];
    assert_eq!(run(&db, &purge)?, ("2 calls deleted\n".into(), Some(0)));
    let (text, code) = run(&db, &["mcp", "purge", "--keep-days", "0"])?;
    assert_eq!(code, Some(2), "a day is the least: {text}");
    for ctx in &tenants {
        let mut tx = db.app.read(ctx).await?;
        let left: Vec<String> =
            sqlx::query_scalar("SELECT idem_key FROM tenancy.mcp_invocations ORDER BY 1")
                .fetch_all(&mut *tx)
                .await?;
        assert_eq!(left, ["alive", "lost"]);
    }
    Ok(())
}
