//! The provider from npm whose tokens the tests take.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
};

use tenancy_devdb::{BoxError, Node};

/// A running `oidc-provider` that mints tokens; killed when it is dropped.
#[derive(Debug)]
#[non_exhaustive]
pub struct OidcPeer {
    /// Its issuer, which is its address.
    pub issuer: String,
    child: Child,
}

impl OidcPeer {
    /// `None` only where `TENANCY_SKIP_PEERS=1` says that there is none.
    pub async fn start() -> Result<Option<Self>, BoxError> {
        if std::env::var("TENANCY_SKIP_PEERS").as_deref() == Ok("1") {
            eprintln!("skipped: TENANCY_SKIP_PEERS=1");
            return Ok(None);
        }
        let node = Node::ensure().await?;
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/tokens");
        let dir = node.npm_ci(dir).await?;
        let mut child = node
            .command()
            .arg("server.mjs")
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let issuer = line.trim().to_owned();
        Ok(Some(Self { issuer, child }))
    }
}

impl Drop for OidcPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
