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

/// Other processes are told at most this often.
const COALESCE: Duration = Duration::from_millis(10);

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
            runtime.spawn(send(self.clone(), ctx));
        }
    }

    /// What is to be announced; ends the sending if there is nothing.
    fn take(&self) -> Option<Vec<TenantId>> {
        let mut waiting = self.waiting();
        let tenants = std::mem::take(&mut waiting.tenants);
        waiting.is_sending = !tenants.is_empty();
        waiting.is_sending.then(|| tenants.into_iter().collect())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        let waiting = &self.0.waiting;
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(announcer: Announcer, ctx: TenantCtx) {
    while let Some(tenants) = announcer.take() {
        if let Err(error) = announcer.0.to.announce(&ctx, &tenants).await {
            tracing::debug!(%error, "other processes were not told of changed rights");
        }
        tokio::time::sleep(COALESCE).await;
    }
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use tenancy_core::{Principal, UserId, testing::imagined};

    use super::*;

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<Vec<TenantId>>>>);

    impl Told {
        fn so_far(&self) -> MutexGuard<'_, Vec<Vec<TenantId>>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[async_trait]
    impl Announce for Told {
        async fn announce(&self, _: &TenantCtx, tenants: &[TenantId]) -> Result<(), Error> {
            self.so_far().push(tenants.to_vec());
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_goes_out_at_once_and_a_thousand_more_of_a_tenant_are_one() {
        let told = Told::default();
        let announcer = Announcer::new(Box::new(told.clone()));
        let here = imagined(TenantId::new(), Principal::user(UserId::new()));
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
}
