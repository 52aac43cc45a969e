//! Cancels at random on a small shared pool: ours has to stay clean, the usual recipe does not.

use sqlx::postgres::PgPoolOptions;
use tenancy_core::{DbOptions, TenantDb, migrate::CORE, testing};
use tenancy_testkit::{Db, Findings, Soak, Subject};

use crate::Result;

/// `cancels` and `seed` may be given; a fresh seed is printed.
pub(crate) async fn run(cancels: Option<&str>, seed: Option<&str>) -> Result {
    let cancels: u64 = cancels.unwrap_or("100000").parse()?;
    let fresh = std::time::UNIX_EPOCH.elapsed()?.subsec_nanos().to_string();
    let seed: u64 = seed.unwrap_or(&fresh).parse()?;
    let kit = Db::new(&[&CORE]).await?;
    let tenants = [
        testing::tenant(&kit.app).await?,
        testing::tenant(&kit.app).await?,
    ];
    let soak = Soak::new(seed, cancels);
    println!(
        "seed {}, {cancels} cancels by {} tasks on 3 connections",
        soak.seed, soak.tasks
    );

    let options = DbOptions::default().with_max_connections(3);
    let db = TenantDb::connect_with(kit.server.app_url(), options).await?;
    let ours = soak.run(&Subject::Tenancy(db), &tenants).await?;
    print("tenancy", &ours);

    let pool = PgPoolOptions::new().max_connections(3);
    let pool = pool.connect(kit.server.app_url()).await?;
    let mut peer = Soak::new(seed, cancels / 20);
    peer.look_every = 1;
    print(
        "begin + set_config on sqlx",
        &peer.run(&Subject::Recipe(pool), &tenants).await?,
    );

    if ours.poisoned + ours.foreign > 0 {
        return Err("connections came back with something on them".into());
    }
    Ok(())
}

fn print(name: &str, found: &Findings) {
    let [beginning, querying, ending] = found.cancelled;
    println!(
        "{name:<28} cancelled beginning {beginning}, querying {querying}, ending {ending}; \
         connections poisoned {}, foreign rows seen {}",
        found.poisoned, found.foreign
    );
}
