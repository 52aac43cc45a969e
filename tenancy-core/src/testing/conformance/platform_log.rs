//! The suite of [`PlatformLog`].

use std::sync::Arc;

use async_trait::async_trait;

use super::unusable;
use crate::{Error, PlatformEvent, PlatformEventKind, PlatformLog, TenantId};

/// Reads back what a log keeps.
#[async_trait]
pub trait PlatformReader: Send + Sync {
    /// How often each different event with this code is on record.
    async fn counts(&self, code: &str) -> Result<Vec<u64>, Error>;
}

/// Runs the suite, once for each log: its last case uses up what a minute may hold.
///
/// # Errors
/// What reading failed with.
///
/// # Panics
/// Where the log breaks its contract.
pub async fn platform_log(
    log: Arc<dyn PlatformLog>,
    reader: &dyn PlatformReader,
) -> Result<(), Error> {
    equal_events_are_one(&log, reader).await?;
    different_events_are_not(&*log, reader).await?;
    a_flood_is_counted_and_bounded(&*log, reader).await
}

fn event(code: &'static str) -> PlatformEvent {
    PlatformEvent::new(PlatformEventKind::EnterRefused, code)
}

async fn equal_events_are_one(
    log: &Arc<dyn PlatformLog>,
    reader: &dyn PlatformReader,
) -> Result<(), Error> {
    let same = event("suite_same").with_tenant(TenantId::new());
    let one = || {
        let (log, event) = (log.clone(), same.clone());
        tokio::spawn(async move {
            for _ in 0..50 {
                log.note(event.clone());
            }
            log.flush().await;
        })
    };
    let tasks: Vec<_> = (0..8).map(|_| one()).collect();
    for task in tasks {
        task.await.map_err(|_| unusable("a task panicked"))?;
    }
    log.flush().await;
    let counts = reader.counts("suite_same").await?;
    assert_eq!(counts.iter().sum::<u64>(), 400, "{counts:?}");
    // Two, where a minute ended in between.
    assert!((1..=2).contains(&counts.len()), "{counts:?}");
    Ok(())
}

async fn different_events_are_not(
    log: &dyn PlatformLog,
    reader: &dyn PlatformReader,
) -> Result<(), Error> {
    let plain = event("suite_different");
    log.note(plain.clone().with_tenant(TenantId::new()));
    log.note(plain.clone().with_tenant(TenantId::new()));
    log.note(plain.clone().with_address(Some([192, 0, 2, 1].into())));
    log.note(plain);
    log.flush().await;
    assert_eq!(reader.counts("suite_different").await?, [1; 4]);
    Ok(())
}

async fn a_flood_is_counted_and_bounded(
    log: &dyn PlatformLog,
    reader: &dyn PlatformReader,
) -> Result<(), Error> {
    for _ in 0..5_000 {
        log.note(event("suite_flood").with_tenant(TenantId::new()));
    }
    log.flush().await;
    let counts = reader.counts("suite_flood").await?;
    assert_eq!(counts.iter().sum::<u64>(), 5_000, "nothing is left out");
    assert!(counts.len() <= 1_000, "{} different ones", counts.len());
    Ok(())
}
