//! `seal` as a service, and `health`.

use std::{process::Command, time::Duration};

use super::{Result, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_running_sealer_ends_when_told_and_health_raises_the_alarm() -> Result {
    let shop = Shop::new().await?;
    shop.record(1).await?;
    let mut running = Command::new(env!("CARGO_BIN_EXE_tenancy"))
        .args(["audit", "seal", "--every", "1"])
        .env("TENANCY_WORKER_URL", shop.db.server.worker_url())
        .env("TENANCY_AUDIT_SEAL_KEY", &shop.key)
        .spawn()?;
    let mut healthy = (None, String::new());
    for _ in 0..200 {
        healthy = shop.said(&["health"])?;
        if healthy.1.contains("sealing: yes") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(healthy.0, Some(0), "{}", healthy.1);
    Command::new("kill")
        .args(["-TERM", &running.id().to_string()])
        .status()?;
    assert_eq!(running.wait()?.code(), Some(0));
    shop.record(1).await?;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (code, text) = shop.said(&["health", "--wait-seconds", "1"])?;
    assert_eq!(code, Some(1), "{text}");
    Ok(())
}
