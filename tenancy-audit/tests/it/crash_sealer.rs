//! The process of a sealer that is killed: whatever it was at, the log is whole and the next one goes on.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    own_server::TWICE,
    seals::{proofs, record, seal_all, sealed},
    support::House,
};
use tenancy_audit::{
    Ed25519Signer, Error, FileAnchor, SealAnchor, SealHead, SealKeys, SealOptions, SealSignature,
    SealSigner, Sealer, Verifier,
};
use tenancy_core::WorkerDb;

/// Set for the process that seals until it is killed: where it stops, the worker's URL, the anchor's file, the key.
const SEALER: &str = "TENANCY_TEST_CRASH_SEALER";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealer_that_is_killed_in_the_middle_leaves_a_whole_log() {
    if let Ok(how) = std::env::var(SEALER) {
        return Box::pin(seal(&how)).await;
    }
    let kills = std::env::var("TENANCY_SERVER_KILLS").ok();
    let kills = kills.and_then(|n| n.parse().ok()).unwrap_or(12);
    let (house, folder) = (House::new().await, tempfile::tempdir().unwrap());
    let (url, path) = (house.db.server.worker_url(), folder.path().join("heads"));
    let key = Ed25519Signer::generate("one").unwrap();
    let signer = Arc::new(Ed25519Signer::parse(key.expose()).unwrap());
    let keys = SealKeys::new([signer.public_key()]);
    let next = || {
        let anchor = Arc::new(FileAnchor::new(&path));
        Sealer::new(house.db.worker.clone(), signer.clone()).with_anchor(anchor)
    };
    let superuser = house.superuser().await;
    let (mut all, mut before) = (0, 0);
    for kill in 0..kills {
        record(&house, &house.a, 30).await;
        record(&house, &house.b, 20).await;
        all += 50;
        let at = ["signing", "publishing", "anywhere"][kill % 3];
        let how = format!("{at} {url} {} {}", path.display(), key.expose());
        tokio::task::block_in_place(|| run_and_kill(&how, Duration::from_millis(kill as u64 * 3)));
        let left = sealed(&superuser).await;
        match at {
            "signing" => assert_eq!(left, before, "nothing of what it was at"),
            "publishing" => assert!(left > before, "what it had stored"),
            _ => assert!((before..=all).contains(&left)),
        }
        verify(&house, &keys, &path).await;
        // The next one publishes what it did not live to publish, too.
        seal_all(&house, &next(), all).await;
        before = all;
        for ctx in [&house.a, &house.b] {
            let newest = proofs(&house).head(ctx).await.unwrap();
            let heads = std::fs::read_to_string(&path).unwrap();
            let mut heads = heads.lines().rev();
            let kept = heads.find(|line| line.contains(&ctx.tenant().to_string()));
            let kept: SealHead = serde_json::from_str(kept.unwrap()).unwrap();
            assert_eq!(Some(kept), newest, "{at}");
        }
        assert_eq!(verify(&house, &keys, &path).await, all);
    }
    let twice: i64 = sqlx::query_scalar(TWICE)
        .fetch_one(&superuser)
        .await
        .unwrap();
    assert_eq!((twice, sealed(&superuser).await), (0, all));
}

/// How many entries are as they were sealed, of both tenants.
async fn verify(house: &House, keys: &SealKeys, heads: &Path) -> i64 {
    let (heads, mut entries) = (std::fs::read(heads).unwrap_or_default(), 0);
    for ctx in [&house.a, &house.b] {
        let verifier = Verifier::new(ctx.tenant(), keys.clone());
        let verifier = verifier.with_anchor(&*heads).unwrap();
        let report = proofs(house).verify(ctx, &verifier).await.unwrap();
        assert!(report.is_intact(), "{:?}", report.findings);
        entries += report.entries;
    }
    i64::try_from(entries).unwrap()
}

/// Kills the process when it says that it is there, and then some.
fn run_and_kill(how: &str, later: Duration) {
    let mut sealer: Child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash_sealer::a_sealer_that_is_killed_in_the_middle_leaves_a_whole_log",
            "--nocapture",
        ])
        .env(SEALER, how)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(sealer.stdout.take().unwrap()).lines();
    let is_there = lines.any(|line| line.is_ok_and(|line| line == "there"));
    if how.starts_with("anywhere") {
        std::thread::sleep(later);
    }
    sealer.kill().unwrap();
    sealer.wait().unwrap();
    assert!(is_there, "it ended by itself");
}

/// On a line of its own, whatever the harness has written.
fn say_there() {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nthere").unwrap();
    out.flush().unwrap();
}

/// Says so, and stays there.
async fn there() {
    say_there();
    std::future::pending::<()>().await;
}

struct StoppedSigner(Ed25519Signer);

#[async_trait]
impl SealSigner for StoppedSigner {
    fn key_name(&self) -> String {
        self.0.key_name()
    }

    async fn sign(&self, message: &[u8]) -> Result<SealSignature, Error> {
        let signature = self.0.sign(message).await;
        there().await;
        signature
    }
}

struct StoppedAnchor(FileAnchor);

#[async_trait]
impl SealAnchor for StoppedAnchor {
    fn place(&self) -> String {
        self.0.place()
    }

    async fn publish(&self, _: &[SealHead]) -> Result<(), Error> {
        there().await;
        Ok(())
    }
}

async fn seal(how: &str) {
    let mut parts = how.split(' ');
    let mut next = || parts.next().unwrap();
    let (at, url, path, key) = (next(), next(), next(), next());
    let worker = WorkerDb::connect(url).await.unwrap();
    let signer = Ed25519Signer::parse(key).unwrap();
    let anchor = FileAnchor::new(path);
    let sealer = match at {
        "signing" => Sealer::new(worker, Arc::new(StoppedSigner(signer))),
        "publishing" => {
            Sealer::new(worker, Arc::new(signer)).with_anchor(Arc::new(StoppedAnchor(anchor)))
        }
        _ => Sealer::new(worker, Arc::new(signer)).with_anchor(Arc::new(anchor)),
    };
    let sealer = sealer.with_options(SealOptions::default().with_batch(7));
    if at == "anywhere" {
        say_there();
    }
    loop {
        sealer.seal().await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
