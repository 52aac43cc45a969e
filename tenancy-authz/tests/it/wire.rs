//! What is asked of the database, counted on the wire.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tenancy_authz::{AuthzOptions, PgAuthorizer};
use tenancy_core::{Authorizer as _, DbOptions, PermissionKey, TenantCtx, TenantDb};
use tenancy_testkit::Proxy;

use crate::support::{PURGE, READ, Result, WRITE, World, authorizer, role, user};

const HOUR: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// An authorizer behind a proxy, with the registry read and its statement prepared.
struct Wire {
    world: World,
    proxy: Proxy,
    db: TenantDb,
    authz: Arc<PgAuthorizer>,
}

impl Wire {
    async fn new() -> Result<Self> {
        let world = World::new().await?;
        let proxy = Proxy::start(world.db.server.app_url()).await?;
        let mut options = DbOptions::default().with_max_connections(1);
        options.max_aside_connections = 1;
        let db = TenantDb::connect_with(proxy.url(), options).await?;
        let authz = authorizer(&db, &world.audit, AuthzOptions::default().with_bound(HOUR));
        let wire = Self {
            world,
            proxy,
            db,
            authz,
        };
        // The first loads prepare the statement.
        for _ in 0..2 {
            let somebody = wire.world.member(&["viewer"]).await?;
            assert!(wire.allowed(&somebody).await?.0);
        }
        Ok(wire)
    }

    async fn allowed(&self, ctx: &TenantCtx) -> Result<(bool, usize)> {
        self.asked(ctx, &READ).await
    }

    /// The answer, and how many round trips it took.
    async fn asked(&self, ctx: &TenantCtx, key: &PermissionKey) -> Result<(bool, usize)> {
        let check = self.authz.check(ctx, key);
        let asked = tokio::time::timeout(PATIENCE, self.proxy.awaited(check));
        let (said, round_trips) = asked.await?;
        // Until the connection is back: its transaction is ended together with the pool's ping.
        let released = ["ROLLBACK".to_owned(), "Sync".to_owned()];
        let mut log = Vec::new();
        let begun = std::time::Instant::now();
        while round_trips > 0 && !log.ends_with(&released) {
            tokio::task::yield_now().await;
            log.extend(self.proxy.take_log());
            if begun.elapsed() > PATIENCE {
                return Err(format!("the connection did not come back: {log:?}").into());
            }
        }
        self.proxy.quiet().await;
        Ok((said?.is_allowed(), round_trips))
    }
}

/// Opening a transaction of the tenant, and one query.
const OPEN_AND_ASK: usize = 2;

#[tokio::test]
async fn a_snapshot_is_loaded_confirmed_and_loaded_anew_by_one_query() -> Result {
    let wire = Wire::new().await?;
    let member = wire.world.member(&["viewer"]).await?;
    assert_eq!(wire.allowed(&member).await?, (true, OPEN_AND_ASK), "cold");
    assert_eq!(wire.allowed(&member).await?, (true, 0), "from memory");

    // What else he may came with it, and what he may not.
    let writer = wire.world.member(&["member"]).await?;
    assert_eq!(wire.asked(&writer, &READ).await?, (true, OPEN_AND_ASK));
    assert_eq!(wire.asked(&writer, &WRITE).await?, (true, 0));
    assert_eq!(wire.asked(&writer, &PURGE).await?, (false, 0));
    assert_eq!(wire.asked(&member, &WRITE).await?, (false, 0));

    wire.authz.forget(&HashSet::from([member.tenant()]));
    assert_eq!(wire.allowed(&member).await?, (true, OPEN_AND_ASK));

    // What is known is confirmed by its epoch, and what changed comes with the same answer.
    let always = AuthzOptions::default().with_bound(Duration::ZERO);
    let asking = Wire {
        authz: authorizer(&wire.db, &wire.world.audit, always),
        ..wire
    };
    assert!(asking.allowed(&member).await?.0);
    assert_eq!(asking.allowed(&member).await?, (true, OPEN_AND_ASK));
    let (roles, owner) = (&asking.world.roles, &asking.world.owner);
    roles
        .unassign(owner, user(&member), &role("viewer"))
        .await?;
    assert_eq!(asking.allowed(&member).await?, (false, OPEN_AND_ASK));
    Ok(())
}
