//! Telling other processes of a change after its commit, without a NOTIFY in anybody's transaction.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tenancy_core::{TenantCtx, TenantId};

use crate::Error;

/// Other processes are told at most this often. A commit that tells takes a lock on the whole
/// database, for some dozen microseconds: it writes nothing that has to reach the disk.
const COALESCE: Duration = Duration::from_millis(2);
/// What could not be told is told again after this while, and so many times: later, the bound has
/// told by itself.
const AGAIN: (Duration, u32) = (Duration::from_millis(100), 10);
/// Telling takes no longer; beyond that it has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reaches other processes. What is announced may get lost.
#[async_trait]
pub(crate) trait Announce: Send + Sync + 'static {
    async fn announce(&self, ctx: &TenantCtx, tenants: &[TenantId]) -> Result<(), Error>;
}

/// Announces the tenants whose rights changed: the first at once, later ones folded together.
///
/// A commit that carries a NOTIFY takes a lock on the whole database; the commits of changes never
/// do. The bound of the caches holds whether an announcement arrives or not.
#[derive(Clone)]
pub(crate) struct Announcer(Arc<Inner>);

struct Inner {
    to: Box<dyn Announce>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    tenants: HashSet<TenantId>,
    is_sending: bool,
}

impl Announcer {
    pub(crate) fn new(to: Box<dyn Announce>) -> Self {
        let waiting = Mutex::default();
        Self(Arc::new(Inner { to, waiting }))
    }

