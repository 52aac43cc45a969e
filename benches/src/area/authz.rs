//! Checks, beside casbin and Cedar: a package of its own, that only this area builds.

use tokio::process::Command;

use crate::Result;

/// Builds and runs `benches/authz`, from the root of the workspace as every area.
pub(crate) async fn run() -> Result {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ended = Command::new(cargo)
        .args(["run", "--release", "--locked", "--manifest-path"])
        .args(["benches/authz/Cargo.toml", "--target-dir", "target"])
        .status()
        .await?;
    if !ended.success() {
        return Err("the area failed".into());
    }
    Ok(())
}
