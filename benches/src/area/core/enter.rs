//! Entering a tenant that was entered a moment ago.

use std::time::{Duration, Instant};

use tenancy_core::{DbOptions, TenantCtx, TenantDb};
use tenancy_testkit::Db;

use crate::{
    Result,
    report::{Better, Metric},
    sample::Sample,
};

const ROUNDS: usize = 9;
const CALLS: u32 = 20_000;

pub(crate) async fn warm(kit: &Db, ctx: &TenantCtx) -> Result<Metric> {
    let options = DbOptions::default().with_enter_bound(Duration::from_mins(10));
    let db = TenantDb::connect_with(kit.server.app_url(), options).await?;
    let (tenant, user) = (ctx.tenant(), ctx.user().ok_or("a tenant has an owner")?);
    db.enter(tenant, user).await?;
    let mut micros = Sample::default();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(db.enter(tenant, user).await?);
        }
        micros.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
    }
    let better = Better::Lower;
    Ok(Metric::alone("enter, warm", "µs", &micros, better, 5.0))
}