    /// Announces the tenant of the context. Returns at once.
    pub(crate) fn changed(&self, ctx: TenantCtx) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let mut waiting = self.waiting();
        waiting.tenants.insert(ctx.tenant());
        if !waiting.is_sending {
            waiting.is_sending = true;
            let sending = Sending {
                announcer: self.clone(),
                is_over: false,
            };
            runtime.spawn(sending.send(ctx));
        }
    }

    /// Waits until everything is told or given up, and no longer than telling may take.
    pub(crate) async fn flush(&self) {
        let told = async {
            while self.waiting().is_sending {
                tokio::time::sleep(COALESCE).await;
            }
        };
        if tokio::time::timeout(PATIENCE, told).await.is_err() {
            tracing::warn!("other processes may not have been told of changed rights");
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        let waiting = &self.0.waiting;
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that sends. When it ends, in whatever way, the next change makes another: also when
/// telling panicked, or the runtime that it ran on is gone.
struct Sending {
    announcer: Announcer,
    /// It found nothing more to send: whether somebody sends is not its to say any more.
    is_over: bool,
}

impl Sending {
    async fn send(mut self, ctx: TenantCtx) {
        let (pause, attempts) = AGAIN;
        let mut failed = 0;
        while let Some(tenants) = self.take() {
            let told = self.announcer.0.to.announce(&ctx, &tenants);
            match tokio::time::timeout(PATIENCE, told).await {
                Ok(Ok(())) => {
                    failed = 0;
                    tokio::time::sleep(COALESCE).await;
                    continue;
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "other processes were not told of changed rights");
                }
                Err(_) => {
                    tracing::debug!("telling other processes of changed rights took too long");
                }
            }
            failed += 1;
            metrics::counter!("tenancy_authz_announcements_failed_total").increment(1);
            if failed < attempts {
                self.announcer.waiting().tenants.extend(tenants);
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn take(&mut self) -> Option<Vec<TenantId>> {
        let mut waiting = self.announcer.waiting();
        let tenants = std::mem::take(&mut waiting.tenants);
        if tenants.is_empty() {
            // Under the lock: whoever comes now finds that nobody sends.
            waiting.is_sending = false;
            drop(waiting);
            self.is_over = true;
            return None;
        }
        Some(tenants.into_iter().collect())
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.is_over {
            self.announcer.waiting().is_sending = false;
        }
    }
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use tenancy_core::{Principal, UserId, testing::imagined};

    use super::*;
    use crate::ErrorKind;

    fn somewhere() -> TenantCtx {
        imagined(TenantId::new(), Principal::user(UserId::new()))
    }

    /// Remembers what it was told. The first so many times it fails, or panics, or never ends.
    #[derive(Clone, Default)]
    struct Told {
        tenants: Arc<Mutex<Vec<Vec<TenantId>>>>,
        at_first: Option<Fault>,
        faults: Arc<AtomicU32>,
    }

    #[derive(Clone, Copy)]
    enum Fault {
        Fails,
        Hangs,
        Panics,
    }

    impl Told {
        fn but_at_first(fault: Fault, times: u32) -> Self {
            Self {
                at_first: Some(fault),
                faults: Arc::new(AtomicU32::new(times)),
                ..Self::default()
            }
        }

        fn so_far(&self) -> MutexGuard<'_, Vec<Vec<TenantId>>> {
            self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[async_trait]
    impl Announce for Told {
        async fn announce(&self, _: &TenantCtx, tenants: &[TenantId]) -> Result<(), Error> {
            let fewer = |left: u32| left.checked_sub(1);
            if self.faults.fetch_update(SeqCst, SeqCst, fewer).is_ok() {
                match self.at_first {
                    Some(Fault::Panics) => std::panic::resume_unwind(Box::new("a bug")),
                    Some(Fault::Hangs) => std::future::pending().await,
                    _ => return Err(Error::new(ErrorKind::Unavailable, "gone", "no database")),
                }
            }
            self.so_far().push(tenants.to_vec());
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_goes_out_at_once_and_a_thousand_more_of_a_tenant_are_one() {
        let told = Told::default();
        let announcer = Announcer::new(Box::new(told.clone()));
        let here = somewhere();
        announcer.changed(here.clone());
        tokio::task::yield_now().await;
        assert_eq!(*told.so_far(), [[here.tenant()]]);
        for _ in 0..1_000 {
            announcer.changed(here.clone());
        }
        tokio::time::sleep(COALESCE * 5).await;
        assert_eq!(*told.so_far(), [[here.tenant()], [here.tenant()]]);
        announcer.changed(here.clone());
        tokio::time::sleep(COALESCE).await;
        assert_eq!(told.so_far().len(), 3, "it begins again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_told_is_told_again_with_what_came_since() {
        let told = Told::but_at_first(Fault::Fails, 2);
        let announcer = Announcer::new(Box::new(told.clone()));
        let (here, there) = (somewhere(), somewhere());
        announcer.changed(here.clone());
        tokio::task::yield_now().await;
        announcer.changed(there.clone());
        tokio::time::sleep(AGAIN.0 * 3).await;
        let mut together = told.so_far().concat();
        together.sort_unstable();
        let mut both = [here.tenant(), there.tenant()];
        both.sort_unstable();
        assert_eq!(together, both);

        announcer.changed(here.clone());
        tokio::time::sleep(COALESCE).await;
        assert_eq!(told.so_far().concat().len(), 3, "and it goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_not_be_told_for_a_while_is_given_up_and_later_changes_are_told() {
        let told = Told::but_at_first(Fault::Fails, AGAIN.1);
        let announcer = Announcer::new(Box::new(told.clone()));
        let (here, there) = (somewhere(), somewhere());
        announcer.changed(here);
        tokio::time::sleep(AGAIN.0 * (AGAIN.1 + 2)).await;
        assert!(told.so_far().is_empty() && announcer.waiting().tenants.is_empty());
        announcer.changed(there.clone());
        tokio::time::sleep(COALESCE).await;
        assert_eq!(*told.so_far(), [[there.tenant()]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_telling_that_hangs_or_panics_does_not_stop_those_after_it() {
        for fault in [Fault::Hangs, Fault::Panics] {
            let told = Told::but_at_first(fault, 1);
            let announcer = Announcer::new(Box::new(told.clone()));
            let here = somewhere();
            announcer.changed(here.clone());
            tokio::time::sleep(PATIENCE + AGAIN.0).await;
            announcer.changed(here.clone());
            tokio::time::sleep(COALESCE).await;
            assert_eq!(told.so_far().last(), Some(&vec![here.tenant()]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_before_he_ends_has_told_or_waited_no_longer_than_telling_takes() {
        let told = Told::but_at_first(Fault::Fails, 2);
        let announcer = Announcer::new(Box::new(told.clone()));
        announcer.flush().await;
        let (here, there) = (somewhere(), somewhere());
        announcer.changed(here.clone());
        announcer.changed(there.clone());
        announcer.flush().await;
        let mut all = told.so_far().concat();
        all.sort_unstable();
        let mut both = [here.tenant(), there.tenant()];
        both.sort_unstable();
        assert_eq!(all, both, "also what could not be told at first");

        let announcer = Announcer::new(Box::new(Told::but_at_first(Fault::Hangs, 1)));
        announcer.changed(here);
        let began = tokio::time::Instant::now();
        announcer.flush().await;
        assert!(began.elapsed() <= PATIENCE + COALESCE);
    }

    #[test]
    fn a_runtime_that_ends_while_something_is_told_does_not_silence_the_next() {
        let told = Told::but_at_first(Fault::Hangs, 1);
        let announcer = Announcer::new(Box::new(told.clone()));
        let (here, there) = (somewhere(), somewhere());
        let on_a_runtime = |ctx: &TenantCtx| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(async {
                announcer.changed(ctx.clone());
                tokio::task::yield_now().await;
            });
        };
        on_a_runtime(&here);
        on_a_runtime(&there);
        assert_eq!(*told.so_far(), [[there.tenant()]]);
    }
}
