//! A receiver of webhooks that behaves as a test says.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tenancy_devdb::BoxError;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How a [`Receiver`] answers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// With this status, and these further lines of the head.
    Status(u16, &'static str),
    /// Not at all.
    Hang,
    /// With 200 and a body of this many bytes.
    Bytes(usize),
    /// By closing the connection.
    Close,
}

/// What a [`Receiver`] was sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// The first line.
    pub line: String,
    /// By name in lower case.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: String,
}

/// A small HTTP server on loopback. Ends with this value.
#[derive(Debug)]
pub struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// Answers each request, counted from 0, as `script` says.
    pub async fn start(
        script: impl Fn(usize) -> Reply + Send + Sync + 'static,
    ) -> Result<Self, BoxError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (list, script) = (received.clone(), Arc::new(script));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (list, script) = (list.clone(), script.clone());
                tokio::spawn(async move { serve(stream, &list, &*script).await });
            }
        });
        Ok(Self {
            port,
            received,
            serving,
        })
    }

    /// Its address by plain HTTP.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Everything so far, in the order in which it came.
    pub fn received(&self) -> Vec<Received> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until so many requests have come, at most 20 seconds.
    pub async fn wait_for(&self, count: usize) -> Result<Vec<Received>, BoxError> {
        for _ in 0..800 {
            let received = self.received();
            if received.len() >= count {
                return Ok(received);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Err(format!("{} of {count} requests came", self.received().len()).into())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    list: &Mutex<Vec<Received>>,
    script: &(impl Fn(usize) -> Reply + ?Sized),
) -> Option<()> {
    let request = read(&mut stream).await?;
    let at = {
        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(request);
        list.len() - 1
    };
    match script(at) {
        Reply::Close => {}
        Reply::Hang => tokio::time::sleep(Duration::from_mins(10)).await,
        Reply::Status(status, lines) => {
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n{lines}\r\n"
            );
            stream.write_all(head.as_bytes()).await.ok()?;
        }
        Reply::Bytes(count) => {
            let head = format!("HTTP/1.1 200 x\r\ncontent-length: {count}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.ok()?;
            stream.write_all(&vec![b'x'; count]).await.ok()?;
        }
    }
    Some(())
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
            let mut lines = head.split("\r\n");
            let line = lines.next()?.to_owned();
            let headers: HashMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers.get("content-length")?.parse().ok()?;
            while bytes.len() < end + 4 + length {
                more(stream, &mut bytes).await?;
            }
            let body = String::from_utf8_lossy(bytes.get(end + 4..)?).into_owned();
            return Some(Received {
                line,
                headers,
                body,
            });
        }
        more(stream, &mut bytes).await?;
    }
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 4_096];
    let read = stream.read(&mut chunk).await.ok()?;
    bytes.extend_from_slice(chunk.get(..read).filter(|some| !some.is_empty())?);
    Some(())
}
