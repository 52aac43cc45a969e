//! The long runs of the audit log's tests, whole: in continuous integration they run at a twentieth.

use std::process::Command;

use crate::Result;

const MUTATIONS: &str = "10000";
const KILLS: &str = "1000";
/// Of servers, and of sealers, whose whole log is verified after each.
const SERVER_KILLS: &str = "40";

/// What is run, by its place in the test program.
const TESTS: [&str; 6] = [
    "crash::killed_writers_lose_nothing_and_make_nothing_up",
    "crash_sealer::a_sealer_that_is_killed_in_the_middle_leaves_a_whole_log",
    "crash_server::a_backend_that_is_killed_in_the_middle_of_a_batch_leaves_a_whole_log",
    "crash_server::a_server_that_goes_down_as_a_whole_leaves_a_whole_log",
    "many_writers::thirty_two_writers_and_two_sealers_give_no_false_alarm",
    "mutations::random_mutations_are_found_where_they_were_made",
];

/// Runs the tests in release, with the full numbers; `seed` may be given, and is printed.
pub(crate) fn run(seed: Option<&str>) -> Result {
    let listed = String::from_utf8(tests().arg("--list").output()?.stdout)?;
    for test in TESTS {
        // A name that no test has is no error to the test program.
        if !listed
            .lines()
            .any(|line| line.strip_suffix(": test") == Some(test))
        {
            return Err(format!("there is no test {test}").into());
        }
    }
    let mut tests = tests();
    tests
        .args(["--exact", "--nocapture", "--test-threads", "1"])
        .args(TESTS)
        .env("TENANCY_MUTATIONS", MUTATIONS)
        .env("TENANCY_KILLS", KILLS)
        .env("TENANCY_SERVER_KILLS", SERVER_KILLS);
    if let Some(seed) = seed {
        tests.env("TENANCY_SEED", seed);
    }
    if tests.status()?.success() {
        println!(
            "{MUTATIONS} mutations, {KILLS} kills of writers, {SERVER_KILLS} of servers and of sealers: nothing was missed, lost or made up"
        );
        return Ok(());
    }
    Err("a test failed".into())
}

fn tests() -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut tests = Command::new(cargo);
    tests
        .args(["test", "--release", "-p", "tenancy-audit", "--all-features"])
        .args(["--test", "it", "--"]);
    tests
}
