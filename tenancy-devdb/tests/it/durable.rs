//! A server for measurements, and one in a place with an awkward name.

use std::time::Instant;

use tenancy_devdb::DevDb;

use crate::support::*;

#[tokio::test]
async fn a_durable_server_waits_for_the_disk_and_lives_on_it_in_a_path_with_spaces() {
    let place = Place::new("a path, with \"spaces\" and commas");
    let dev = place.builder().await.durable(true).start().await.unwrap();
    for setting in [
        "SHOW fsync",
        "SHOW synchronous_commit",
        "SHOW full_page_writes",
    ] {
        let mut conn = connect(dev.operator_url()).await;
        let value: String = sqlx::query_scalar(setting)
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(value, "on", "{setting}");
    }
    let data = text(dev.superuser_url().unwrap(), "SHOW data_directory").await;
    assert!(data.starts_with(place.cache().to_str().unwrap()), "{data}");
    let db = dev.empty_test_db().await.unwrap();
    run(db.operator_url(), "CREATE TABLE t (v vector(3))")
        .await
        .unwrap();
    drop(db);
    stop(&dev).await;
}

#[tokio::test]
async fn the_fast_and_the_durable_server_are_two() {
    let place = Place::new("two");
    let fast = place.builder().await.start().await.unwrap();
    let durable = place.builder().await.durable(true).start().await.unwrap();
    assert_ne!(fast.operator_url(), durable.operator_url());
    assert_eq!(text(fast.operator_url(), "SHOW fsync").await, "off");
    stop(&fast).await;
    stop(&durable).await;
}

#[tokio::test]
async fn a_second_start_in_one_process_costs_next_to_nothing() {
    let first = packaged().start().await.unwrap();
    let since = Instant::now();
    let second = packaged().start().await.unwrap();
    println!("second start in {:?}", since.elapsed());
    assert_eq!(first.operator_url(), second.operator_url());
}

/// Asked of the server itself: its directory need not be where its socket is.
async fn stop(dev: &DevDb) {
    let pid = text(
        dev.superuser_url().unwrap(),
        "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)",
    );
    signal(pid.await.parse().unwrap(), "-INT");
}
