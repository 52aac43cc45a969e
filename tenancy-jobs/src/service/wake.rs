//! Waking workers after a commit, without a NOTIFY in anybody's transaction.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{JobLedger, QueueName};

/// Other processes are told of a queue at most this often.
const COALESCE: Duration = Duration::from_millis(10);

/// Wakes the workers of a queue: those of this process at once, those of others by a NOTIFY on a
/// connection of its own, the first without delay and later ones folded together.
///
/// A commit that carries a NOTIFY takes a lock on the whole database; this never does. A wake-up
/// may get lost: polling is what workers rely on.
#[derive(Clone)]
pub struct Waker(Arc<Inner>);

struct Inner {
    near: Mutex<HashMap<QueueName, Vec<Weak<Notify>>>>,
    far: Mutex<Far>,
    ledger: Option<Arc<dyn JobLedger>>,
}

#[derive(Default)]
struct Far {
    queues: HashSet<QueueName>,
    is_sending: bool,
}

impl Waker {
    /// Wakes workers of this process, and of others through `ledger`.
    pub(crate) fn new(ledger: Option<Arc<dyn JobLedger>>) -> Self {
        Self(Arc::new(Inner {
            near: Mutex::default(),
            far: Mutex::default(),
            ledger,
        }))
    }

    /// What a worker of this process waits for.
    pub(crate) fn subscribe(&self, queue: &QueueName) -> Arc<Notify> {
        let wake = Arc::new(Notify::new());
        let mut near = locked(&self.0.near);
        let workers = near.entry(queue.clone()).or_default();
        workers.retain(|known| known.strong_count() > 0);
        workers.push(Arc::downgrade(&wake));
        wake
    }

    /// Wakes the workers of a queue. Returns at once.
    pub fn wake(&self, queue: &QueueName) {
        if let Some(workers) = locked(&self.0.near).get(queue) {
            workers
                .iter()
                .filter_map(Weak::upgrade)
                .for_each(|wake| wake.notify_one());
        }
        let (Some(ledger), Ok(runtime)) = (&self.0.ledger, tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let mut far = locked(&self.0.far);
        far.queues.insert(queue.clone());
        if !far.is_sending {
            far.is_sending = true;
            runtime.spawn(send(self.clone(), Arc::clone(ledger)));
        }
    }

    /// The queues to tell others of; ends the sending if there are none.
    fn pending(&self) -> Option<HashSet<QueueName>> {
        let mut far = locked(&self.0.far);
        let queues = std::mem::take(&mut far.queues);
        far.is_sending = !queues.is_empty();
        far.is_sending.then_some(queues)
    }
}

async fn send(waker: Waker, ledger: Arc<dyn JobLedger>) {
    while let Some(queues) = waker.pending() {
        for queue in queues {
            if let Err(error) = ledger.announce(&queue).await {
                tracing::debug!(%error, %queue, "workers of other processes were not woken");
            }
        }
        tokio::time::sleep(COALESCE).await;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::MockJobLedger;

    #[tokio::test(start_paused = true)]
    async fn the_first_wake_up_goes_out_at_once_and_a_thousand_more_are_one() {
        let sent = Arc::new(AtomicUsize::new(0));
        let mut ledger = MockJobLedger::new();
        let counter = Arc::clone(&sent);
        ledger.expect_announce().returning(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        let waker = Waker::new(Some(Arc::new(ledger)));
        let near = waker.subscribe(&QueueName::DEFAULT);

        waker.wake(&QueueName::DEFAULT);
        tokio::task::yield_now().await;
        assert_eq!(sent.load(Ordering::SeqCst), 1);
        for _ in 0..1000 {
            waker.wake(&QueueName::DEFAULT);
        }
        tokio::time::sleep(COALESCE * 5).await;
        assert_eq!(sent.load(Ordering::SeqCst), 2);
        near.notified().await;
    }
}
