//! A handler's future, with an end: by itself, by the clock, by a cancellation, by a panic.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tenancy_core::{Error as CoreError, ErrorKind as CoreKind, Retry};
use tokio_util::sync::CancellationToken;

/// How long a handler may go on after it was told to stop, before it is dropped.
const GRACE: Duration = Duration::from_secs(1);

/// Runs a handler for at most `timeout`. A handler that ends in time after its cancellation has
/// ended; only one that does not is dropped.
///
/// `stopping` is the worker's: then the handler keeps its time, since the worker itself drops it
/// when the time to drain is over. Any other cancellation of `cancel` leaves it the grace.
pub(super) async fn bounded<T>(
    work: impl Future<Output = Result<T, CoreError>>,
    timeout: Duration,
    cancel: &CancellationToken,
    stopping: &CancellationToken,
) -> Result<T, CoreError> {
    let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
    let end = tokio::time::sleep(timeout);
    let mut end = std::pin::pin!(end);
    let is_late = tokio::select! {
        ended = &mut work => return flatten(ended),
        () = &mut end => true,
        () = cancel.cancelled() => false,
    };
    if !is_late && stopping.is_cancelled() {
        tokio::select! {
            ended = &mut work => return flatten(ended),
            () = &mut end => {}
        }
    }
    cancel.cancel();
    let late = tokio::time::timeout(GRACE, work).await;
    match late {
        Ok(Ok(Ok(done))) => Ok(done),
        Ok(Err(_)) => Err(panicked()),
        Ok(Ok(Err(_))) | Err(_) => Err(timed_out()),
    }
}

fn flatten<T>(ended: std::thread::Result<Result<T, CoreError>>) -> Result<T, CoreError> {
    ended.unwrap_or_else(|_| Err(panicked()))
}

fn panicked() -> CoreError {
    CoreError::new(CoreKind::Internal, "job_panicked", "the handler panicked")
        .with_retry(Retry::Backoff)
}

fn timed_out() -> CoreError {
    CoreError::new(
        CoreKind::Unavailable,
        "job_timeout",
        "the try took longer than it may",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    async fn run<T>(work: impl Future<Output = Result<T, CoreError>>) -> Result<T, CoreError> {
        let token = CancellationToken::new();
        bounded(work, LIMIT, &token, &CancellationToken::new()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_never_ends_is_dropped() {
        let error = run(std::future::pending::<Result<(), _>>())
            .await
            .unwrap_err();
        assert_eq!(error.code(), "job_timeout");
        assert!(error.retry().is_retryable());
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_an_error_of_the_try() {
        let error = run(async { panic!("no") as Result<(), _> })
            .await
            .unwrap_err();
        assert_eq!(error.code(), "job_panicked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_heeds_its_cancellation_has_ended() {
        let token = CancellationToken::new();
        let heeding = token.clone();
        let work = async move {
            heeding.cancelled().await;
            Ok(7)
        };
        let done = bounded(work, LIMIT, &token, &CancellationToken::new()).await;
        assert_eq!(done.unwrap(), 7);
    }
}
