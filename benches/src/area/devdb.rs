//! How long it takes to have a database.

use std::{path::Path, time::Instant};

use tenancy_core::migrate::CORE;
use tenancy_devdb::DevDb;
use tenancy_testkit::Db;
use tokio::process::Command;

use crate::{
    Result,
    report::{Better, Metric, publish},
    sample::Sample,
};

const COLD_ROUNDS: usize = 3;
const WARM_ROUNDS: usize = 4;
const CLONES: usize = 40;

pub(crate) async fn run() -> Result {
    let (mut cold, mut warm) = (Sample::default(), Sample::default());
    for _ in 0..COLD_ROUNDS {
        let cache = tempfile::Builder::new()
            .prefix("tenancy-bench-")
            .tempdir_in("/var/tmp")?;
        open_to_all(cache.path())?;
        cold.push(in_a_process(cache.path()).await?);
        for _ in 0..WARM_ROUNDS {
            warm.push(in_a_process(cache.path()).await?);
        }
    }
    let clones = clones().await?;
    publish(
        "devdb",
        &[
            Metric::alone(
                "from nothing to `vector`, download included",
                "ms",
                &cold,
                Better::Lower,
                3_000.0,
            ),
            Metric::alone("start with a warm cache", "ms", &warm, Better::Lower, 60.0),
            Metric::alone(
                "a migrated database for one test",
                "ms",
                &clones,
                Better::Lower,
                40.0,
            ),
        ],
    )
}

/// The server runs as another user when this is root, and has to reach its files.
#[cfg(unix)]
fn open_to_all(folder: &Path) -> Result {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(
        folder,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) -> Result {
    Ok(())
}

async fn in_a_process(cache: &Path) -> Result<f64> {
    let output = Command::new(std::env::current_exe()?)
        .arg("devdb-start")
        .arg(cache)
        .env("TENANCY_DEVDB_SYSTEM", "0")
        .output()
        .await?;
    // The server goes within a second of its last client; the next round must not find it.
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim()
        .parse()
        .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned().into())
}

/// Prints how many milliseconds a start took, `vector` included.
pub(crate) async fn start_once(cache: &str) -> Result {
    let begun = Instant::now();
    let dev = DevDb::builder().cache_dir(cache).start().await?;
    let pool = sqlx::PgPool::connect(dev.operator_url()).await?;
    let vector: bool = sqlx::query_scalar("SELECT to_regtype('vector') IS NOT NULL")
        .fetch_one(&pool)
        .await?;
    let taken = begun.elapsed().as_secs_f64() * 1_000.0;
    if !vector {
        return Err("the database has no `vector`".into());
    }
    println!("{taken:.3}");
    Ok(())
}

async fn clones() -> Result<Sample> {
    let mut sample = Sample::default();
    drop(Db::new(&[&CORE]).await?);
    for _ in 0..CLONES {
        let begun = Instant::now();
        let db = Db::new(&[&CORE]).await?;
        sample.push(begun.elapsed().as_secs_f64() * 1_000.0);
        drop(db);
    }
    Ok(sample)
}
