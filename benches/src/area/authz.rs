//! Checks, beside casbin and Cedar: a package of its own, that only this area builds.

use std::process::ExitCode;

use tokio::process::Command;

use crate::Result;

/// Builds and runs `benches/authz`, from the root of the workspace as every area, with these arguments. What
/// it answers with is the answer here: 1 for a goal that is missed, if `--gate` is among them.
pub(crate) async fn run(arguments: &[&str]) -> Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ended = Command::new(cargo)
        .args(["run", "--release", "--locked", "--manifest-path"])
        .args(["benches/authz/Cargo.toml", "--target-dir", "target", "--"])
        .args(arguments)
        .status()
        .await?;
    match ended.code() {
        Some(0) => Ok(ExitCode::SUCCESS),
        Some(1) => Ok(ExitCode::FAILURE),
        _ => Err("the area failed".into()),
    }
}
