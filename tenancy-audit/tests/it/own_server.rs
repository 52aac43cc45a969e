//! A log on a server of a test's own, which may end it.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tenancy_audit::{
    APPEND_ONLY, AuditProofs, COMPONENT, PgAuditLog, ProofReport, SealKeys, Sealer, Verifier,
};
use tenancy_core::{
    Event, OperatorDb, TenantCtx, TenantDb, TenantId, UserId, WorkerDb,
    migrate::{self, CORE},
    testing::{FakeAuthorizer, tenant},
};
use tenancy_testkit::Cluster;

/// The server, with two tenants.
pub(crate) struct OwnServer {
    pub(crate) cluster: Cluster,
    tenants: [(TenantId, UserId); 2],
}

/// What one has of it until it ends.
pub(crate) struct Handles {
    pub(crate) app: TenantDb,
    pub(crate) worker: WorkerDb,
    pub(crate) superuser: PgPool,
    pub(crate) audit: PgAuditLog,
    pub(crate) a: TenantCtx,
    pub(crate) b: TenantCtx,
}

const DATABASE: &str = "postgres";
const PASSWORD: &str = "of the logins";

const LOGINS: &str = "CREATE ROLE own_app LOGIN PASSWORD 'of the logins';
    CREATE ROLE own_worker LOGIN PASSWORD 'of the logins';
    GRANT tenancy_app TO own_app;
    GRANT tenancy_worker TO own_worker";

impl OwnServer {
    pub(crate) async fn new() -> Self {
        let cluster = Cluster::start().await.unwrap();
        let url = cluster.superuser_url(DATABASE);
        let operator = OperatorDb::connect(&url).await.unwrap();
        migrate::migrate(&operator, &[&CORE, &COMPONENT, &APPEND_ONLY])
            .await
            .unwrap();
        sqlx::raw_sql(LOGINS)
            .execute(operator.pool())
            .await
            .unwrap();
        let app = cluster.url("own_app", PASSWORD, DATABASE);
        let app = TenantDb::connect(&app).await.unwrap();
        let one = async || {
            let ctx = tenant(&app).await.unwrap();
            (ctx.tenant(), ctx.user().unwrap())
        };
        let tenants = [one().await, one().await];
        Self { cluster, tenants }
    }

    pub(crate) async fn connect(&self) -> Handles {
        let url = |login| self.cluster.url(login, PASSWORD, DATABASE);
        let app = TenantDb::connect(&url("own_app")).await.unwrap();
        let superuser = self.cluster.superuser_url(DATABASE);
        let [a, b] = self.tenants;
        Handles {
            worker: WorkerDb::connect(&url("own_worker")).await.unwrap(),
            superuser: PgPool::connect(&superuser).await.unwrap(),
            audit: PgAuditLog::new(app.clone()),
            a: app.enter(a.0, a.1).await.unwrap(),
            b: app.enter(b.0, b.1).await.unwrap(),
            app,
        }
    }
}

impl Handles {
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let count = sqlx::query_scalar(sql);
        count.fetch_one(&self.superuser).await.unwrap()
    }

    pub(crate) async fn entries(&self) -> i64 {
        self.count("SELECT count(*) FROM tenancy.audit_logs").await
    }

    pub(crate) async fn record(&self, ctx: &TenantCtx, count: usize) {
        let mut tx = self.app.write(ctx).await.unwrap();
        let events = (0..count)
            .map(|at| Event::new("thing.made").meta("at", at))
            .collect();
        self.audit.record_batch_in(&mut tx, events).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Seals until all is sealed.
    pub(crate) async fn seal_all(&self, sealer: &Sealer) {
        let all = self.entries().await;
        for _ in 0..600 {
            sealer.seal().await.unwrap();
            if crate::seals::sealed(&self.superuser).await == all {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{all} entries are not sealed");
    }

    /// Of a tenant's log, with what an anchor kept.
    pub(crate) async fn report(
        &self,
        ctx: &TenantCtx,
        keys: &SealKeys,
        heads: &[u8],
    ) -> ProofReport {
        let authorizer = Arc::new(FakeAuthorizer::allowing_all());
        let sink = Arc::new(self.audit.clone());
        let proofs = AuditProofs::new(self.app.clone(), authorizer, sink);
        let verifier = Verifier::new(ctx.tenant(), keys.clone());
        let verifier = verifier.with_anchor(heads).unwrap();
        proofs.verify(ctx, &verifier).await.unwrap()
    }

    /// Both logs are as they were sealed, each entry once.
    pub(crate) async fn verify(&self, keys: &SealKeys, heads: &[u8]) {
        let mut entries = 0;
        for ctx in [&self.a, &self.b] {
            let report = self.report(ctx, keys, heads).await;
            assert!(report.is_intact(), "{:?}", report.findings);
            entries += report.entries;
        }
        assert_eq!(i64::try_from(entries).unwrap(), self.entries().await);
        assert_eq!(self.count(TWICE).await, 0, "no entry in two seals");
    }
}

pub(crate) const TWICE: &str =
    "SELECT count(*) - count(DISTINCT (tenant_id, substr(ids, at * 16 + 1, 16)))
    FROM tenancy.audit_seals, generate_series(0, entries - 1) AS at";
