//! The reference library of Standard Webhooks, from npm.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use serde_json::Value;
use tenancy_devdb::{BoxError, Node};

/// A process that signs and verifies by `standardwebhooks`; killed when it is dropped.
#[derive(Debug)]
pub struct StandardWebhooks {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl StandardWebhooks {
    /// `None` only where `TENANCY_SKIP_PEERS=1` says that there is none.
    pub async fn start() -> Result<Option<Self>, BoxError> {
        if std::env::var("TENANCY_SKIP_PEERS").as_deref() == Ok("1") {
            eprintln!("skipped: TENANCY_SKIP_PEERS=1");
            return Ok(None);
        }
        let node = Node::ensure().await?;
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/webhooks");
        let dir = node.npm_ci(dir).await?;
        let mut child = node
            .command()
            .arg("peer.mjs")
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let ask = child.stdin.take().ok_or("no stdin")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Some(Self {
            child,
            ask,
            answers,
        }))
    }

    /// With `headers` the library verifies `body` by `secret`; without, it signs `id`, `timestamp`
    /// and `body`. What it says.
    pub fn ask(&mut self, question: &Value) -> Result<String, BoxError> {
        writeln!(self.ask, "{question}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for StandardWebhooks {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
