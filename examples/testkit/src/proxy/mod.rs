//! A proxy that knows enough of the protocol to count round trips, and can be slow or break.

mod line;
mod wire;

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tenancy_devdb::BoxError;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};
use url::Url;

use line::{Line, Upstream};

/// Stands between a client and Postgres, on a port of this machine.
///
/// A request is a message that the server answers with `ReadyForQuery`: a simple query or a `Sync`.
/// What a client sends without waiting is one round trip, however many requests it holds.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Cut {
    /// Before the request reaches the server.
    Request,
    /// In the middle of the answer: the server has done what was asked.
    Answer,
}

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Vec<Arc<Line>>>,
    holding: AtomicBool,
    latency_micros: AtomicU64,
    cut: Mutex<Option<(Cut, String)>>,
    log: Mutex<Vec<String>>,
    /// Rung at every step of every line.
    moved: Notify,
}

impl Proxy {
    /// Listens in front of the server of this URL.
    pub async fn start(url: &str) -> Result<Self, BoxError> {
        let upstream = Upstream::of(url)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut front = Url::parse(url)?;
        front.set_query(Some("sslmode=disable"));
        front.set_host(Some("127.0.0.1"))?;
        let port = listener.local_addr()?.port();
        front
            .set_port(Some(port))
            .map_err(|()| "the URL takes no port")?;
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, upstream, shared.clone()));
        Ok(Self {
            url: front.into(),
            shared,
            accepting,
        })
    }

    /// The URL to connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Delays every answer by this much, without holding back what follows it.
    pub fn set_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.shared.latency_micros.store(micros, Ordering::SeqCst);
    }

    /// Runs `work` and counts the round trips that it waits for.
    ///
    /// Answers are held back; only when `work` stands still with an answer waiting is one round
    /// trip counted and the answer let through. No clock takes part. What runs in the background
    /// meanwhile, after `work` has got all it waited for, is not counted.
    pub async fn awaited<F: Future>(&self, work: F) -> (F::Output, usize) {
        let mut work = pin!(work);
        let mut round_trips = 0;
        self.shared.holding.store(true, Ordering::SeqCst);
        let output = loop {
            tokio::select! {
                biased;
                output = &mut work => break output,
                () = self.shared.answer_held() => {
                    round_trips += 1;
                    self.shared.let_through();
                }
            }
        };
        self.shared.holding.store(false, Ordering::SeqCst);
        self.shared.let_through();
        (output, round_trips)
    }

    /// Waits until every request has been answered, and the answers have been passed on.
    pub async fn quiet(&self) {
        while !lock(&self.shared.lines).iter().all(|line| line.is_quiet()) {
            tokio::task::yield_now().await;
        }
    }

    /// Breaks the connection on which the next request with `text` in it is sent.
    pub fn cut(&self, cut: Cut, text: &str) {
        *lock(&self.shared.cut) = Some((cut, text.to_owned()));
    }

    /// Breaks every connection now.
    pub fn cut_all(&self) {
        for line in lock(&self.shared.lines).drain(..) {
            line.kill();
        }
    }

    /// The requests seen since the last call: the text of simple queries, and `Sync`.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.shared.log))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}

impl Shared {
    /// Waits until a client has asked, and all the answers to it are here and held back.
    async fn answer_held(&self) {
        loop {
            let mut moved = pin!(self.moved.notified());
            moved.as_mut().enable();
            if lock(&self.lines).iter().any(|line| line.answer_held()) {
                return;
            }
            moved.await;
        }
    }

    fn let_through(&self) {
        for line in lock(&self.lines).iter() {
            line.let_through();
        }
    }

    fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_micros.load(Ordering::SeqCst))
    }

    fn is_holding(&self) -> bool {
        self.holding.load(Ordering::SeqCst)
    }

    /// The cut that is due for a message with these bytes, if any.
    fn cut_for(&self, bytes: &[u8]) -> Option<Cut> {
        let mut armed = lock(&self.cut);
        let (cut, text) = armed.as_ref()?;
        let due = bytes
            .windows(text.len().max(1))
            .any(|window| window == text.as_bytes());
        let cut = due.then_some(*cut)?;
        *armed = None;
        Some(cut)
    }
}

async fn accept(listener: TcpListener, upstream: Upstream, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let line = Arc::new(Line::default());
        lock(&shared.lines).push(line.clone());
        let (upstream, shared) = (upstream.clone(), shared.clone());
        tokio::spawn(async move {
            // A broken connection is what its two ends see anyway.
            let _ = line::carry(client, &upstream, &line, &shared).await;
            lock(&shared.lines).retain(|other| !Arc::ptr_eq(other, &line));
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
