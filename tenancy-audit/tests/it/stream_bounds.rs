//! What a target's error does to a stream, and what a stream makes of options out of bounds.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tenancy_audit::{
    AuditStream, Entry, Error, StreamOptions, StreamRound, StreamStart, StreamTarget, Streams,
};
use tenancy_core::{AuditSink as _, Error as CoreError, ErrorKind as CoreKind, Event, Retry};

use crate::{
    streams::{outcome, quick},
    support::House,
};

/// Answers what it is told to, and takes everything afterwards.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<CoreError>>,
    taken: Mutex<usize>,
}

impl Scripted {
    fn fails(&self, kind: CoreKind, code: &'static str, retry: Option<Retry>) {
        let error = CoreError::new(kind, code, "as it was told to");
        let error = match retry {
            Some(retry) => error.with_retry(retry),
            None => error,
        };
        self.answers.lock().unwrap().push_back(error);
    }

    fn is_through(&self) -> bool {
        self.answers.lock().unwrap().is_empty()
    }
}

#[async_trait]
impl StreamTarget for Scripted {
    async fn deliver(&self, entries: &[Entry]) -> Result<usize, Error> {
        if let Some(error) = self.answers.lock().unwrap().pop_front() {
            return Err(error.into());
        }
        *self.taken.lock().unwrap() += entries.len();
        Ok(entries.len())
    }
}

async fn opened(house: &House, target: &Arc<Scripted>, options: StreamOptions) -> AuditStream {
    house
        .audit
        .record(&house.a, Event::new("thing.made"))
        .await
        .unwrap();
    let (worker, start) = (house.db.worker.clone(), StreamStart::Beginning);
    AuditStream::open_with(worker, "siem", start, target.clone(), options)
        .await
        .unwrap()
}

fn parked(code: &str) -> StreamRound {
    StreamRound::Parked {
        code: code.to_owned(),
    }
}

#[tokio::test]
async fn the_advice_of_a_targets_error_decides_whether_the_stream_is_parked() {
    let (house, target) = (House::new().await, Arc::new(Scripted::default()));
    let stream = opened(&house, &target, quick()).await;
    let streams = Streams::new(house.db.worker.clone());
    let is_parked = |round: &StreamRound| matches!(round, StreamRound::Parked { .. });

    // Never is the advice of any kind but one, unless it is set.
    for kind in [CoreKind::Conflict, CoreKind::Denied, CoreKind::Internal] {
        target.fails(kind, "siem_refuses", None);
        let round = outcome(&stream, is_parked).await;
        assert_eq!(round, parked("siem_refuses"), "{kind:?}");
        assert_eq!(streams.list().await.unwrap()[0].failures, 1, "{kind:?}");
        streams.resume("siem").await.unwrap();
    }

    // The fifth failure in a row parks if it is a refusal.
    for _ in 0..5 {
        target.fails(CoreKind::Conflict, "siem_full", Some(Retry::Backoff));
    }
    assert_eq!(outcome(&stream, is_parked).await, parked("siem_full"));
    assert_eq!(streams.list().await.unwrap()[0].failures, 5);
    assert!(target.is_through());
    streams.resume("siem").await.unwrap();

    // Anything else is tried again for as long as it takes.
    for at in 0..8 {
        let soon = (at % 2 == 0).then_some(Retry::After(Duration::ZERO));
        target.fails(CoreKind::Unavailable, "siem_away", soon);
    }
    let took = outcome(&stream, |round| {
        assert!(!is_parked(round), "{round:?}");
        matches!(round, StreamRound::Delivered(_))
    });
    took.await;
    assert_eq!(*target.taken.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_code_that_fits_into_no_column_parks_all_the_same() {
    // Its 64th byte is the first of two of a letter.
    const LONG: &str = "siem_answers_with_a_code_that_is_too_long_and_is_not_all_in_ascé_";
    let (house, target) = (House::new().await, Arc::new(Scripted::default()));
    let stream = opened(&house, &target, quick()).await;
    let streams = Streams::new(house.db.worker.clone());
    for (code, kept) in [(LONG, &LONG[..63]), ("", "unnamed")] {
        target.fails(CoreKind::Conflict, code, None);
        outcome(&stream, |round| matches!(round, StreamRound::Parked { .. })).await;
        let state = streams.list().await.unwrap().remove(0);
        assert_eq!(state.code.as_deref(), Some(kept));
        streams.resume("siem").await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_works_whatever_its_options_say() {
    let (house, target) = (House::new().await, Arc::new(Scripted::default()));
    let options = StreamOptions::default()
        .with_batch(0)
        .with_interval(Duration::ZERO)
        .with_lease(Duration::ZERO)
        .with_first_wait(Duration::ZERO);
    let stream = opened(&house, &target, options).await;
    outcome(&stream, |round| {
        assert!(
            !matches!(round, StreamRound::Failed { .. }),
            "no time to deliver in: {round:?}"
        );
        matches!(round, StreamRound::Delivered(_))
    })
    .await;
    assert_eq!(*target.taken.lock().unwrap(), 1);
}
