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
    AuthzOptions, COMPONENT, MockPolicyStore, PgAuthorizer, RegisteredPermission, Snapshot,
    perm::RolesRead, sync_permissions,
};
use tenancy_core::{
    Authorizer as _, Decision, Permission as _, PermissionDef, PermissionKey, Principal, RoleKey,
    TenantCtx, TenantId, UserId,
    migrate::CORE,
    testing::{MemoryAudit, imagined},
};
use tenancy_testkit::Db;

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

/// A hundred tenants with ten roles over a hundred permissions each, the first granting ten of them and the
/// last all; $1 tenants, $2 users, each of whom is in two tenants with two roles.
const SETTING: &[&str] = &[
    "INSERT INTO tenancy.tenants (id, name) SELECT t, 'x' FROM unnest($1::uuid[]) t WHERE $2::uuid[] IS NOT NULL",
    "INSERT INTO tenancy.tenant_epoch (tenant_id) SELECT t FROM unnest($1::uuid[]) t WHERE $2::uuid[] IS NOT NULL",
    "INSERT INTO tenancy.roles (tenant_id, key, name)
     SELECT t, 'r' || r, 'role' FROM unnest($1::uuid[]) t, generate_series(0, 9) r WHERE $2::uuid[] IS NOT NULL",
    "INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
     SELECT t, 'r' || r, 'area.k' || p
     FROM unnest($1::uuid[]) t, generate_series(0, 9) r, generate_series(0, 10 * r + 9) p
     WHERE $2::uuid[] IS NOT NULL",
    "INSERT INTO tenancy.memberships (tenant_id, user_id)
     SELECT ($1::uuid[])[(1 + (n + o) % 100)::int], u
     FROM unnest($2::uuid[]) WITH ORDINALITY us(u, n), generate_series(0, 1) o",
    "INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key)
     SELECT ($1::uuid[])[(1 + (n + o) % 100)::int], u, 'r' || (n + r) % 10
     FROM unnest($2::uuid[]) WITH ORDINALITY us(u, n), generate_series(0, 1) o, generate_series(0, 1) r",
    "ANALYZE",
];

/// The setting in a database, and everybody in it, in both of his tenants.
async fn setting() -> Result<(Db, Vec<TenantCtx>)> {
    let db = Db::new(&[&CORE, &COMPONENT]).await?;
    // Leaked: definitions are constants of code.
    let made = (0..100).map(|at| PermissionDef::new(format!("area.k{at}").leak(), "x", &[]));
    let known = [
        CORE.permissions,
        COMPONENT.permissions,
        &made.collect::<Vec<_>>(),
    ]
    .concat();
    sync_permissions(&db.operator, &known).await?;
    let tenants: Vec<_> = (0..100).map(|_| TenantId::new()).collect();
    let users: Vec<_> = (0..1_000).map(|_| UserId::new()).collect();
    let superuser = db.superuser().await?;
    for sql in SETTING {
        let mut query = sqlx::query(*sql);
        if sql.contains('$') {
            query = query.bind(&tenants).bind(&users);
        }
        query.execute(&superuser).await?;
    }
    let seats = users.iter().enumerate().flat_map(|(at, user)| {
        let his = tenants.iter().cycle().skip(at % 100 + 1).take(2);
        his.map(move |tenant| imagined(*tenant, Principal::user(*user)))
    });
    let seats = seats.collect();
    Ok((db, seats))
}

#[test]
fn so_do_two_thousand_that_a_database_told_of() -> Result {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    let _inside = runtime.enter();
    let (db, everybody) = runtime.block_on(setting())?;
    let options = AuthzOptions::default().with_bound(HOUR);
    let audit = Arc::new(MemoryAudit::new());
    let authz = PgAuthorizer::with_options(db.app.clone(), audit, options);
    // The registry, the connection and its statements are no part of them.
    let (first, rest) = everybody.split_at(10);
    let ask = |whom: &[TenantCtx]| {
        runtime.block_on(async {
            let mut holding = 0;
            for ctx in whom {
                let rights = authz.permissions(ctx).await?;
                holding += usize::from(rights.keys()?.len() >= 20);
            }
            Ok::<_, tenancy_authz::Error>(holding)
        })
    };
    let warm = ask(first)?;
    let mut holding = Ok(0);
    let kept = measure(|| holding = ask(rest)).bytes_current;
    eprintln!("{kept} bytes for {} snapshots of a database", rest.len());
    assert_eq!(holding? + warm, everybody.len(), "each holds two roles");
    assert!((1..=1 << 20).contains(&kept), "{kept} bytes");
    let is_there = |ctx| authz.peek(ctx, RolesRead::get()).is_some();
    assert!(everybody.iter().all(is_there), "all of them are in memory");
    Ok(())
}
