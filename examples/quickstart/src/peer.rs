//! The other side of the integrations: an OAuth provider and an MCP server, each a process of its own.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::Result;

/// A running peer; it ends when this is dropped, and when this process is killed.
pub(crate) struct Peer {
    pub(crate) url: String,
    pub(crate) pid: u32,
    _child: Child,
}

impl Peer {
    /// Starts this program again as a peer and waits for the address it prints.
    pub(crate) async fn start(name: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["peer", name])
            // A peer lives until its standard input ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or("the peer has no output")?;
        let line = BufReader::new(output).lines().next_line().await?;
        let url = line.ok_or("the peer ended before it was ready")?;
        let pid = child.id().ok_or("the peer has ended")?;
        Ok(Self {
            url,
            pid,
            _child: child,
        })
    }

    /// How often a thing was asked of the peer, by its own count.
    pub(crate) async fn count(&self, pointer: &str) -> Result<u64> {
        let answer = reqwest::get(format!("{}/stats", self.base())).await?;
        let stats: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)?;
        Ok(stats
            .pointer(pointer)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_default())
    }

    fn base(&self) -> &str {
        self.url.trim_end_matches('/').trim_end_matches("/mcp")
    }
}

/// What a peer's process does.
pub(crate) async fn serve(name: &str) -> Result {
    match name {
        "oauth" => Ok(example_oauth_provider::serve().await?),
        "smartlead" => Ok(example_smartlead_server::run().await?),
        _ => Err(format!("there is no peer `{name}`").into()),
    }
}
