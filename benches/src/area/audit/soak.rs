//! The long runs of the audit log's tests, whole: in continuous integration they run at a twentieth.

use std::process::Command;

use crate::Result;

const MUTATIONS: &str = "10000";
const KILLS: &str = "1000";

/// Runs the tests in release, with the full numbers; `seed` may be given, and is printed.
pub(crate) fn run(seed: Option<&str>) -> Result {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut tests = Command::new(cargo);
    tests
        .args(["test", "--release", "-p", "tenancy-audit", "--all-features"])
        .args(["--test", "it", "--", "--nocapture", "--test-threads", "1"])
        .args(["random_mutations_are_found", "killed_writers_lose_nothing"])
        .arg("thirty_two_writers_and_a_sealer")
        .env("TENANCY_MUTATIONS", MUTATIONS)
        .env("TENANCY_KILLS", KILLS);
    if let Some(seed) = seed {
        tests.env("TENANCY_SEED", seed);
    }
    if tests.status()?.success() {
        println!("{MUTATIONS} mutations, {KILLS} kills: nothing was missed, lost or made up");
        return Ok(());
    }
    Err("a test failed".into())
}
