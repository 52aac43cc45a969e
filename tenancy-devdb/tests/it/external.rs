//! A server that was there.

use std::collections::HashMap;

use tenancy_devdb::{DevDb, DevDbBuilder, ErrorKind, PgMajor};

use crate::support::*;
use crate::templates::{MAKE_TABLE, migrate};

fn vars(list: &[(&str, &str)]) -> DevDbBuilder {
    let map: HashMap<String, String> = list
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    DevDb::builder().vars(move |name| map.get(name).cloned())
}

#[tokio::test]
async fn the_server_in_the_variable_is_used_and_nothing_is_written_to_it_without_leave() {
    let server = packaged().start().await.unwrap();
    let there = server.test_db(MAKE_TABLE, migrate).await.unwrap();
    let superuser = there.superuser_url().unwrap();
    let before = names(superuser).await;

    let bare = vars(&[("TENANCY_DATABASE_URL", there.operator_url())])
        .start()
        .await
        .unwrap_err();
    assert_eq!(bare.kind(), ErrorKind::NotAllowed);
    assert!(
        bare.to_string().contains("TENANCY_ALLOW_CREATE_DATABASE=1"),
        "{bare}"
    );

    let dev = vars(&[
        ("TENANCY_DATABASE_URL", there.operator_url()),
        ("TENANCY_APP_DATABASE_URL", there.app_url()),
        ("TENANCY_WORKER_DATABASE_URL", there.worker_url()),
    ]);
    let dev = dev.start().await.unwrap();
    assert_eq!(dev.name(), there.name());
    assert_eq!(text(dev.app_url(), "SELECT id::text FROM notes").await, "1");
    assert_eq!(
        dev.superuser_url().unwrap_err().kind(),
        ErrorKind::NotAllowed
    );

    let refused = dev.test_db(MAKE_TABLE, migrate).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotAllowed);
    assert_eq!(
        dev.database("mine").await.unwrap_err().kind(),
        ErrorKind::NotAllowed
    );
    assert_eq!(
        dev.drop_database(there.name()).await.unwrap_err().kind(),
        ErrorKind::NotAllowed
    );
    let after: Vec<_> = names(superuser).await;
    assert!(after.contains(&there.name().to_owned()));
    // Tests beside this one make and drop their own.
    let new = |n: &&String| !before.contains(n) && !n.starts_with("t_") && !n.starts_with("it_");
    assert_eq!(after.iter().filter(new).count(), 0, "{after:?}");
}

#[tokio::test]
async fn with_leave_databases_are_made_and_dropped_there() {
    let place = Place::new("leave");
    let server = place.builder().await.start().await.unwrap();
    let list = [
        ("TENANCY_DATABASE_URL", server.operator_url()),
        ("TENANCY_ALLOW_CREATE_DATABASE", "1"),
        ("TENANCY_DEVDB_CACHE", place.cache().to_str().unwrap()),
    ]
    .map(|(k, v)| (k, v.to_owned()));
    let list: Vec<(&str, &str)> = list.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let dev = vars(&list).start().await.unwrap();
    let db = dev.test_db(MAKE_TABLE, migrate).await.unwrap();
    assert_eq!(text(db.app_url(), "SELECT id::text FROM notes").await, "1");
    assert_eq!(
        text(db.app_url(), "SELECT current_user::text").await,
        "tenancy_dev_app"
    );
    run(db.worker_url(), "INSERT INTO notes VALUES (2)")
        .await
        .unwrap();
    let name = db.name().to_owned();
    drop(db);
    assert!(!names(server.superuser_url().unwrap()).await.contains(&name));
    signal(postmaster(server.operator_url()), "-INT");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_not_passed_over() {
    let start = vars(&[(
        "TENANCY_DATABASE_URL",
        "postgres://me:secret@127.0.0.1:1/none",
    )]);
    let error = start.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Sql);
    assert!(!error.to_string().contains("secret"), "{error}");
    let start = vars(&[("TENANCY_DATABASE_URL", "mysql://me:secret@127.0.0.1/none")]);
    let error = start.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_version_that_is_wanted_has_to_be_there() {
    let there = packaged().start().await.unwrap();
    let other = match there.major() {
        PgMajor::V17 => PgMajor::V18,
        _ => PgMajor::V17,
    };
    let start = vars(&[
        ("TENANCY_DATABASE_URL", there.operator_url()),
        ("TENANCY_APP_DATABASE_URL", there.app_url()),
        ("TENANCY_WORKER_DATABASE_URL", there.worker_url()),
    ]);
    let error = start.major(other).start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
