//! One connection through the proxy.

use std::{collections::VecDeque, io, path::PathBuf, str::FromStr as _, sync::Mutex};

use sqlx::postgres::PgConnectOptions;
use tenancy_devdb::BoxError;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    sync::Notify,
    time::Instant,
};

use super::{
    Cut, Shared, lock,
    wire::{self, Frames},
};

/// Where the server is.
#[derive(Clone, Debug)]
pub(super) enum Upstream {
    Tcp(String, u16),
    Unix(PathBuf),
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

impl Upstream {
    pub(super) fn of(url: &str) -> Result<Self, BoxError> {
        let options = PgConnectOptions::from_str(url)?;
        let port = options.get_port();
        Ok(match options.get_socket() {
            Some(dir) => Self::Unix(dir.join(format!(".s.PGSQL.{port}"))),
            None => Self::Tcp(options.get_host().to_owned(), port),
        })
    }

    async fn connect(&self) -> io::Result<(Reader, Writer)> {
        match self {
            Self::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                let (reader, writer) = stream.into_split();
                Ok((Box::new(reader), Box::new(writer)))
            }
            Self::Unix(path) => {
                let (reader, writer) = UnixStream::connect(path).await?.into_split();
                Ok((Box::new(reader), Box::new(writer)))
            }
        }
    }
}

/// What is known of one connection.
#[derive(Debug, Default)]
pub(super) struct Line {
    state: Mutex<State>,
    /// Rung when there may be something to write to the client.
    due: Notify,
    killed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Answers on their way to the client, and when they are due.
    queue: VecDeque<(Instant, Vec<u8>)>,
    /// How many of them may pass although answers are held back.
    passes: usize,
    asked: u64,
    answered: u64,
    cut_answer: bool,
    ended: bool,
}

impl Line {
    pub(super) fn kill(&self) {
        self.killed.notify_one();
    }

    pub(super) fn answer_held(&self) -> bool {
        let state = lock(&self.state);
        state.asked == state.answered && state.queue.len() > state.passes
    }

    pub(super) fn is_quiet(&self) -> bool {
        let state = lock(&self.state);
        state.asked == state.answered && state.queue.is_empty()
    }

    pub(super) fn let_through(&self) {
        let mut state = lock(&self.state);
        state.passes = state.queue.len();
        self.due.notify_one();
    }
}

/// Carries bytes both ways until one side is gone.
pub(super) async fn carry(
    client: TcpStream,
    upstream: &Upstream,
    line: &Line,
    shared: &Shared,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (from_server, to_server) = upstream.connect().await?;
    let answers = async {
        let (read, written) = tokio::join!(
            read_answers(from_server, line, shared),
            write_answers(&mut to_client, line, shared),
        );
        read.and(written)
    };
    tokio::select! {
        gone = carry_requests(from_client, to_server, line, shared) => gone,
        gone = answers => gone,
        () = line.killed.notified() => Ok(()),
    }
}

async fn carry_requests(
    mut client: impl AsyncRead + Unpin,
    mut server: Writer,
    line: &Line,
    shared: &Shared,
) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut started = false;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = client.read(&mut chunk).await?;
        let bytes = chunk.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return server.shutdown().await;
        }
        frames.push(bytes);
        if !started {
            match frames.startup() {
                // No TLS on this side: the client goes on without.
                Some(true) => {
                    enqueue(line, shared, Instant::now(), b"N".to_vec(), 0);
                    continue;
                }
                Some(false) => {
                    started = true;
                    lock(&line.state).asked += 1;
                }
                None => {}
            }
        }
        if started {
            while let Some(frame) = frames.next() {
                if let Some(request) = wire::request(&frame) {
                    lock(&line.state).asked += 1;
                    lock(&shared.log).push(request);
                }
            }
        }
        match shared.cut_for(bytes) {
            Some(Cut::Request) => return Ok(()),
            Some(Cut::Answer) => lock(&line.state).cut_answer = true,
            None => {}
        }
        server.write_all(bytes).await?;
    }
}

async fn read_answers(mut server: Reader, line: &Line, shared: &Shared) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = server.read(&mut chunk).await.unwrap_or_default();
        let bytes = chunk.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            lock(&line.state).ended = true;
            line.due.notify_one();
            return Ok(());
        }
        frames.push(bytes);
        let mut ready = 0;
        while let Some(frame) = frames.next() {
            ready += u64::from(wire::is_ready(&frame));
        }
        if lock(&line.state).cut_answer {
            let half = bytes.get(..length / 2).unwrap_or_default().to_vec();
            enqueue(line, shared, Instant::now(), half, 0);
            lock(&line.state).ended = true;
            line.due.notify_one();
            return Ok(());
        }
        let due = Instant::now() + shared.latency();
        enqueue(line, shared, due, bytes.to_vec(), ready);
    }
}

fn enqueue(line: &Line, shared: &Shared, due: Instant, bytes: Vec<u8>, ready: u64) {
    let mut state = lock(&line.state);
    // Logging in is not what is counted.
    let logging_in = state.answered == 0;
    state.answered += ready;
    state.queue.push_back((due, bytes));
    if logging_in {
        state.passes = state.queue.len();
    }
    drop(state);
    line.due.notify_one();
    shared.moved.notify_waiters();
}

async fn write_answers(
    client: &mut (impl AsyncWrite + Unpin),
    line: &Line,
    shared: &Shared,
) -> io::Result<()> {
    loop {
        let (next, ended) = {
            let mut state = lock(&line.state);
            let next = if state.passes > 0 || !shared.is_holding() {
                state.queue.pop_front()
            } else {
                None
            };
            if next.is_some() {
                state.passes = state.passes.saturating_sub(1);
            }
            (next, state.ended)
        };
        match next {
            Some((due, bytes)) => {
                tokio::time::sleep_until(due).await;
                client.write_all(&bytes).await?;
            }
            None if ended => return client.shutdown().await,
            None => line.due.notified().await,
        }
    }
}
