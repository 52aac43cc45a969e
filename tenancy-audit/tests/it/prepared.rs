//! Transactions in two phases: what is prepared counts as running, however long it waits.

use crate::{
    own_server::OwnServer,
    seals::{sealed, signer},
};
use tenancy_audit::Sealer;
use tenancy_core::{AuditSink as _, Event};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_prepared_and_commits_much_later_does_not_slip_behind_a_seal() {
    let mut server = OwnServer::new().await;
    let (signer, keys) = signer("one");
    let log = server.connect().await;
    let sealer = Sealer::new(log.worker.clone(), signer.clone());
    log.record(&log.a, 3).await;
    log.seal_all(&sealer).await;
    for name in ["kept", "undone"] {
        let mut tx = log.app.write(&log.a).await.unwrap();
        let event = Event::new("late.begun").meta("name", name);
        log.audit.record_in(&mut tx, event).await.unwrap();
        let prepare: &'static str = format!("PREPARE TRANSACTION '{name}'").leak();
        sqlx::raw_sql(prepare).execute(&mut *tx).await.unwrap();
    }
    for _ in 0..5 {
        log.record(&log.a, 1).await;
        log.record(&log.b, 1).await;
        sealer.seal().await.unwrap();
    }
    assert_eq!(sealed(&log.superuser).await, 3, "it counts as running");

    // Its connection is gone, and the server was, too.
    drop((sealer, log));
    server.cluster.kill().unwrap();
    server.cluster.start_again().await.unwrap();
    let log = server.connect().await;
    let sealer = Sealer::new(log.worker.clone(), signer);
    for _ in 0..5 {
        log.record(&log.a, 1).await;
        sealer.seal().await.unwrap();
    }
    assert_eq!(sealed(&log.superuser).await, 3, "as before");
    let health = sealer.health().await.unwrap();
    assert!(health.waiting_since.is_some(), "for an alarm");

    for end in ["COMMIT PREPARED 'kept'", "ROLLBACK PREPARED 'undone'"] {
        sqlx::raw_sql(end).execute(&log.superuser).await.unwrap();
    }
    assert_eq!(log.entries().await, 19);
    log.seal_all(&sealer).await;
    log.verify(&keys, b"").await;
}
