//! The package: refused when it is not the pinned one, and not fetched twice.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::*;

/// The package's file, as the shared cache keeps it.
async fn wheel() -> PathBuf {
    let dev = packaged().start().await.unwrap();
    let program = dev.program("postgres").unwrap();
    let cache = program.ancestors().nth(5).unwrap();
    let files = fs::read_dir(cache).unwrap().flatten().map(|e| e.path());
    files
        .into_iter()
        .find(|p| {
            let name = p.file_name().unwrap().to_string_lossy();
            name.starts_with("pixeltable") && name.ends_with(".whl")
        })
        .unwrap()
}

fn serve(place: &Place) -> Command {
    let mut command = binary();
    command
        .arg("serve")
        .env("TENANCY_DEVDB_CACHE", place.cache());
    command
        .env("TENANCY_DEVDB_SYSTEM", "0")
        .env("PATH", place.tools());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn works(command: &mut Command) {
    let mut client = Client::spawn(command);
    let url = client.url();
    assert_eq!(text(&url, "SELECT '[1,2]'::vector::text").await, "[1,2]");
}

/// A client that hands out `files`, one a call.
fn fake_client(place: &Place, files: &[PathBuf]) {
    let tools = place.tools_dir();
    let mut script = String::from("#!/bin/sh\nset -eu\nwhile [ \"$1\" != -d ]; do shift; done\n");
    for (n, file) in files.iter().enumerate() {
        let mark = tools.join(format!("call-{n}"));
        writeln!(
            script,
            "if [ ! -e '{0}' ]; then : >'{0}'; cp '{1}' \"$2/x.whl\"; exit 0; fi",
            mark.display(),
            file.display()
        )
        .unwrap();
    }
    script += "echo 'ERROR: no more' >&2; exit 1\n";
    write_script(&tools.join("python3"), &script);
}

#[tokio::test]
async fn once_cached_nothing_is_fetched() {
    let place = Place::new("offline");
    fs::create_dir(place.cache()).unwrap();
    let wheel = wheel().await;
    fs::copy(&wheel, place.cache().join(wheel.file_name().unwrap())).unwrap();
    works(&mut serve(&place)).await;
    // The unpacked tree alone suffices as well.
    fs::remove_file(place.cache().join(wheel.file_name().unwrap())).unwrap();
    let mut again = binary();
    again.arg("serve").env("TENANCY_DEVDB_CACHE", place.cache());
    again
        .env("TENANCY_DEVDB_SYSTEM", "0")
        .env("PATH", place.tools_dir());
    works(again.stdout(Stdio::piped())).await;
}

#[tokio::test]
async fn a_corrupted_download_is_refused_and_fetched_again() {
    let place = Place::new("corrupt");
    let wheel = wheel().await;
    let bad = place.dir.join("bad.whl");
    let mut bytes = fs::read(&wheel).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bad, bytes).unwrap();
    let mut command = serve(&place);
    fake_client(&place, &[bad, wheel]);
    works(&mut command).await;
    assert!(
        place.tools_dir().join("call-1").exists(),
        "it was asked a second time"
    );
}

#[tokio::test]
async fn a_corrupted_file_in_the_cache_is_refused_and_fetched_again() {
    let place = Place::new("kept");
    let wheel = wheel().await;
    fs::create_dir(place.cache()).unwrap();
    fs::write(
        place.cache().join(wheel.file_name().unwrap()),
        "half a down",
    )
    .unwrap();
    let mut command = serve(&place);
    fake_client(&place, &[wheel]);
    works(&mut command).await;
}

#[tokio::test]
async fn what_is_never_the_pinned_file_is_never_unpacked() {
    let place = Place::new("never");
    let bad = place.dir.join("bad.whl");
    fs::write(&bad, "something else").unwrap();
    let mut command = serve(&place);
    fake_client(&place, &[bad.clone(), bad]);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("refused a file with sha256"), "{text}");
    let left: Vec<_> = fs::read_dir(place.cache())
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .collect();
    assert!(
        left.iter()
            .all(|p| p.extension().is_some_and(|e| e == "lock")),
        "{left:?}"
    );
}
