//! What one policy can't do does not keep the others, and what was done is told whatever comes after it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use chrono::NaiveDate;
use tenancy_audit::{
    ActionFilter, Ed25519Signer, Error, ErrorKind, Retention, RetentionPolicies, RetentionPolicy,
    SealSignature, SealSigner, Sealer,
};
use tenancy_core::{OperatorDb, Retry, TenantId};
use tenancy_testkit::{Cut, Proxy};

use crate::{
    policies::long_ago,
    retention::{Kept, old_month},
    seals::{seal_all, signer},
    support::House,
    verify::report,
};

async fn set(house: &House, policies: &[RetentionPolicy]) {
    let stored = RetentionPolicies::new(house.db.operator.clone());
    for policy in policies {
        stored.set(policy).await.unwrap();
    }
}

#[tokio::test]
async fn a_busy_month_keeps_no_other_policy_from_its_work() {
    let kept = Kept::new().await;
    let (house, retention) = (&kept.house, &kept.retention);
    old_month(house).await;
    for ctx in [&house.a, &house.b] {
        long_ago(&kept, ctx, "login.begun", 9).await;
    }
    seal_all(house, &kept.sealer, 6).await;
    let logins = ActionFilter::prefix("login.").unwrap();
    let policies = [
        RetentionPolicy::new(365, "kept for a year"),
        RetentionPolicy::new(7, "logins are kept for a week").with_action(logins),
    ];
    set(house, &policies).await;

    let mut reader = house.superuser().await.begin().await.unwrap();
    let lock = "LOCK TABLE tenancy.audit_logs_y2025m03 IN ACCESS SHARE MODE";
    sqlx::raw_sql(lock).execute(&mut *reader).await.unwrap();
    let applied = retention.apply().await.unwrap();
    assert_eq!(applied.entries, 2, "the logins of both: {applied:?}");
    assert!(applied.months.is_empty() && !applied.cut_short);
    let [failure] = &applied.failed[..] else {
        panic!("{applied:?}")
    };
    let march = NaiveDate::from_ymd_opt(2025, 3, 1);
    assert_eq!((failure.month, failure.tenant), (march, None));
    assert_eq!(failure.error.code(), "audit_month_busy");
    assert_eq!(failure.error.retry(), Retry::Backoff);

    reader.rollback().await.unwrap();
    let applied = retention.apply().await.unwrap();
    assert_eq!((applied.entries, applied.failed.len()), (4, 0));
    assert_eq!(applied.months.first().copied(), march);
}

/// Cuts the database off when it signs for the second time.
struct Cutting {
    inner: Arc<Ed25519Signer>,
    signed: AtomicUsize,
    proxy: Mutex<Option<Proxy>>,
}

#[async_trait]
impl SealSigner for Cutting {
    fn key_name(&self) -> String {
        self.inner.key_name()
    }

    async fn sign(&self, message: &[u8]) -> Result<SealSignature, Error> {
        if self.signed.fetch_add(1, Ordering::Relaxed) == 1 {
            self.proxy.lock().unwrap().take();
        }
        self.inner.sign(message).await
    }
}

/// Two tenants, each with a login and something else from nine days ago, the one first whose id is; and policies by
/// which all of it goes but what the first tenant made.
async fn nine_days_ago() -> (Kept, Arc<Ed25519Signer>, [TenantId; 2]) {
    let house = House::new().await;
    house
        .as_owner("ALTER TABLE tenancy.audit_logs DROP CONSTRAINT audit_logs_id_time")
        .await;
    let (signer, keys) = signer("one");
    let kept = Kept {
        sealer: Sealer::new(house.db.worker.clone(), signer.clone()),
        retention: Retention::new(house.db.operator.clone(), signer.clone(), keys.clone()),
        house,
        keys,
    };
    let house = &kept.house;
    for ctx in [&house.a, &house.b] {
        for action in ["login.begun", "thing.made"] {
            long_ago(&kept, ctx, action, 9).await;
        }
    }
    seal_all(house, &kept.sealer, 4).await;
    let mut tenants = [house.a.tenant(), house.b.tenant()];
    tenants.sort_unstable();
    let logins = ActionFilter::prefix("login.").unwrap();
    let policies = [
        RetentionPolicy::new(7, "logins are kept for a week").with_action(logins),
        RetentionPolicy::new(8, "a contract").with_tenant(tenants[1]),
    ];
    set(house, &policies).await;
    (kept, signer, tenants)
}

#[tokio::test]
async fn what_was_done_is_told_although_the_database_went_away_in_the_middle() {
    let (kept, inner, [first, second]) = nine_days_ago().await;
    let house = &kept.house;
    let proxy = Proxy::start(house.db.server.operator_url()).await.unwrap();
    let operator = OperatorDb::connect(proxy.url()).await.unwrap();
    let cutting = Arc::new(Cutting {
        inner,
        signed: AtomicUsize::new(0),
        proxy: Mutex::new(Some(proxy)),
    });
    let cut_off = Retention::new(operator, cutting, kept.keys.clone());
    let applied = cut_off.apply().await.unwrap();
    assert_eq!(applied.entries, 1, "the login of {first}: {applied:?}");
    assert!(applied.cut_short, "{applied:?}");
    let [failure] = &applied.failed[..] else {
        panic!("the other policy was not tried: {applied:?}")
    };
    assert_eq!((failure.tenant, failure.month), (Some(second), None));
    assert_eq!(failure.error.kind(), ErrorKind::Unavailable);
    assert!(failure.error.retry().is_retryable());

    let applied = kept.retention.apply().await.unwrap();
    assert_eq!(applied.entries, 2, "what is left");
    assert!(applied.failed.is_empty() && !applied.cut_short);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_told_as_what_it_is() {
    let (kept, signer, [first, _]) = nine_days_ago().await;
    let house = &kept.house;
    let proxy = Proxy::start(house.db.server.operator_url()).await.unwrap();
    let operator = OperatorDb::connect(proxy.url()).await.unwrap();
    let retention = Retention::new(operator, signer, kept.keys.clone());
    proxy.cut(Cut::Answer, "COMMIT");
    let applied = retention.apply().await.unwrap();
    let [failure] = &applied.failed[..] else {
        panic!("{applied:?}")
    };
    assert_eq!(failure.tenant, Some(first));
    assert_eq!(failure.error.kind(), ErrorKind::CommitOutcomeUnknown);
    assert!(failure.error.retry().is_retryable(), "it can be repeated");
    // The server had done it; the others were not kept from it.
    assert!(!applied.cut_short, "{applied:?}");
    assert_eq!(applied.entries, 2, "of the second tenant");
    let applied = kept.retention.apply().await.unwrap();
    assert_eq!((applied.entries, applied.failed.len()), (0, 0));
    for ctx in [&house.a, &house.b] {
        let report = report(house, ctx, &kept.keys).await;
        assert!(report.is_intact(), "{:?}", report.findings);
    }
}
