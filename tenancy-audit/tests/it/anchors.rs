//! Heads reach every anchor, also those that a sealer did not live to publish.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse as _, Response},
    routing,
};

use crate::{
    proof_files::restore,
    seals::{record, seal_all, sealed, signer},
    support::House,
};
use tenancy_audit::{
    ErrorKind, FileAnchor, HttpAnchor, SealAnchor as _, SealHead, SealOptions, Sealer,
};
use tenancy_core::SecretText;

pub(crate) fn heads(path: &Path) -> Vec<SealHead> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn what_a_killed_sealer_did_not_publish_is_published_at_the_next_start() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads");
    let (signer, _) = signer("one");
    record(&house, &house.a, 2).await;
    record(&house, &house.b, 1).await;
    // It seals, and is gone before it publishes.
    let killed = Sealer::new(house.db.worker.clone(), signer.clone());
    seal_all(&house, &killed, 3).await;
    let next = || {
        Sealer::new(house.db.worker.clone(), signer.clone())
            .with_anchor(Arc::new(FileAnchor::new(&path)))
    };
    let done = next().seal().await.unwrap();
    assert_eq!(
        (done.entries, done.unpublished),
        (0, 0),
        "nothing is left to seal"
    );
    let mut tenants: Vec<_> = heads(&path)
        .iter()
        .map(|head| (head.tenant, head.number))
        .collect();
    tenants.sort();
    let mut expected = [(house.a.tenant(), 1), (house.b.tenant(), 1)];
    expected.sort();
    assert_eq!(tenants, expected);
    next().seal().await.unwrap();
    assert_eq!(heads(&path).len(), 2, "once");
}

#[tokio::test]
async fn a_sealer_that_takes_over_publishes_for_the_one_that_was_killed() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads");
    let (signer, _) = signer("one");
    let standing_by = Sealer::new(house.db.worker.clone(), signer.clone())
        .with_anchor(Arc::new(FileAnchor::new(&path)));
    standing_by.seal().await.unwrap();
    record(&house, &house.a, 1).await;
    let killed = Sealer::new(house.db.worker.clone(), signer.clone());
    seal_all(&house, &killed, 1).await;
    record(&house, &house.b, 1).await;
    seal_all(&house, &standing_by, 2).await;
    let tenants: Vec<_> = heads(&path).iter().map(|head| head.tenant).collect();
    assert!(tenants.contains(&house.a.tenant()), "{tenants:?}");
    assert!(tenants.contains(&house.b.tenant()), "{tenants:?}");
}

#[tokio::test]
async fn each_of_several_anchors_gets_all_heads_and_one_that_is_away_gets_them_later() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (here, away) = (
        folder.path().join("heads"),
        folder.path().join("none/heads"),
    );
    let (signer, _) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer)
        .with_options(SealOptions::default().with_interval(Duration::from_millis(10)))
        .with_anchor(Arc::new(FileAnchor::new(&away)))
        .with_anchor(Arc::new(FileAnchor::new(&here)));
    for all in [1, 2] {
        record(&house, &house.a, 1).await;
        seal_all(&house, &sealer, all).await;
    }
    assert_eq!(heads(&here).len(), 2);
    assert_eq!(sealer.seal().await.unwrap().unpublished, 1);
    std::fs::create_dir(away.parent().unwrap()).unwrap();
    assert_eq!(sealer.seal().await.unwrap().unpublished, 0);
    let numbers: Vec<_> = heads(&away).iter().map(|head| head.number).collect();
    assert_eq!(numbers, [2], "the newest stands for all before it");
    assert_eq!(sealed(&house.superuser().await).await, 2);
}

#[tokio::test]
async fn what_was_sealed_is_published_although_the_database_denies_it_by_then() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let away = folder.path().join("none/heads");
    let sealer = Sealer::new(house.db.worker.clone(), signer("one").0)
        .with_anchor(Arc::new(FileAnchor::new(&away)));
    record(&house, &house.a, 1).await;
    seal_all(&house, &sealer, 1).await;
    restore(&house, house.a.tenant()).await;
    std::fs::create_dir(away.parent().unwrap()).unwrap();
    assert_eq!(sealer.seal().await.unwrap().unpublished, 0);
    let numbers: Vec<_> = heads(&away).iter().map(|head| head.number).collect();
    assert_eq!(numbers, [1]);
}

/// Serves on an address of its own, until the runtime ends.
pub(crate) async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test]
async fn one_that_redirects_or_hangs_gets_the_heads_later_and_nobody_else_gets_them() {
    let (calls, strays) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let kept = Arc::new(Mutex::new(Vec::<SealHead>::new()));
    let elsewhere = {
        let strays = strays.clone();
        let stray = move || {
            strays.fetch_add(1, Ordering::Relaxed);
            async { StatusCode::NO_CONTENT }
        };
        serve(Router::new().fallback(stray)).await
    };
    let answer = {
        let (calls, kept) = (calls.clone(), kept.clone());
        move |Json(heads): Json<Vec<SealHead>>| {
            let (at, kept) = (calls.fetch_add(1, Ordering::Relaxed), kept.clone());
            let moved = |status: StatusCode| -> Response {
                (status, [(LOCATION, elsewhere.clone())]).into_response()
            };
            let moved = match at {
                0 => Some(moved(StatusCode::FOUND)),
                1 => Some(moved(StatusCode::TEMPORARY_REDIRECT)),
                2 => Some(moved(StatusCode::PERMANENT_REDIRECT)),
                _ => None,
            };
            async move {
                if let Some(moved) = moved {
                    return moved;
                }
                if at == 3 {
                    std::future::pending::<()>().await;
                }
                kept.lock().unwrap().extend(heads);
                StatusCode::NO_CONTENT.into_response()
            }
        }
    };
    let url = serve(Router::new().route("/heads", routing::post(answer))).await;
    let patience = Duration::from_millis(300);
    let anchor = || {
        let anchor = HttpAnchor::new(&format!("{url}/heads")).unwrap();
        let token = SecretText::new("let me in");
        anchor.with_token(token).with_timeout(patience)
    };
    for status in ["302", "307", "308", "not answer"] {
        let begun = Instant::now();
        let error = anchor().publish(&[]).await.unwrap_err();
        assert_eq!(
            (error.code(), error.kind()),
            ("audit_anchor_unavailable", ErrorKind::Unavailable)
        );
        assert!(error.to_string().contains(status), "{error}");
        assert!(error.retry().is_retryable());
        assert!(begun.elapsed() < patience * 20, "{status}");
    }
    // The same to a sealer, which seals on.
    calls.store(0, Ordering::Relaxed);
    let house = House::new().await;
    let (signer, _) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer).with_anchor(Arc::new(anchor()));
    record(&house, &house.a, 2).await;
    seal_all(&house, &sealer, 2).await;
    let begun = Instant::now();
    while sealer.seal().await.unwrap().unpublished > 0 {
        assert!(begun.elapsed() < Duration::from_mins(1));
    }
    assert_eq!(calls.load(Ordering::Relaxed), 5);
    assert_eq!(strays.load(Ordering::Relaxed), 0, "followed");
    let kept: Vec<_> = kept
        .lock()
        .unwrap()
        .iter()
        .map(|head| head.tenant)
        .collect();
    assert_eq!(kept, [house.a.tenant()]);
}
