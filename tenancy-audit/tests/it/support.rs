//! What the tests share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use serde_json::Value;
use sqlx::PgPool;
use tenancy_audit::{
    APPEND_ONLY, AuditLog, AuditQuery, COMPONENT, Entry, PgAuditLog, PgAuditStore,
};
use tenancy_core::{
    TenantCtx,
    migrate::CORE,
    testing::{FakeAuthorizer, member, tenant},
};
use tenancy_testkit::Db;

/// A migrated database with two tenants.
pub(crate) struct House {
    pub(crate) db: Db,
    pub(crate) audit: PgAuditLog,
    pub(crate) log: AuditLog,
    pub(crate) a: TenantCtx,
    pub(crate) b: TenantCtx,
}

impl House {
    pub(crate) async fn new() -> Self {
        let db = Db::new(&[&CORE, &COMPONENT, &APPEND_ONLY])
            .await
            .expect("a database");
        let audit = PgAuditLog::new(db.app.clone());
        let authorizer = Arc::new(FakeAuthorizer::allowing_all());
        let log = AuditLog::new(db.app.clone(), authorizer, Arc::new(audit.clone()));
        let a = tenant(&db.app).await.expect("a tenant");
        let b = tenant(&db.app).await.expect("a tenant");
        Self {
            db,
            audit,
            log,
            a,
            b,
        }
    }

    pub(crate) fn store(&self) -> PgAuditStore {
        PgAuditStore::new(self.db.app.clone())
    }

    pub(crate) async fn member(&self, owner: &TenantCtx) -> TenantCtx {
        member(&self.db.app, owner).await.expect("a member")
    }

    /// The newest entries of a tenant.
    pub(crate) async fn entries(&self, ctx: &TenantCtx) -> Vec<Entry> {
        let query = AuditQuery::new().with_limit(1_000);
        self.log.search(ctx, &query).await.expect("a page").entries
    }

    pub(crate) async fn superuser(&self) -> PgPool {
        self.db.superuser().await.expect("a superuser")
    }

    /// Runs SQL as the app role in a tenant's context; the SQLSTATE if it fails.
    pub(crate) async fn as_app(&self, ctx: &TenantCtx, sql: &'static str) -> Result<u64, String> {
        let mut tx = self.db.app.write(ctx).await.expect("a transaction");
        let done = sqlx::query(sql)
            .execute(&mut *tx)
            .await
            .map_err(|error| sqlstate(&error))?;
        tx.commit().await.map_err(|error| error.code().to_owned())?;
        Ok(done.rows_affected())
    }

    /// Changes the schema as its owner: for planting a fault.
    pub(crate) async fn as_owner(&self, sql: &'static str) {
        let mut tx = self.db.operator.owner().await.expect("the owner");
        sqlx::raw_sql(sql)
            .execute(&mut *tx)
            .await
            .expect("a change of the schema");
        tx.commit().await.expect("a commit");
    }
}

pub(crate) fn sqlstate(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .and_then(|db| db.code().map(std::borrow::Cow::into_owned))
        .unwrap_or_else(|| error.to_string())
}

pub(crate) fn meta_at(entry: &Entry) -> i64 {
    entry.meta.get("at").and_then(Value::as_i64).unwrap_or(-1)
}

/// Counts what is counted on this thread.
#[derive(Default)]
pub(crate) struct Counters(Mutex<HashMap<String, Arc<AtomicU64>>>);

impl Counters {
    pub(crate) fn of(&self, name: &str) -> u64 {
        let counters = self.0.lock().unwrap();
        counters
            .get(name)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl metrics::Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.0.lock().unwrap();
        Counter::from_arc(counters.entry(key.name().to_owned()).or_default().clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
