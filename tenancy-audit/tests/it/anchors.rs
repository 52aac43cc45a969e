//! Heads reach every anchor, also those that a sealer did not live to publish.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    seals::{record, seal_all, sealed, signer},
    support::House,
};
use tenancy_audit::{FileAnchor, SealHead, SealOptions, Sealer};

fn heads(path: &Path) -> Vec<SealHead> {
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
