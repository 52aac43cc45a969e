//! An anchor's file in which a line was torn: by a full disk, a power cut, a kill in the middle of a write.

use std::{
    fs::{File, OpenOptions, read_to_string},
    path::Path,
    sync::Arc,
    time::Duration,
};

use crate::{
    seals::{record, seal_all, signer},
    support::House,
    verify::export,
};
use tenancy_audit::{
    Fault, FileAnchor, ProofReport, SealAnchor as _, SealHead, SealKeys, Sealer, Verifier,
};

struct Anchored {
    house: House,
    sealer: Sealer,
    keys: SealKeys,
    sealed: i64,
    folder: tempfile::TempDir,
}

impl Anchored {
    async fn new() -> Self {
        let (house, folder) = (House::new().await, tempfile::tempdir().unwrap());
        let (signer, keys) = signer("one");
        let anchor = Arc::new(FileAnchor::new(folder.path().join("heads")));
        let sealer = Sealer::new(house.db.worker.clone(), signer).with_anchor(anchor);
        Self {
            house,
            sealer,
            keys,
            sealed: 0,
            folder,
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("heads")
    }

    async fn seal(&mut self) {
        record(&self.house, &self.house.a, 1).await;
        self.sealed += 1;
        seal_all(&self.house, &self.sealer, self.sealed).await;
    }

    async fn report(&self, heads: &str) -> ProofReport {
        let file = export(&self.house, &self.house.a).await;
        let verifier = Verifier::new(self.house.a.tenant(), self.keys.clone());
        let verifier = verifier.with_anchor(heads.as_bytes()).unwrap();
        verifier.verify(&*file).unwrap()
    }
}

/// The heads in a file, whatever lies between them.
fn whole(path: &Path) -> Vec<SealHead> {
    let text = read_to_string(path).unwrap();
    let heads = text.lines().map(serde_json::from_str);
    heads.filter_map(Result::ok).collect()
}

fn cut(path: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - bytes).unwrap();
}

#[tokio::test]
async fn behind_half_a_line_the_next_heads_are_whole_and_nobody_is_accused() {
    let mut anchored = Anchored::new().await;
    let path = anchored.path();
    anchored.seal().await;
    anchored.seal().await;
    cut(&path, 40);
    anchored.seal().await;
    // The line feed alone is missing: the head is there, and so is the next one.
    cut(&path, 1);
    anchored.seal().await;
    let numbers: Vec<u64> = whole(&path).iter().map(|head| head.number).collect();
    assert_eq!(numbers, [1, 3, 4]);
    let heads = read_to_string(&path).unwrap();
    let report = anchored.report(&heads).await;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!(report.torn, 1);

    let forged = heads.replace(r#""number":4"#, r#""number":5"#);
    assert_ne!(forged, heads);
    let report = anchored.report(&forged).await;
    let faults: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.line, &finding.fault))
        .collect();
    assert_eq!(faults, [(4, &Fault::AnchorForged)]);
    assert_eq!(report.torn, 1);
}

#[tokio::test]
async fn a_file_that_may_not_be_read_gets_a_line_of_its_own_for_each_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads");
    std::fs::write(&path, r#"{"tenant_id":"#).unwrap();
    let mut only_write = std::fs::metadata(&path).unwrap().permissions();
    #[cfg(unix)]
    std::os::unix::fs::PermissionsExt::set_mode(&mut only_write, 0o200);
    std::fs::set_permissions(&path, only_write.clone()).unwrap();
    if File::open(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    let house = House::new().await;
    let anchor = Arc::new(FileAnchor::new(&path));
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0).with_anchor(anchor.clone());
    for all in [1, 2] {
        record(&house, &house.a, 1).await;
        seal_all(&house, &sealer, all).await;
    }
    anchor.publish(&[]).await.unwrap();
    #[cfg(unix)]
    std::os::unix::fs::PermissionsExt::set_mode(&mut only_write, 0o600);
    std::fs::set_permissions(&path, only_write).unwrap();
    assert_eq!(whole(&path).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_several_processes_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads");
    let mut anchored = Anchored::new().await;
    anchored.seal().await;
    let head = whole(&anchored.path()).remove(0);
    let writers = (0..8).map(|_| {
        // An anchor each, as processes have.
        let (anchor, head) = (FileAnchor::new(&path), head.clone());
        tokio::spawn(async move {
            for _ in 0..25 {
                anchor.publish(&[head.clone(), head.clone()]).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(whole(&path).len(), 400);
    assert_eq!(read_to_string(&path).unwrap().lines().count(), 400);
}

#[tokio::test]
async fn a_file_that_another_process_keeps_locked_holds_nobody_for_good() {
    let mut log = Anchored::new().await;
    log.seal().await;
    let heads = whole(&log.path());
    let anchor = FileAnchor::new(log.path());
    let other = File::open(log.path()).unwrap();
    other.lock().unwrap();
    let kept_out = tokio::time::timeout(Duration::from_mins(1), anchor.publish(&heads)).await;
    drop(other);
    let error = kept_out.unwrap().unwrap_err();
    assert_eq!(error.code(), "audit_anchor_unavailable");
    assert!(error.retry().is_retryable());
    assert_eq!(whole(&log.path()), heads);
    anchor.publish(&heads).await.unwrap();
    assert_eq!(whole(&log.path()).len(), 2 * heads.len());
}
