//! The suites of the core's ports that this crate implements, over both stores.

use std::sync::Arc;

use async_trait::async_trait;
use tenancy_authz::{Change, PgAuthorizer, PgPolicyStore, PolicyStore, testing};
use tenancy_core::{
    AuditSink, Authorizer, Error, ErrorKind, Event, Kept, NewInvitation, PermissionKey, RoleKey,
    TenantCtx, TenantDb, TenantTx, UserId,
    testing::{
        MemoryAudit,
        conformance::{self, AuditReader, AuthorizerHost, SeenEntry},
    },
};

use crate::support::{PURGE, Result, World, definitions};

/// Owners hold what is asked for by their role; a policy of the tenant takes it from a holder.
struct Host {
    app: TenantDb,
    store: Arc<dyn PolicyStore>,
    authorizer: Arc<PgAuthorizer>,
    audit: MemoryAudit,
}

impl Host {
    fn over(world: &World, store: Arc<dyn PolicyStore>) -> Self {
        let audit = MemoryAudit::new();
        let authorizer = authorizer(&store, Arc::new(audit.clone()));
        let app = world.db.app.clone();
        Self {
            app,
            store,
            authorizer,
            audit,
        }
    }
}

fn authorizer(store: &Arc<dyn PolicyStore>, audit: Arc<dyn AuditSink>) -> Arc<PgAuthorizer> {
    let options = tenancy_authz::AuthzOptions::default();
    Arc::new(PgAuthorizer::over(store.clone(), audit, options))
}

const PURGER: RoleKey = RoleKey::from_static("purger");

#[async_trait]
impl AuthorizerHost for Host {
    fn db(&self) -> &TenantDb {
        &self.app
    }

    fn authorizer(&self) -> Arc<dyn Authorizer> {
        self.authorizer.clone()
    }

    fn with_a_broken_log(&self) -> Option<Arc<dyn Authorizer>> {
        Some(authorizer(&self.store, Arc::new(Broken)))
    }

    fn permission(&self) -> PermissionKey {
        PURGE
    }

    /// A member with a role of the tenant's own, whose owner can take it back.
    async fn holder(&self) -> Result<TenantCtx, Error> {
        let owner = testing::tenant(&self.app, &self.authorizer).await?;
        let name = tenancy_authz::RoleName::parse("Purger")?;
        let create = Change::Create { role: PURGER, name };
        let grant = Change::Grant {
            role: PURGER,
            permission: PURGE,
        };
        let mut tx = self.app.write(&owner).await?;
        self.store.change_in(&mut tx, &create).await?;
        self.store.change_in(&mut tx, &grant).await?;
        tx.commit().await?;
        testing::member(&self.app, &self.authorizer, &owner, &["viewer", "purger"]).await
    }

    async fn member(&self, holder: &TenantCtx, user: UserId) -> Result<TenantCtx, Error> {
        let owner = self.owner_of(holder).await?;
        testing::join(&self.app, &self.authorizer, &owner, user, &["viewer"]).await
    }

    async fn revoke(&self, holder: &TenantCtx) -> Result<(), Error> {
        let owner = self.owner_of(holder).await?;
        let mut tx = self.app.write(&owner).await?;
        let revoke = Change::Revoke {
            role: PURGER,
            permission: PURGE,
        };
        self.store.change_in(&mut tx, &revoke).await?;
        tx.commit().await
    }

    async fn denials(&self, ctx: &TenantCtx) -> Result<Vec<SeenEntry>, Error> {
        AuditReader::entries(&self.audit, ctx).await
    }
}

impl Host {
    async fn owner_of(&self, member: &TenantCtx) -> Result<TenantCtx, Error> {
        let mut tx = self.app.read(member).await?;
        let owner: UserId = sqlx::query_scalar(
            "SELECT user_id FROM tenancy.memberships WHERE tenant_id = $1 AND is_owner",
        )
        .bind(member.tenant())
        .fetch_one(&mut *tx)
        .await?;
        self.app.enter(member.tenant(), owner).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authorizer_on_postgres_keeps_the_contract_of_the_port() -> Result {
    let world = World::new().await?;
    let store = Arc::new(PgPolicyStore::new(world.db.app.clone()));
    Ok(conformance::authorizer(&Host::over(&world, store)).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authorizer_in_memory_keeps_the_contract_of_the_port() -> Result {
    let world = World::new().await?;
    let store = Arc::new(testing::MemoryPolicyStore::new(&definitions())?);
    Ok(conformance::authorizer(&Host::over(&world, store)).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_of_roles_keeps_the_contract_of_the_port() -> Result {
    let world = World::new().await?;
    for store in [
        Arc::new(PgPolicyStore::new(world.db.app.clone())) as Arc<dyn PolicyStore>,
        Arc::new(testing::MemoryPolicyStore::new(&definitions())?),
    ] {
        let host = Host::over(&world, store);
        let (roles, authorizer) = (host.authorizer.clone(), host.authorizer);
        conformance::role_directory(&world.db.app, roles, authorizer).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_invitation_is_on_record_and_says_so() -> Result {
    let world = World::new().await?;
    let member = world.member(&["admin"]).await?;
    let invitations = tenancy_core::Invitations::new(
        world.db.app.clone(),
        world.authz.clone(),
        world.authz.clone(),
        Arc::new(world.audit.clone()),
    );
    let email = tenancy_core::Email::parse("new@example.com")?;
    let role = RoleKey::from_static("treasurer");
    world
        .roles
        .create(
            &world.owner,
            tenancy_authz::NewRole::new(role.clone(), tenancy_authz::RoleName::parse("T")?)
                .with_permission(PURGE),
        )
        .await?;
    let strip = RoleKey::from_static("admin");
    world.roles.revoke(&world.owner, &strip, &PURGE).await?;
    let refused = invitations
        .invite(&member, NewInvitation::new(email, vec![role]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "exceeds_own_permissions");
    assert!(refused.is_on_record());
    assert_eq!(world.audit.of("access.denied").len(), 1);
    Ok(())
}

/// An audit log that refuses everything.
struct Broken;

#[async_trait]
impl AuditSink for Broken {
    async fn record(&self, _: &TenantCtx, _: Event) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Unavailable, "planted", "planted"))
    }

    async fn record_in(&self, _: &mut TenantTx, _: Event) -> Result<Kept, Error> {
        Err(Error::new(ErrorKind::Unavailable, "planted", "planted"))
    }
}
