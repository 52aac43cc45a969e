//! Many databases at once: roles belong to the whole cluster.

use std::time::Instant;

use tenancy_devdb::Database;
use tokio::task::JoinSet;

use crate::support::*;
use crate::templates::{MAKE_ROLES, MAKE_TABLE, migrate};

#[tokio::test(flavor = "multi_thread")]
async fn eight_databases_are_migrated_at_once_on_a_cluster_without_the_roles() {
    let place = Place::new("eight");
    let dev = place.builder().await.start().await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let dev = dev.clone();
        tasks.spawn(async move {
            let db = dev.empty_test_db().await.unwrap();
            migrate(Database::clone(&db)).await.unwrap();
            dev.grant_logins().await.unwrap();
            assert_eq!(text(db.app_url(), "SELECT id::text FROM notes").await, "1");
            run(db.worker_url(), "INSERT INTO notes VALUES (2)")
                .await
                .unwrap();
        });
    }
    assert_eq!(tasks.join_all().await.len(), 8);
    signal(postmaster(dev.operator_url()), "-INT");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_join_their_groups_however_many_grant_at_once() {
    let place = Place::new("grants");
    let dev = place.builder().await.start().await.unwrap();
    run(dev.operator_url(), MAKE_ROLES).await.unwrap();
    let revoke = "REVOKE tenancy_app FROM tenancy_dev_app";
    let member = "SELECT pg_has_role('tenancy_dev_app', 'tenancy_app', 'MEMBER')::text";
    for _ in 0..10 {
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let dev = dev.clone();
            tasks.spawn(async move { dev.grant_logins().await.unwrap() });
        }
        tasks.join_all().await;
        assert_eq!(text(dev.app_url(), member).await, "true");
        run(dev.superuser_url().unwrap(), revoke).await.unwrap();
    }
    signal(postmaster(dev.operator_url()), "-INT");
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_templates_asked_for_at_once_are_all_made() {
    let place = Place::new("templates");
    let dev = place.builder().await.start().await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let dev = dev.clone();
        tasks.spawn(async move {
            let key = format!("many-{n}");
            let db = dev.test_db(&key, |db| async move {
                // Not safe for two at once, and need not be: templates are made one by one.
                let exists = "SELECT count(*)::text FROM pg_roles WHERE rolname = 'tenancy_app'";
                if text(db.operator_url(), exists).await == "0" {
                    run(db.operator_url(), "SELECT pg_sleep(0.05)").await?;
                    run(db.operator_url(), "CREATE ROLE tenancy_app NOLOGIN").await?;
                }
                Ok(run(db.operator_url(), MAKE_ROLES).await?)
            });
            db.await.unwrap();
        });
    }
    assert_eq!(tasks.join_all().await.len(), 8);
    signal(postmaster(dev.operator_url()), "-INT");
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_clones_at_once_each_hold_what_the_template_holds() {
    let dev = packaged().start().await.unwrap();
    drop(dev.test_db(MAKE_TABLE, migrate).await.unwrap());
    let since = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let dev = dev.clone();
        tasks.spawn(async move { dev.test_db(MAKE_TABLE, migrate).await.unwrap() });
    }
    let databases = tasks.join_all().await;
    println!("eight clones in {:?}", since.elapsed());
    for db in databases {
        assert_eq!(text(db.app_url(), "SELECT id::text FROM notes").await, "1");
    }
}
