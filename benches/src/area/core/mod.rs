//! Isolation: what it costs, against the usual recipe and against no policies at all.

mod enter;
mod tables;
mod tenants;
mod units;

use tenancy_core::{migrate::CORE, testing};
use tenancy_testkit::Db;

use crate::{Result, report::publish};

pub(crate) async fn run() -> Result {
    let kit = Db::new(&[&CORE, &tenancy_authz::COMPONENT]).await?;
    let ctx = testing::tenant(&kit.app).await?;
    let rows = units::Rows::new(&kit, &ctx).await?;
    println!(
        "yardstick: {:.0} bare statements/s on one connection",
        units::bare(kit.app.without_tenant()).await?
    );
    rows.one_message().await?;
    let metrics = [
        rows.policies_and_predicates().await?,
        rows.recipe_on_loopback().await?,
        rows.recipe_at_a_distance().await?,
        rows.write_at_a_distance().await?,
        enter::warm(&kit, &ctx).await?,
        tenants::creation(&kit).await?,
        tables::doctor(&kit).await?,
    ];
    publish("core", &metrics)
}
