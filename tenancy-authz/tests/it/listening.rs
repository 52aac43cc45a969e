//! Hearing of changes that another process makes.

use std::{sync::Arc, time::Duration};

use tenancy_authz::{AuthzOptions, PgAuthorizer};
use tenancy_core::{DbOptions, PoolerMode, TenantCtx, TenantDb};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{READ, Result, World, authorizer, role, user};

const HOUR: Duration = Duration::from_hours(1);
/// Long enough for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);
const LISTENERS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND query = 'LISTEN \"tenancy_authz\"'";

pub(crate) struct Listening {
    pub(crate) authz: Arc<PgAuthorizer>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What another process has: a cache of its own, that believes its memory for an hour.
pub(crate) async fn listening(world: &World) -> Result<Listening> {
    listening_for(world, HOUR).await
}

async fn listening_for(world: &World, bound: Duration) -> Result<Listening> {
    let options = AuthzOptions::default().with_bound(bound);
    let authz = authorizer(&world.db.app, &world.audit, options);
    let (stop, db) = (CancellationToken::new(), world.db.app.clone());
    let task = tokio::spawn({
        let (authz, stop) = (authz.clone(), stop.clone());
        async move { authz.listen(&db, stop).await }
    });
    let listening = Listening { authz, stop, task };
    wait_for(world, 1).await?;
    Ok(listening)
}

async fn wait_for(world: &World, listeners: i64) -> Result {
    let superuser = world.db.superuser().await?;
    let counted = async {
        while sqlx::query_scalar::<_, i64>(LISTENERS)
            .fetch_one(&superuser)
            .await?
            != listeners
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok::<_, sqlx::Error>(())
    };
    Ok(timeout(PATIENCE, counted).await??)
}

async fn until_denied(authz: &PgAuthorizer, ctx: &TenantCtx) -> Result {
    use tenancy_core::Authorizer as _;
    let denied = async {
        while authz.check(ctx, &READ).await?.is_allowed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, tenancy_core::Error>(())
    };
    Ok(timeout(PATIENCE, denied).await??)
}

async fn allowed(authz: &PgAuthorizer, ctx: &TenantCtx) -> Result<bool> {
    use tenancy_core::Authorizer as _;
    Ok(authz.check(ctx, &READ).await?.is_allowed())
}

#[tokio::test]
async fn a_revoke_is_heard_of_long_before_the_bound() -> Result {
    let world = World::new().await?;
    let elsewhere = listening(&world).await?;
    let member = world.member(&["viewer"]).await?;
    for _ in 0..3 {
        assert!(allowed(&elsewhere.authz, &member).await?);
        let (roles, member_id) = (&world.roles, user(&member));
        roles
            .unassign(&world.owner, member_id, &role("viewer"))
            .await?;
        until_denied(&elsewhere.authz, &member).await?;
        roles
            .assign(&world.owner, member_id, &role("viewer"), None)
            .await?;
        let again = async {
            while !allowed(&elsewhere.authz, &member).await? {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, crate::support::Failure>(())
        };
        timeout(PATIENCE, again).await??;
    }
    elsewhere.stop.cancel();
    timeout(PATIENCE, elsewhere.task).await??;
    Ok(())
}

/// A world whose changes nobody announces.
async fn silent() -> Result<World> {
    World::with(AuthzOptions::default().without_announcements()).await
}

#[tokio::test]
async fn who_is_told_nothing_keeps_to_the_bound() -> Result {
    let world = silent().await?;
    let shortly = Duration::from_millis(300);
    for (bound, is_still_allowed) in [(HOUR, true), (shortly, false)] {
        let elsewhere = listening_for(&world, bound).await?;
        let member = world.member(&["viewer"]).await?;
        assert!(allowed(&elsewhere.authz, &member).await?);
        let (roles, member_id) = (&world.roles, user(&member));
        roles
            .unassign(&world.owner, member_id, &role("viewer"))
            .await?;
        tokio::time::sleep(shortly).await;
        let said = allowed(&elsewhere.authz, &member).await?;
        assert_eq!(said, is_still_allowed, "within {bound:?}");
        elsewhere.stop.cancel();
        timeout(PATIENCE, elsewhere.task).await??;
        wait_for(&world, 0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn when_the_connection_is_lost_nothing_in_memory_is_believed() -> Result {
    let world = silent().await?;
    let elsewhere = listening(&world).await?;
    let member = world.member(&["viewer"]).await?;
    assert!(allowed(&elsewhere.authz, &member).await?);
    // A change that nobody announces.
    world
        .as_superuser(
            "DELETE FROM tenancy.member_roles WHERE role_key = 'viewer';
             UPDATE tenancy.tenant_epoch SET epoch = epoch + 1",
        )
        .await?;
    assert!(allowed(&elsewhere.authz, &member).await?, "within its hour");
    world
        .as_superuser(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND query = 'LISTEN \"tenancy_authz\"'",
        )
        .await?;
    until_denied(&elsewhere.authz, &member).await?;

    // It connects again by itself, and hears of the next change.
    wait_for(&world, 1).await?;
    let telling = authorizer(&world.db.app, &world.audit, AuthzOptions::default());
    let audit = Arc::new(world.audit.clone());
    let roles = tenancy_authz::Roles::new(world.db.app.clone(), telling, audit);
    let member_id = user(&member);
    roles
        .assign(&world.owner, member_id, &role("viewer"), None)
        .await?;
    let again = async {
        while !allowed(&elsewhere.authz, &member).await? {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, crate::support::Failure>(())
    };
    timeout(PATIENCE, again).await??;
    roles
        .unassign(&world.owner, member_id, &role("viewer"))
        .await?;
    until_denied(&elsewhere.authz, &member).await
}

#[tokio::test]
async fn it_stops_when_told_and_leaves_no_connection() -> Result {
    let world = World::new().await?;
    let elsewhere = listening(&world).await?;
    elsewhere.stop.cancel();
    timeout(PATIENCE, elsewhere.task).await??;
    wait_for(&world, 0).await?;

    // Also while there is no database to connect to.
    let gone = TenantDb::connect(world.db.server.app_url()).await?;
    let stop = CancellationToken::new();
    let authz = elsewhere.authz;
    gone.close().await;
    let task = tokio::spawn({
        let stop = stop.clone();
        async move { authz.listen(&gone, stop).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.cancel();
    timeout(PATIENCE, task).await??;
    Ok(())
}

#[tokio::test]
async fn behind_a_pooler_nobody_listens() -> Result {
    let world = World::new().await?;
    let options = DbOptions::default().with_pooler(PoolerMode::Transaction);
    let pooled = TenantDb::connect_with(world.db.server.app_url(), options).await?;
    let returned = world.authz.listen(&pooled, CancellationToken::new());
    timeout(PATIENCE, returned).await?;
    wait_for(&world, 0).await
}
