//! The loop of a worker: settle and claim in one statement, start, wait.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tenancy_core::TenantId;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{attempt, engine::Engine, keep, lease::Lease};
use crate::{
    Backoff, ClaimRequest, ClaimedJob, Error, ErrorKind, Exchange, Fence, JobRef, Settlement,
    Verdict, WorkerInfo, model::jittered,
};

/// Waits between attempts to reach the database.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// Most jobs of one claim.
const MAX_CLAIM: usize = 500;

/// Works until `stop`; under a fresh identity whenever the old one was taken for dead.
pub(super) async fn run(engine: &Arc<Engine>, stop: &CancellationToken) -> Result<(), Error> {
    let mut failures = 0;
    while !stop.is_cancelled() {
        let dead_after = engine.options.dead_after;
        let info = WorkerInfo::new(engine.queue.clone(), Engine::name(), dead_after);
        match engine.store.register(&info).await {
            Ok(()) => failures = 0,
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                failures += 1;
                tracing::warn!(%error, "a worker can't reach the database");
                pause(RECONNECT.delay(failures), stop).await;
                continue;
            }
            Err(error) => return Err(error),
        }
        if Session::new(engine, info).serve(stop).await.is_held() {
            return Ok(());
        }
        tracing::warn!(queue = %engine.queue, "a worker was taken for dead and starts anew");
        metrics::counter!("tenancy_jobs_workers_lost_total").increment(1);
    }
    Ok(())
}

async fn pause(duration: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(duration) => {}
        () = stop.cancelled() => {}
    }
}

/// One registration of the worker.
struct Session {
    engine: Arc<Engine>,
    lease: Arc<Lease>,
    /// What runs; a settlement comes back if the loop has to store it.
    tasks: JoinSet<(JobRef, Option<Settlement>)>,
    /// What was claimed and not started.
    waiting: VecDeque<ClaimedJob>,
    /// What has to be stored.
    done: Vec<Settlement>,
    after: Option<TenantId>,
    /// Whether the queue may have more.
    is_hungry: bool,
    failures: u32,
}

impl Session {
    fn new(engine: &Arc<Engine>, info: WorkerInfo) -> Self {
        Self {
            engine: Arc::clone(engine),
            lease: Arc::new(Lease::new(info)),
            tasks: JoinSet::new(),
            waiting: VecDeque::new(),
            done: Vec::new(),
            after: None,
            is_hungry: true,
            failures: 0,
        }
    }

    /// Works until the worker is stopped (held) or was taken for dead (lost).
    async fn serve(mut self, stop: &CancellationToken) -> Fence {
        let keepers = keep::start(&self.engine, &self.lease);
        let mut poll = Instant::now() + self.engine.options.poll_interval;
        while !stop.is_cancelled() && !self.lease.lost.is_cancelled() {
            self.start_waiting();
            if !self.done.is_empty() || (self.is_hungry && self.room() > 0) {
                self.exchange(stop).await;
                continue;
            }
            let engine = Arc::clone(&self.engine);
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.lease.lost.cancelled() => {}
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    self.collect(ended.ok());
                }
                () = engine.wake.notified() => self.is_hungry = true,
                () = tokio::time::sleep_until(poll) => {
                    self.is_hungry = true;
                    // Twice the half to the whole of it: on average the interval.
                    poll = Instant::now() + jittered(engine.options.poll_interval * 4 / 3);
                }
            }
        }
        if self.lease.lost.is_cancelled() {
            self.tasks.shutdown().await;
            return Fence::Lost;
        }
        self.drain().await;
        drop(keepers);
        Fence::Held
    }

    fn room(&self) -> usize {
        let options = &self.engine.options;
        let taken = self.tasks.len() + self.waiting.len();
        (options.concurrency + options.prefetch)
            .saturating_sub(taken)
            .min(MAX_CLAIM)
    }

    fn start_waiting(&mut self) {
        while self.tasks.len() < self.engine.options.concurrency
            && let Some(job) = self.waiting.pop_front()
        {
            let (engine, lease) = (Arc::clone(&self.engine), Arc::clone(&self.lease));
            self.tasks.spawn(async move {
                let settlement = attempt::run(&engine, &lease, &job).await;
                (job.job, settlement)
            });
        }
    }

    /// Takes back what ended, together with whatever else has ended by now.
    fn collect(&mut self, ended: Option<(JobRef, Option<Settlement>)>) {
        let mut ended = ended;
        while let Some((job, settlement)) = ended {
            match settlement {
                Some(settlement) => self.done.push(settlement),
                None => self.lease.let_go(job),
            }
            ended = self.tasks.try_join_next().and_then(Result::ok);
        }
    }

    async fn exchange(&mut self, stop: &CancellationToken) {
        let limit = if self.is_hungry { self.room() } else { 0 };
        let request = ClaimRequest::new(
            self.engine.queue.clone(),
            self.engine.handlers.kinds(),
            limit,
        )
        .with_after(self.after);
        let worker = self.lease.worker();
        match self
            .engine
            .store
            .exchange(worker, &self.done, &request)
            .await
        {
            Ok(exchange) => {
                self.failures = 0;
                self.settled(&exchange);
                if limit > 0 {
                    self.is_hungry = exchange.claimed.len() == limit;
                    self.after = request.next_after(&exchange.claimed);
                }
                self.take(exchange.claimed);
            }
            Err(error) => {
                self.failures += 1;
                tracing::warn!(%error, queue = %self.engine.queue, "a worker could not claim");
                tokio::select! {
                    () = self.lease.lost.cancelled() => {}
                    () = pause(RECONNECT.delay(self.failures), stop) => {}
                }
            }
        }
    }

    fn settled(&mut self, exchange: &Exchange) {
        self.engine.counters.stale(exchange.stale.len());
        for settlement in self.done.drain(..) {
            self.lease.let_go(settlement.job);
            if !exchange.stale.contains(&settlement.job.id) {
                self.engine.counters.settled(&settlement.verdict);
            }
        }
    }

    fn take(&mut self, mut claimed: Vec<ClaimedJob>) {
        self.engine.counters.claimed(claimed.len());
        claimed.sort_by_key(|job| job.priority);
        for job in claimed {
            self.lease.hold(job.job);
            self.waiting.push_back(job);
        }
    }

    /// Hands back what was not started, lets the rest end, and takes the worker off the list,
    /// which hands back whatever did not end in time.
    async fn drain(&mut self) {
        let unstarted = self.waiting.drain(..);
        self.done
            .extend(unstarted.map(|job| Settlement::new(job.job, Verdict::Release)));
        self.is_hungry = false;
        let forced = CancellationToken::new();
        self.flush(&forced).await;
        self.lease.stopping.cancel();
        let drain = self.engine.options.drain;
        let running = async {
            while let Some(ended) = self.tasks.join_next().await {
                self.collect(ended.ok());
            }
        };
        if timeout(drain, running).await.is_err() {
            tracing::warn!(
                jobs = self.tasks.len(),
                "jobs did not end while the worker stopped"
            );
        }
        self.tasks.shutdown().await;
        self.flush(&forced).await;
        match self.engine.store.retire(self.lease.worker()).await {
            Ok(handed_back) => self.engine.counters.released(handed_back),
            Err(error) => tracing::warn!(%error, "a worker could not take itself off the list"),
        }
    }

    /// Stores what is done; after a few failures the sweep has to do.
    async fn flush(&mut self, stop: &CancellationToken) {
        self.failures = 0;
        while !self.done.is_empty() && self.failures < 3 && !self.lease.lost.is_cancelled() {
            self.exchange(stop).await;
        }
    }
}
