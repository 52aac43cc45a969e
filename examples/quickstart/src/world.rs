//! The parts, put together as a host would.

use std::{sync::Arc, time::Instant};

use sqlx::PgPool;
use tenancy::{
    audit::{AuditLog, PgAuditLog},
    authz::PgAuthorizer,
    core::{Invitations, OperatorDb, TenantDb, Tenants, WorkerDb},
    jobs::JobQueue,
    secrets::{LocalKeyring, SecretVault},
};
use tenancy_devdb::DevDb;

use crate::{Result, Screen, host::HOST};

/// What the story is played with.
pub(crate) struct World {
    pub(crate) db: TenantDb,
    pub(crate) worker: WorkerDb,
    pub(crate) operator: OperatorDb,
    /// Looks behind the policies, to prove what the promises say.
    pub(crate) superuser: PgPool,
    pub(crate) audit: Arc<PgAuditLog>,
    pub(crate) log: AuditLog,
    pub(crate) authz: Arc<PgAuthorizer>,
    pub(crate) tenants: Tenants,
    pub(crate) invitations: Invitations,
    pub(crate) vault: SecretVault,
    pub(crate) jobs: JobQueue,
    /// The server lives as long as this.
    _dev: DevDb,
}

impl World {
    /// Starts the development database, makes a fresh database in it, and migrates.
    pub(crate) async fn build(screen: &mut Screen) -> Result<Self> {
        screen.step("A database");
        let begun = Instant::now();
        let dev = DevDb::start().await?;
        dev.drop_database("quickstart").await?;
        let database = dev.database("quickstart").await?;
        let operator = OperatorDb::connect(database.operator_url()).await?;
        let version: String = sqlx::query_scalar("SELECT version()")
            .fetch_one(operator.pool())
            .await?;
        screen.ask("start the development database");
        screen.got(format!(
            "{version} after {} ms",
            begun.elapsed().as_millis()
        ));

        migrate(screen, &dev, &operator).await?;

        let db = TenantDb::connect(database.app_url()).await?;
        tenancy::verify(&db, &[&HOST]).await?;
        let refused = TenantDb::connect(database.superuser_url()?).await;
        screen.ask("connect as a superuser");
        screen.got(
            refused
                .as_ref()
                .err()
                .map_or("accepted".to_owned(), ToString::to_string),
        );
        screen.promise(
            "a login that could bypass row-level security is refused",
            refused.is_err(),
        );

        let audit = Arc::new(PgAuditLog::new(db.clone()));
        let authz = Arc::new(PgAuthorizer::new(db.clone(), audit.clone()));
        Ok(Self {
            worker: WorkerDb::connect(database.worker_url()).await?,
            superuser: PgPool::connect(database.superuser_url()?).await?,
            log: AuditLog::new(db.clone(), authz.clone(), audit.clone()),
            tenants: Tenants::new(db.clone(), authz.clone(), authz.clone(), audit.clone()),
            invitations: Invitations::new(db.clone(), authz.clone(), authz.clone(), audit.clone()),
            vault: SecretVault::new(
                db.clone(),
                LocalKeyring::ephemeral()?,
                authz.clone(),
                audit.clone(),
            ),
            jobs: JobQueue::new(db.clone(), authz.clone(), audit.clone()),
            db,
            operator,
            audit,
            authz,
            _dev: dev,
        })
    }
}

async fn migrate(screen: &mut Screen, dev: &DevDb, operator: &OperatorDb) -> Result {
    screen.ask("migrate all parts, as a login that is no superuser");
    let first = tenancy::migrate(operator, &[&HOST]).await?;
    let again = tenancy::migrate(operator, &[&HOST]).await?;
    dev.grant_logins().await?;
    let steps = first
        .applied
        .iter()
        .map(|step| format!("{} {}", step.component, step.version));
    screen.got(steps.collect::<Vec<_>>().join(", "));
    screen.got(format!("{} permissions registered", first.permissions));
    screen.promise("migrating again changes nothing", again.applied.is_empty());
    Ok(())
}
