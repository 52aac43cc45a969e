//! Onboarding.

use std::{sync::Arc, time::Instant};

use tenancy_authz::PgAuthorizer;
use tenancy_core::{
    DbOptions, NewTenant, NoAudit, Slug, TenantDb, TenantName, Tenants, UserId, migrate::CORE,
};
use tenancy_testkit::Db;
use tokio::task::JoinSet;

use crate::{
    Result,
    report::{Better, Metric},
    sample::Sample,
};

const ROUNDS: usize = 5;
const CLIENTS: usize = 8;
const TENANTS: usize = 100;

/// Tenants a second, each with its slug, owner and the default roles.
pub(crate) async fn creation(kit: &Db) -> Result<Metric> {
    let definitions = [CORE.permissions, tenancy_authz::COMPONENT.permissions].concat();
    tenancy_authz::sync_permissions(&kit.operator, &definitions).await?;
    let db = TenantDb::connect_with(kit.server.app_url(), DbOptions::default()).await?;
    let audit = Arc::new(NoAudit::new());
    let authorizer = Arc::new(PgAuthorizer::new(db.clone(), audit.clone()));
    let tenants = Tenants::new(db, authorizer.clone(), authorizer, audit);
    let mut figures = Sample::default();
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let tenants = tenants.clone();
            clients.spawn(async move {
                for _ in 0..TENANTS {
                    tenants.create(fresh()?).await?;
                }
                Result::Ok(())
            });
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        if round > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
            figures.push((CLIENTS * TENANTS) as f64 / begun.elapsed().as_secs_f64());
        }
    }
    let (name, better) = ("tenants created with roles", Better::Higher);
    Ok(Metric::alone(name, "/s", &figures, better, 500.0))
}

fn fresh() -> Result<NewTenant> {
    let owner = UserId::new();
    let name = format!("b-{}", owner.as_uuid().simple());
    let (slug, name) = (Slug::parse(&name)?, TenantName::parse(&name)?);
    Ok(NewTenant::new(slug, name, owner))
}
