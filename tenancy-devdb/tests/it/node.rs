//! Node and its packages.

use std::path::{Path, PathBuf};

use tenancy_devdb::{ErrorKind, Node};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm")
}

#[tokio::test]
async fn node_and_npm_run() {
    let node = Node::ensure().await.unwrap();
    let output = node.command().arg("--version").output().unwrap();
    assert!(output.stdout.starts_with(b"v24."), "{output:?}");
    let output = node.npm().arg("--version").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let nested = "process.stdout.write(require('child_process').execSync('node --version'))";
    let output = node.command().args(["-e", nested]).output().unwrap();
    assert!(output.stdout.starts_with(b"v24."), "{output:?}");
}

#[tokio::test]
async fn locked_packages_are_found_from_the_copy_and_the_folder_stays_clean() {
    let node = Node::ensure().await.unwrap();
    let (one, two) = tokio::join!(node.npm_ci(folder()), node.npm_ci(folder()));
    let place = one.unwrap();
    assert_eq!(place, two.unwrap());
    let output = node
        .command()
        .arg("main.mjs")
        .current_dir(&place)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "3600000",
        "{output:?}"
    );
    assert!(!folder().join("node_modules").exists());
}

#[tokio::test]
async fn a_folder_without_a_lock_file_is_refused() {
    let node = Node::ensure().await.unwrap();
    let error = node.npm_ci(folder().join("nothing")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("package-lock.json"), "{error}");
}
