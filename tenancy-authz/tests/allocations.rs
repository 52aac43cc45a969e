//! A check that memory answers allocates nothing. A program of its own: what counts is its allocator.

use std::{
    future::Future as _,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use allocation_counter::measure;
use tenancy_authz::{
    AuthzOptions, MockPolicyStore, PgAuthorizer, RegisteredPermission, Snapshot, perm::RolesRead,
};
use tenancy_core::{
    Authorizer as _, Decision, Permission as _, PermissionKey, Principal, RoleKey, TenantCtx,
    TenantId, UserId,
    testing::{MemoryAudit, imagined},
};

const HOUR: Duration = Duration::from_hours(1);

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Over a store that knows one permission, and that everybody holds it by two roles.
fn authorizer() -> PgAuthorizer {
    let mut store = MockPolicyStore::new();
    let known = RegisteredPermission::new(RolesRead::KEY, "see roles", 70);
    let read = move |_: &_| Ok(vec![known.clone()]);
    store.expect_registry().returning(read);
    store.expect_snapshot().returning(|_, _| {
        let mut snapshot = Snapshot::default();
        snapshot.is_member = true;
        snapshot.permissions = [70, 99].into_iter().collect();
        for role in ["role_3", "role_7"] {
            snapshot.roles.push(RoleKey::parse(role.to_owned())?);
        }
        Ok(Some(snapshot))
    });
    let options = AuthzOptions::default().with_bound(HOUR);
    PgAuthorizer::over(Arc::new(store), Arc::new(MemoryAudit::new()), options)
}

fn somebody() -> TenantCtx {
    imagined(TenantId::new(), Principal::user(UserId::new()))
}

/// How often something allocates that memory answers at once.
fn allocations(mut work: impl FnMut()) -> u64 {
    work();
    measure(|| {
        for _ in 0..1_000 {
            work();
        }
    })
    .count_total
}

#[tokio::test]
async fn what_memory_answers_allocates_nothing() -> Result {
    let (authz, member) = (authorizer(), somebody());
    authz.require(&member, RolesRead::get()).await?;
    let peek = || assert_eq!(authz.peek(&member, RolesRead::get()), Some(Decision::Allow));
    assert_eq!(allocations(peek), 0);

    // The whole of `require`, up to its proof.
    let mut context = Context::from_waker(Waker::noop());
    let require = || {
        let asked = pin!(authz.require(&member, RolesRead::get()));
        assert!(matches!(asked.poll(&mut context), Poll::Ready(Ok(_))));
    };
    assert_eq!(allocations(require), 0);

    let rights = authz.permissions(&member).await?;
    let purge = PermissionKey::from_static("templates.purge");
    assert_eq!(allocations(|| assert!(rights.allows(RolesRead::get()))), 0);
    assert_eq!(allocations(|| assert!(!rights.allows_key(&purge))), 0);

    // What counts does count: a port's future is on the heap.
    let boxed = || {
        let key = RolesRead::KEY;
        let asked = authz.require_key(&member, &key);
        assert!(matches!(
            pin!(asked).poll(&mut Context::from_waker(Waker::noop())),
            Poll::Ready(Ok(()))
        ));
    };
    assert!(allocations(boxed) >= 1_000);
    Ok(())
}

#[test]
fn two_thousand_snapshots_take_less_than_a_mebibyte() -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let authz = authorizer();
    let everybody: Vec<_> = (0..2_000).map(|_| somebody()).collect();
    runtime.block_on(authz.permissions(&somebody()))?;
    let mut failed = 0;
    let load = || {
        runtime.block_on(async {
            for ctx in &everybody {
                failed += u32::from(authz.permissions(ctx).await.is_err());
            }
        });
    };
    let kept = measure(load).bytes_current;
    eprintln!("{kept} bytes for 2,000 snapshots");
    assert!(failed == 0 && (1..=1 << 20).contains(&kept), "{kept} bytes");
    let all_there = everybody
        .iter()
        .all(|ctx| authz.peek(ctx, RolesRead::get()).is_some());
    assert!(all_there, "all of them are in memory");
    Ok(())
}
