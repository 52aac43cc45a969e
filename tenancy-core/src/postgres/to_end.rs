//! Work that is not cut off half way.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;
use tracing::Instrument as _;

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A future that its caller polls in place, and that goes on in a task of its own when the caller
/// drops it after it has begun. What it results in is then dropped there.
///
/// A task for each call would cost more than the call: it is only made for the ones cancelled.
pub(crate) struct ToEnd<T: Send + 'static> {
    work: Option<Work<T>>,
    begun: bool,
}

impl<T: Send + 'static> ToEnd<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            work: Some(Box::pin(work)),
            begun: false,
        }
    }
}

impl<T: Send + 'static> Future for ToEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.begun = true;
        // Taken out meanwhile, so that work which panics is not polled again by the drop. Nobody
        // polls a future that is done.
        let Some(mut work) = self.work.take() else {
            return Poll::Pending;
        };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToEnd<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take().filter(|_| self.begun) else {
            return;
        };
        // Without a runtime nothing can go on, and the sockets close.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(
                async move {
                    drop(work.await);
                }
                .in_current_span(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_has_begun_goes_on_without_its_caller() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let mut work = ToEnd::new(async move {
            let _ = gone.await;
            let _ = done.send(());
        });
        let once = tokio::time::timeout(Duration::ZERO, &mut work).await;
        assert!(once.is_err());
        drop(work);
        go.send(()).unwrap();
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn what_was_never_polled_never_happens() {
        let ran = Arc::new(AtomicBool::new(false));
        let seen = ran.clone();
        drop(ToEnd::new(
            async move { seen.store(true, Ordering::SeqCst) },
        ));
        tokio::task::yield_now().await;
        assert!(!ran.load(Ordering::SeqCst));
    }
}
