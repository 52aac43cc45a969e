//! Each rule fires when its fault is planted, and none does before.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection};
use tenancy_core::{
    doctor::{self, Options},
    migrate::CORE,
};
use tenancy_testkit::Db;

#[path = "doctor_rules/faults.rs"]
mod faults;

use faults::{FAULTS, HOST};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Plants a fault in a transaction, lets the operator's role look, and rolls back: roles belong to
/// the whole cluster, and other tests run beside this one.
async fn fired(conn: &mut PgConnection, fault: &'static str) -> Result<BTreeSet<&'static str>> {
    let mut tx = conn.begin().await?;
    sqlx::raw_sql(fault)
        .execute(&mut *tx)
        .await
        .map_err(|error| format!("{fault}: {error}"))?;
    sqlx::raw_sql("SET LOCAL ROLE tenancy_dev_operator")
        .execute(&mut *tx)
        .await?;
    let findings = doctor::inspect(&mut tx, &Options::default()).await?;
    tx.rollback().await?;
    Ok(findings.into_iter().map(|finding| finding.rule).collect())
}

#[tokio::test]
async fn every_rule_fires_on_its_planted_fault() -> Result {
    let db = Db::new(&[&CORE]).await?;
    sqlx::raw_sql(HOST).execute(db.operator.pool()).await?;
    let mut conn = PgConnection::connect(db.server.superuser_url()?).await?;
    assert_eq!(fired(&mut conn, "SELECT").await?, BTreeSet::new());

    let mut silent = Vec::new();
    for (rule, fault) in FAULTS {
        if !fired(&mut conn, fault).await?.contains(rule) {
            silent.push((rule, fault));
        }
    }
    assert!(
        silent.is_empty(),
        "{} of {} are silent: {silent:#?}",
        silent.len(),
        FAULTS.len()
    );
    assert_eq!(fired(&mut conn, "SELECT").await?, BTreeSet::new());
    Ok(())
}

#[test]
fn every_rule_over_the_catalog_has_a_planted_fault() {
    let planted: BTreeSet<_> = FAULTS.iter().map(|(rule, _)| *rule).collect();
    // Those of the attack are planted in tests/doctor.rs.
    let rules = doctor::rules()
        .map(|rule| rule.id)
        .filter(|id| !id.starts_with("TEN95"));
    let without: Vec<_> = rules.filter(|id| !planted.contains(id)).collect();
    assert!(without.is_empty(), "{without:?}");
    assert!(doctor::rules().count() >= 50);
}

#[tokio::test]
async fn a_sound_policy_with_more_behind_the_tenant_is_accepted() -> Result {
    let db = Db::new(&[&CORE]).await?;
    sqlx::raw_sql(HOST).execute(db.operator.pool()).await?;
    let mut conn = PgConnection::connect(db.server.superuser_url()?).await?;
    let by_role = "ALTER POLICY tenant_select ON public.notes
        USING (tenant_id = util.current_tenant() AND (body = ANY (util.current_roles()) OR body = 'all') AND body <> 'none')";
    assert_eq!(fired(&mut conn, by_role).await?, BTreeSet::new());
    let other_column =
        "CREATE TABLE public.rooms (org_id uuid NOT NULL, id int, PRIMARY KEY (org_id, id));
        SELECT tenancy.protect_table('public.rooms', p_tenant_column => 'org_id')";
    assert_eq!(fired(&mut conn, other_column).await?, BTreeSet::new());
    Ok(())
}

#[test]
fn the_guide_lists_every_rule() -> Result {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/doctor.md"))?;
    for rule in doctor::rules() {
        let row = format!(
            "| `{}` | `{}` | {} | {} |",
            rule.id,
            rule.name,
            rule.severity.as_str(),
            rule.why
        );
        assert!(
            guide.contains(&row),
            "docs/doctor.md lacks this row:\n{row}"
        );
    }
    Ok(())
}
