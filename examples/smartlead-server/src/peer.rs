//! The server seen by whoever started it.

use std::{io, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

/// A server in another process; it ends when this is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    url: String,
}

impl Peer {
    /// Starts a command that calls [`run`](crate::run), and waits for the line with its URL.
    pub async fn start(mut command: Command) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            // A test harness may print before the server does.
            if let Some(at) = line.find("http://127.0.0.1:") {
                let url = line.split_at(at).1.trim().to_owned();
                // Read on, so that the server never waits for somebody to read.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self { child, url });
            }
        }
        Err(io::Error::other(
            "the server ended without printing its URL",
        ))
    }

    /// Where its MCP endpoint is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it counted: `{"calls": {"update_lead": 1}, "received": 1, "leads": {…}}`.
    pub async fn stats(&self) -> io::Result<Value> {
        self.request("GET", "/stats", "").await
    }

    /// How often a tool was executed.
    pub async fn calls(&self, tool: &str) -> io::Result<u64> {
        let stats = self.stats().await?;
        let count = stats.get("calls").and_then(|calls| calls.get(tool));
        Ok(count.and_then(Value::as_u64).unwrap_or(0))
    }

    /// Orders faults for the next calls, or another behaviour.
    pub async fn fault(&self, wish: &Value) -> io::Result<()> {
        self.request("POST", "/fault", &wish.to_string()).await?;
        Ok(())
    }

    /// Kills it at once.
    pub async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// One request of HTTP/1.0, so that the answer ends with the connection.
    async fn request(&self, method: &str, path: &str, body: &str) -> io::Result<Value> {
        let host = self
            .url
            .trim_start_matches("http://")
            .trim_end_matches("/mcp");
        let mut stream = TcpStream::connect(host).await?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if !head.starts_with("HTTP/1.0 2") && !head.starts_with("HTTP/1.1 2") {
            return Err(io::Error::other(format!("{path}: {head}")));
        }
        Ok(serde_json::from_str(body).unwrap_or_default())
    }
}
