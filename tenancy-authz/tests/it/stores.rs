//! The port's conformance suite, on both adapters.

use std::sync::Arc;

use tenancy_authz::{
    COMPONENT, PgPolicyStore, sync_permissions,
    testing::{MemoryPolicyStore, conformance},
};
use tenancy_core::migrate::CORE;
use tenancy_testkit::Db;

use crate::support::Result;

#[tokio::test]
async fn postgres_keeps_the_contract_of_the_port() -> Result {
    let db = Db::new(&[&CORE, &COMPONENT]).await?;
    sync_permissions(&db.operator, &conformance::permissions()).await?;
    let store = Arc::new(PgPolicyStore::new(db.app.clone()));
    Ok(conformance::policy_store(&db.app, store).await?)
}

#[tokio::test]
async fn the_store_in_memory_keeps_the_contract_of_the_port() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let store = Arc::new(MemoryPolicyStore::new(&conformance::permissions())?);
    Ok(conformance::policy_store(&db.app, store).await?)
}
