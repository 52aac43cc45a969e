//! The suites of the shared ports, run on what this crate ships for them.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgPool;
use tenancy_core::{
    AuditSink, Authorizer, CredentialId, CredentialSource, Decision, DenyReason, Error, ErrorKind,
    Event, Kept, NoAudit, NoRoles, OwnerAuthorizer, PermissionKey, Principal, RoleKey, TenantCtx,
    TenantDb, TenantId, TenantTx, UserId,
    migrate::CORE,
    testing::{
        self, FakeAuthorizer, FakeCredentials, MemoryAudit,
        conformance::{self, AuditReader, AuthorizerHost, CredentialHost, SeenEntry},
    },
};
use tenancy_testkit::Db;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Failure> = std::result::Result<T, E>;

const PERMISSION: PermissionKey = PermissionKey::from_static("suite.asked");

#[tokio::test(flavor = "multi_thread")]
async fn the_log_in_memory_is_a_sink() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let audit = MemoryAudit::new();
    conformance::audit_sink(Arc::new(audit.clone()), &audit, &db.app).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_audit_disturbs_nobody() -> Result {
    let db = Db::new(&[&CORE]).await?;
    conformance::silent_audit_sink(Arc::new(NoAudit::new()), &db.app).await?;
    Ok(())
}

struct Fakes(FakeCredentials);

#[async_trait]
impl CredentialHost for Fakes {
    fn source(&self) -> Arc<dyn CredentialSource> {
        Arc::new(self.0.clone())
    }

    async fn store(&self, ctx: &TenantCtx, secret: &str) -> Result<CredentialId, Error> {
        Ok(self.0.put(ctx, secret))
    }

    async fn replace(&self, ctx: &TenantCtx, id: CredentialId, secret: &str) -> Result<(), Error> {
        self.0.replace(ctx, id, secret);
        Ok(())
    }
}

#[tokio::test]
async fn the_fake_credentials_are_a_source() -> Result {
    let tenants =
        [(); 2].map(|()| testing::imagined(TenantId::new(), Principal::user(UserId::new())));
    let fakes = Fakes(FakeCredentials::new());
    conformance::credential_source(&fakes, &tenants[0], &tenants[1]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owners_authorizer_is_an_authorizer() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let audit = MemoryAudit::new();
    let authorizer = OwnerAuthorizer::new(db.app.clone(), Arc::new(audit.clone()));
    let owners = Owners {
        superuser: db.superuser().await?,
        app: db.app.clone(),
        authorizer: Arc::new(authorizer),
        audit,
    };
    conformance::authorizer(&owners).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_closed_to_support_is_not_what_a_stranger_is_told() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let audit = Arc::new(MemoryAudit::new());
    let authorizer = OwnerAuthorizer::new(db.app.clone(), audit);
    let owner = testing::tenant(&db.app).await?;
    let of_owner = owner.user().ok_or("the owner is a user")?;
    let closed = PermissionKey::from_static("roles.manage");
    for (person, reason) in [
        (of_owner, DenyReason::NotGranted),
        (UserId::new(), DenyReason::NotAMember),
    ] {
        let support = testing::acting_for(&owner, UserId::new(), person);
        let said = authorizer.check(&support, &closed).await?;
        assert_eq!(said, Decision::Deny(reason));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fake_authorizer_is_an_authorizer() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let audit = MemoryAudit::new();
    let fake = FakeAuthorizer::new().with_audit(audit.clone());
    let app = db.app.clone();
    conformance::authorizer(&Faked { app, fake, audit }).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_roles_is_a_directory() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let authorizer = OwnerAuthorizer::new(db.app.clone(), Arc::new(MemoryAudit::new()));
    conformance::role_directory(&db.app, Arc::new(NoRoles::new()), Arc::new(authorizer)).await?;
    Ok(())
}

/// As the crates of the family do with an error of the core's.
#[derive(Debug)]
struct Told(Error);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it was refused")
    }
}

impl std::error::Error for Told {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn a_refusal_stays_on_record_whoever_tells_of_it_and_a_code_alone_is_no_record() {
    let denied = || Error::denied(&PERMISSION);
    let like_it = || Error::new(ErrorKind::Denied, "permission_denied", "not for you");
    assert!(denied().is_on_record());
    assert!(like_it().with_source(Told(denied())).is_on_record());
    assert!(!like_it().is_on_record());
    assert!(!like_it().with_source(Told(like_it())).is_on_record());
}

/// Owners hold everything, until somebody takes the ownership from them.
struct Owners {
    superuser: PgPool,
    app: TenantDb,
    authorizer: Arc<OwnerAuthorizer>,
    audit: MemoryAudit,
}

#[async_trait]
impl AuthorizerHost for Owners {
    fn db(&self) -> &TenantDb {
        &self.app
    }

    fn authorizer(&self) -> Arc<dyn Authorizer> {
        self.authorizer.clone()
    }

    fn with_a_broken_log(&self) -> Option<Arc<dyn Authorizer>> {
        let authorizer = OwnerAuthorizer::new(self.app.clone(), Arc::new(Broken));
        Some(Arc::new(authorizer))
    }

    fn permission(&self) -> PermissionKey {
        PERMISSION
    }

    async fn holder(&self) -> Result<TenantCtx, Error> {
        testing::tenant(&self.app).await
    }

    async fn member(&self, holder: &TenantCtx, user: UserId) -> Result<TenantCtx, Error> {
        testing::join(&self.app, holder, user).await
    }

    async fn revoke(&self, holder: &TenantCtx) -> Result<(), Error> {
        sqlx::query("UPDATE tenancy.memberships SET is_owner = false WHERE tenant_id = $1")
            .bind(holder.tenant())
            .execute(&self.superuser)
            .await?;
        Ok(())
    }

    async fn denials(&self, ctx: &TenantCtx) -> Result<Vec<SeenEntry>, Error> {
        AuditReader::entries(&self.audit, ctx).await
    }
}

/// Grants are what a test said.
struct Faked {
    app: TenantDb,
    fake: FakeAuthorizer,
    audit: MemoryAudit,
}

#[async_trait]
impl AuthorizerHost for Faked {
    fn db(&self) -> &TenantDb {
        &self.app
    }

    fn authorizer(&self) -> Arc<dyn Authorizer> {
        Arc::new(self.fake.clone())
    }

    fn with_a_broken_log(&self) -> Option<Arc<dyn Authorizer>> {
        None
    }

    fn permission(&self) -> PermissionKey {
        PERMISSION
    }

    async fn holder(&self) -> Result<TenantCtx, Error> {
        let ctx = testing::tenant(&self.app).await?;
        self.fake.grant(&ctx, PERMISSION);
        let roles = ["writer", "reader"].map(RoleKey::from_static);
        self.fake.set_roles(&ctx, roles.to_vec());
        Ok(ctx)
    }

    async fn member(&self, holder: &TenantCtx, user: UserId) -> Result<TenantCtx, Error> {
        testing::join(&self.app, holder, user).await
    }

    async fn revoke(&self, holder: &TenantCtx) -> Result<(), Error> {
        self.fake.revoke(holder, &PERMISSION);
        Ok(())
    }

    async fn denials(&self, ctx: &TenantCtx) -> Result<Vec<SeenEntry>, Error> {
        AuditReader::entries(&self.audit, ctx).await
    }
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
