//! One server for all processes, alive while one of them lives.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::*;

#[tokio::test]
async fn the_server_is_gone_within_a_second_after_sigkill_of_its_last_client() {
    let place = Place::new("last");
    let (first, url) = place.serve().await;
    let (second, same) = place.serve().await;
    assert_eq!(url, same);
    let server = postmaster(&url);

    drop(first);
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(is_alive(server), "one client still lives");
    assert_eq!(text(&url, "SELECT 'here'").await, "here");

    let since = Instant::now();
    drop(second);
    while is_alive(server) || UnixStream::connect(socket_of(&url)).is_ok() {
        assert!(
            since.elapsed() < Duration::from_secs(1),
            "still there after a second"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("gone after {:?}", since.elapsed());
}

#[tokio::test]
async fn a_server_with_open_sessions_is_gone_as_fast() {
    let place = Place::new("sessions");
    let (client, url) = place.serve().await;
    let server = postmaster(&url);
    let busy = tokio::spawn({
        let url = url.clone();
        async move { run(&url, "SELECT pg_sleep(60)").await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let since = Instant::now();
    drop(client);
    while is_alive(server) {
        assert!(
            since.elapsed() < Duration::from_secs(1),
            "still there after a second"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(busy.await.unwrap().is_err());
}

#[tokio::test]
async fn processes_that_start_at_once_share_one_server() {
    let place = Place::new("at-once");
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(place.spawn().await);
    }
    let urls: Vec<String> = clients.iter_mut().map(Client::url).collect();
    let servers: Vec<u32> = urls.iter().map(|u| postmaster(u)).collect();
    assert!(
        urls.iter().all(|u| *u == urls[0] && !u.is_empty()),
        "{urls:?}"
    );
    assert!(servers.iter().all(|s| *s == servers[0]), "{servers:?}");
}

#[tokio::test]
async fn whoever_comes_while_the_server_ends_gets_one_that_stays() {
    let place = Place::new("between");
    let (mut client, url) = place.serve().await;
    run(&url, "CREATE TABLE kept AS SELECT 7 AS n")
        .await
        .unwrap();
    for pause in [0, 50, 150, 250, 290, 300, 310, 330, 360, 400, 600] {
        drop(client);
        std::thread::sleep(Duration::from_millis(pause));
        let (next, same) = place.serve().await;
        assert_eq!(url, same);
        std::thread::sleep(Duration::from_millis(450));
        let kept = text(&url, "SELECT n::text FROM kept").await;
        assert_eq!(kept, "7", "after a pause of {pause} ms");
        client = next;
    }
    drop(client);
}

#[tokio::test]
async fn a_killed_server_is_started_again_in_the_same_process() {
    let place = Place::new("crash");
    let dev = place.builder().await.start().await.unwrap();
    let stored = "SET synchronous_commit = on; CREATE TABLE kept AS SELECT 7 AS n";
    run(dev.operator_url(), stored).await.unwrap();
    let server = postmaster(dev.operator_url());
    signal(server, "-KILL");
    while is_alive(server) {
        std::thread::sleep(Duration::from_millis(5));
    }
    // At once: its supervisor hears of it a moment later, and until then stands for it.
    let again = place.builder().await.start().await.unwrap();
    assert_ne!(postmaster(again.operator_url()), server);
    let kept = text(again.operator_url(), "SELECT n::text FROM kept").await;
    assert_eq!(kept, "7", "what was committed is there");
    // Both share the lease: the server's end is awaited by the place, so let go of it first.
    signal(postmaster(again.operator_url()), "-INT");
}

#[tokio::test]
async fn what_a_dead_process_left_behind_is_dropped_and_what_a_living_one_uses_is_not() {
    let place = Place::new("sweep");
    let (client, url) = place.serve().await;
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let superuser = url.replace("tenancy_dev_operator", "postgres");
    let (left, used) = (
        format!("t_{}_1", dead.id()),
        format!("t_{}_1", std::process::id()),
    );
    for name in [&left, &used] {
        let statement = format!("CREATE DATABASE {name}");
        let mut conn = connect(&superuser).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let (next, _) = place.serve().await;
    let there = names(&superuser).await;
    assert!(there.contains(&used) && !there.contains(&left), "{there:?}");
    drop(client);
    drop(next);
}

#[tokio::test]
async fn a_cluster_that_does_not_start_any_more_is_made_anew() {
    let place = Place::new("torn");
    let (client, url) = place.serve().await;
    let server = postmaster(&url);
    let data = socket_of(&url).ancestors().nth(2).unwrap().join("data");
    drop(client);
    while is_alive(server) {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::write(data.join("global/pg_control"), "torn").unwrap();
    let (_client, same) = place.serve().await;
    assert_eq!(url, same);
    assert_eq!(text(&url, "SELECT '[1]'::vector::text").await, "[1]");
}

#[tokio::test]
async fn a_cluster_whose_cache_was_removed_goes_with_the_next_start() {
    let gone = Place::new("removed");
    let (client, url) = gone.serve().await;
    let (server, run) = (
        postmaster(&url),
        socket_of(&url).ancestors().nth(2).unwrap().to_owned(),
    );
    std::fs::remove_dir_all(gone.cache()).unwrap();
    let other = Place::new("next");
    drop(other.serve().await);
    assert!(is_alive(server), "one that is in use stays");
    drop(client);
    while is_alive(server) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let another = Place::new("after");
    drop(another.serve().await);
    assert!(!run.exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_whose_supervisor_was_killed_is_replaced() {
    let place = Place::new("orphan");
    let (client, url) = place.serve().await;
    let orphan = postmaster(&url);
    for shell in shells_beside(orphan) {
        signal(shell, "-KILL");
    }
    assert_eq!(text(&url, "SELECT 'still here'").await, "still here");
    let since = Instant::now();
    let (next, same) = place.serve().await;
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(url, same);
    assert!(!is_alive(orphan));
    assert_eq!(text(&url, "SELECT 'here again'").await, "here again");
    drop(client);
    drop(next);
}

/// The shells in the process group of `pid`.
#[cfg(target_os = "linux")]
fn shells_beside(pid: u32) -> Vec<u32> {
    let stat = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, tail) = text.rsplit_once(')')?;
        let group: u32 = tail.split_whitespace().nth(2)?.parse().ok()?;
        Some((head.split_once('(')?.1.to_owned(), group))
    };
    let group = stat(pid).unwrap().1;
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|e| e.file_name().to_str()?.parse().ok());
    let shells: Vec<u32> = pids
        .filter(|pid| {
            stat(*pid).is_some_and(|(name, g)| g == group && !name.starts_with("postgres"))
        })
        .collect();
    assert!(shells.len() >= 2, "a supervisor and its reader");
    shells
}
