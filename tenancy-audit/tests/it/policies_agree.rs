//! What one policy keeps for longer no other one removes.

use std::time::Duration;

use crate::{
    retention::{Kept, old_month},
    seals::seal_all,
};
use tenancy_audit::{ActionFilter, ErrorKind, RetentionPolicy};
use tenancy_core::TenantId;

fn of(tenant: Option<TenantId>, action: &str, days: u32) -> RetentionPolicy {
    let mut policy = RetentionPolicy::new(days, "a reason");
    policy.tenant = tenant;
    policy.action = match action.strip_suffix('*') {
        Some(prefix) => Some(ActionFilter::prefix(prefix).unwrap()),
        None if action.is_empty() => None,
        None => Some(ActionFilter::exact(action).unwrap()),
    };
    policy
}

async fn set(kept: &Kept, policy: &RetentionPolicy) -> Result<(), String> {
    let done = kept.policies().set(policy).await;
    done.map_err(|error| {
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Conflict, "audit_policy_longer")
        );
        error.to_string()
    })
}

async fn unset(kept: &Kept, policy: &RetentionPolicy) {
    let (tenant, action) = (policy.tenant, policy.action.as_ref());
    assert!(kept.policies().unset(tenant, action).await.unwrap());
}

#[tokio::test]
async fn a_narrower_policy_is_never_the_longer_one_whichever_comes_first() {
    let kept = Kept::new().await;
    let (a, b) = (kept.house.a.tenant(), kept.house.b.tenant());
    for (wide, narrow) in [
        (of(None, "", 365), of(Some(a), "", 3_650)),
        (of(None, "", 365), of(None, "login.*", 366)),
        (of(None, "", 365), of(Some(a), "login.begun", 366)),
        (of(Some(a), "", 30), of(Some(a), "login.*", 31)),
        (of(None, "login.*", 7), of(Some(a), "login.begun", 8)),
        (of(None, "login.*", 7), of(None, "login.begun", 8)),
        (of(None, "log*", 7), of(Some(a), "login.*", 8)),
        (of(None, "login.begun", 7), of(Some(a), "login.begun", 8)),
    ] {
        set(&kept, &wide).await.unwrap();
        let refused = set(&kept, &narrow).await.unwrap_err();
        let days = format!("{} days", wide.keep_days);
        assert!(refused.contains(&days), "{refused}");
        unset(&kept, &wide).await;

        set(&kept, &narrow).await.unwrap();
        let refused = set(&kept, &wide).await.unwrap_err();
        let days = format!("{} days", narrow.keep_days);
        assert!(refused.contains(&days), "{refused}");
        if let Some(tenant) = narrow.tenant {
            assert!(refused.contains(&tenant.to_string()), "{refused}");
        }
        // As long is no contradiction, and it is taken back by setting either.
        let mut as_long = wide.clone();
        as_long.keep_days = narrow.keep_days;
        set(&kept, &as_long).await.unwrap();
        assert!(set(&kept, &wide).await.is_err());
        let mut as_short = narrow.clone();
        as_short.keep_days = wide.keep_days;
        set(&kept, &as_short).await.unwrap();
        set(&kept, &wide).await.unwrap();
        unset(&kept, &wide).await;
        unset(&kept, &narrow).await;
    }
    // Neither is about all that the other one is about.
    for (one, other) in [
        (of(None, "login.*", 7), of(Some(a), "", 30)),
        (of(None, "login.*", 7), of(None, "logout.*", 30)),
        (of(None, "login.begun", 7), of(None, "login.beg", 30)),
        (of(Some(a), "", 7), of(Some(b), "", 30)),
        (of(Some(a), "", 7), of(Some(b), "login.begun", 30)),
    ] {
        for (one, other) in [(&one, &other), (&other, &one)] {
            set(&kept, one).await.unwrap();
            set(&kept, other).await.unwrap();
            unset(&kept, one).await;
            unset(&kept, other).await;
        }
    }
}

#[tokio::test]
async fn an_error_names_a_few_of_many() {
    let kept = Kept::new().await;
    for at in 0..9 {
        let policy = of(None, &format!("thing.made_{at}"), 400 + at);
        set(&kept, &policy).await.unwrap();
    }
    let refused = set(&kept, &of(None, "", 365)).await.unwrap_err();
    assert!(refused.contains("`thing.made_0`") && refused.contains("400 days"));
    assert!(refused.contains("`thing.made_4`") && !refused.contains("`thing.made_5`"));
    assert!(refused.contains("and more"), "{refused}");
}

#[tokio::test]
async fn of_two_that_are_set_at_a_time_the_second_sees_the_first() {
    let kept = Kept::new().await;
    let a = kept.house.a.tenant();
    let mut first = kept.house.db.operator.owner().await.unwrap();
    let word: String =
        sqlx::query_scalar("SELECT tenancy.audit_set_policy($1, '', 3650, 'a contract')")
            .bind(a)
            .fetch_one(&mut *first)
            .await
            .unwrap();
    assert_eq!(word, "ok");
    let policies = kept.policies();
    let second = tokio::spawn(async move { policies.set(&of(None, "", 365)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!second.is_finished(), "it can't know yet");
    first.commit().await.unwrap();
    let refused = second.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), "audit_policy_longer");
}

#[tokio::test]
async fn a_month_stays_as_long_as_any_policy_keeps_it() {
    let kept = Kept::new().await;
    let house = &kept.house;
    old_month(house).await;
    seal_all(house, &kept.sealer, 4).await;
    // As somebody has put them there who does not ask.
    let planted = "INSERT INTO tenancy.audit_policies (tenant_id, action, keep_days, reason) VALUES
            ($1, '', 365, 'everything'), ($2, '', 3650, 'a contract'), ($3, '', 30, 'a tenant')";
    let superuser = house.superuser().await;
    sqlx::query(planted)
        .bind(uuid::Uuid::nil())
        .bind(house.a.tenant())
        .bind(house.b.tenant())
        .execute(&superuser)
        .await
        .unwrap();
    let applied = kept.retention.apply().await.unwrap();
    assert_eq!(house.entries(&house.a).await.len(), 2, "{applied:?}");
    assert!(applied.months.is_empty());
    let failed: Vec<_> = applied.failed.iter().map(|of| of.error.code()).collect();
    assert_eq!(failed, ["audit_policy_longer"]);
    let text = applied.failed[0].error.to_string();
    assert!(text.contains("3650 days"), "{text}");
    assert_eq!(
        applied.entries, 2,
        "the policy of another tenant is applied"
    );

    unset(&kept, &of(Some(house.a.tenant()), "", 3_650)).await;
    let applied = kept.retention.apply().await.unwrap();
    assert_eq!((applied.months.len(), applied.failed.len()), (1, 0));
}
