//! What a host does works there, and nothing gets out of its tenant.

use tenancy::{
    citus,
    core::{
        CoreMaintenance, SecretText, Slug, TenantCtx, TenantName, TenantStatus, doctor::Verdict,
    },
    secrets::{ProviderKey, PutMode, SecretPath},
};

use super::{Result, database, host::Host};

#[tokio::test]
async fn the_family_works_with_the_functions_of_the_plan() -> Result {
    let host = Host::strict().await?;
    let (acme, bolt) = (host.tenant("acme").await?, host.tenant("bolt").await?);
    let taken = host.tenant("bolt").await.unwrap_err().to_string();
    assert!(taken.contains("taken"), "{taken}");
    let tenants = &host.tenants;
    tenants.rename(&acme, &TenantName::parse("Acme 2")?).await?;
    tenants.change_slug(&acme, &Slug::parse("acme-2")?).await?;
    let taken = tenants.change_slug(&acme, &Slug::parse("bolt")?).await;
    assert_eq!(taken.unwrap_err().code(), "slug_taken");
    host.people(&acme).await?;
    host.things(&acme).await?;
    assert_eq!(tenants.state(&bolt).await?.status, TenantStatus::Active);
    assert!(tenants.state(&acme).await?.status == TenantStatus::Deleted);
    Ok(())
}

/// The transaction's users are told apart: what the plan turns can't be left out.
#[tokio::test]
async fn what_runs_as_another_user_in_the_apps_transaction_fails() -> Result {
    let host = Host::strict().await?;
    let superuser = host.db.superuser().await?;
    let acme = host.tenant("acme").await?;
    let path = SecretPath::new(ProviderKey::from_static("hubspot"));
    let secret = SecretText::new("a secret");
    host.vault()?
        .put(&acme, &path, secret, PutMode::Upsert)
        .await?;
    for (function, slug) in [
        ("tenancy.claim_slug(text)", "bolt-1"),
        ("tenancy.catch_up_tenant(uuid)", "bolt-2"),
        ("tenancy.expand_roles(uuid, text[])", "bolt-3"),
        ("tenancy.hold_data_key(uuid, uuid)", "acme"),
    ] {
        let turn =
            |how: &str| sqlx::AssertSqlSafe(format!("ALTER FUNCTION {function} SECURITY {how}"));
        sqlx::query(turn("DEFINER")).execute(&superuser).await?;
        let error = match slug {
            "bolt-1" => {
                let slug = Slug::parse(slug)?;
                format!("{:?}", host.tenants.change_slug(&acme, &slug).await.err())
            }
            "acme" => format!("{:?}", held(&host, &acme).await.err()),
            _ => format!("{:?}", host.tenant(slug).await.err()),
        };
        assert!(error.contains("by a different user"), "{function}: {error}");
        sqlx::query(turn("INVOKER")).execute(&superuser).await?;
    }
    held(&host, &acme).await?;
    host.tenant("bolt").await?;
    Ok(())
}

/// Writes, and holds a data key in the same transaction.
async fn held(host: &Host, acme: &TenantCtx) -> Result {
    let mut tx = host.db.app.write(acme).await?;
    sqlx::query("SELECT tenancy.rename_tenant('Acme 3')")
        .execute(&mut *tx)
        .await?;
    let hold = "SELECT tenancy.hold_data_key(tenant_id, key_id) FROM tenancy.tenant_data_keys WHERE tenant_id = $1";
    let keys = sqlx::query(hold)
        .bind(acme.tenant())
        .fetch_all(&mut *tx)
        .await?;
    assert_eq!(keys.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_slug_that_another_tenant_had_is_free_when_its_time_is_over_and_not_before() -> Result {
    let host = Host::strict().await?;
    let (acme, bolt) = (host.tenant("acme").await?, host.tenant("bolt").await?);
    host.tenants
        .change_slug(&bolt, &Slug::parse("bolt-2")?)
        .await?;
    let maintenance = CoreMaintenance::new(host.db.worker.clone());
    let wanted = Slug::parse("bolt")?;
    let claim = async || host.tenants.change_slug(&acme, &wanted).await;
    for round in 0..2 {
        maintenance.run_once().await?;
        assert_eq!(claim().await.unwrap_err().code(), "slug_taken", "{round}");
        // Not by SQL of one's own either.
        let mut tx = host.db.app.write(&acme).await?;
        let claimed: bool = sqlx::query_scalar("SELECT tenancy.claim_slug('bolt')")
            .fetch_one(&mut *tx)
            .await?;
        assert!(!claimed);
        let gone = sqlx::query("DELETE FROM tenancy.tenant_slugs WHERE slug = 'bolt'")
            .execute(&mut *tx)
            .await?;
        assert_eq!(gone.rows_affected(), 0);
    }
    let over = "UPDATE tenancy.tenant_slugs SET former_until = now() - interval '1 second' WHERE slug = 'bolt'";
    sqlx::query(over)
        .execute(&host.db.superuser().await?)
        .await?;
    maintenance.run_once().await?;
    claim().await?;
    Ok(())
}

#[tokio::test]
async fn the_app_that_writes_for_itself_still_reaches_no_other_tenant() -> Result {
    let Host { db, .. } = Host::new().await?;
    // It can be read again, for tables that are made later.
    let again = citus::plan(&db.operator).await?;
    assert_eq!(again.blocked, []);
    let turned = |step: &&citus::Step| step.sql.starts_with("ALTER FUNCTION");
    let left: Vec<_> = again.steps.iter().filter(turned).collect();
    assert!(left.is_empty(), "{left:#?}");

    // What asks for a role keeps asking for it.
    let sql = "SELECT count(*) FROM pg_catalog.pg_policy WHERE polname = 'tenant_select'
        AND pg_get_expr(polqual, polrelid) LIKE '%current_roles()%' AND polrelid::regclass::text ~ '^tenancy.kb_'";
    let scoped: i64 = sqlx::query_scalar(sql)
        .fetch_one(db.operator.pool())
        .await?;
    let plain: i64 = sqlx::query_scalar(sql)
        .fetch_one(database().await?.operator.pool())
        .await?;
    assert!(plain > 0 && scoped == plain, "{scoped} of {plain}");

    let report = tenancy::doctor(&db.operator, Some(&db.app)).await?;
    let text = report.to_text(false);
    let matrix = report.matrix.ok_or("the attack was not carried out")?;
    assert_eq!(matrix.count(Verdict::Leaked), 0, "{text}");
    // Where a hash finds its tenant, two probe tenants can't hold the same one; what a wildcard may
    // be changed to is not guessed.
    let untried = matrix.tables.iter().filter(|table| {
        let mut cells = table.cells.iter();
        cells.any(|cell| cell.verdict == Verdict::NotExercised)
    });
    let untried: Vec<&str> = untried.map(|table| table.table.as_str()).collect();
    let known = [
        "tenancy.api_key_hashes",
        "tenancy.invitation_tokens",
        "tenancy.oauth_states",
        "tenancy.role_wildcards",
    ];
    assert_eq!(untried, known, "{text}");
    assert!(matrix.count(Verdict::Held) > 100, "{text}");
    Ok(())
}
