//! The suite of [`SettingStore`].

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::code;
use crate::{
    Error, ServiceKey, SettingChange, SettingKey, SettingStore, TenantCtx, TenantDb,
    testing::TestTenant,
};

const COLOUR: SettingKey = SettingKey::from_static("suite.colour");
const SIZE: SettingKey = SettingKey::from_static("suite.size");

struct Bench<'a> {
    db: &'a TenantDb,
    store: Arc<dyn SettingStore>,
    acme: TestTenant,
    other: TestTenant,
}

/// Runs the suite of [`SettingStore`].
///
/// # Errors
/// What the store or the database failed with.
///
/// # Panics
/// Where the store breaks its contract.
pub async fn setting_store(db: &TenantDb, store: Arc<dyn SettingStore>) -> Result<(), Error> {
    let bench = Bench {
        db,
        store,
        acme: TestTenant::builder(db).create().await?,
        other: TestTenant::builder(db).create().await?,
    };
    what_is_set_is_its_tenants_alone(&bench).await?;
    what_is_compared_is_changed_once(&bench).await?;
    limits_are_the_platforms(&bench).await
}

impl Bench<'_> {
    async fn values(&self, ctx: &TenantCtx) -> Result<Vec<Option<Value>>, Error> {
        let mut tx = self.db.read(ctx).await?;
        self.store.values_in(&mut tx, &[SIZE, COLOUR]).await
    }

    async fn limits(&self, ctx: &TenantCtx) -> Result<Vec<Option<i64>>, Error> {
        let mut tx = self.db.read(ctx).await?;
        self.store.limits_in(&mut tx, &[SIZE, COLOUR]).await
    }

    async fn change(&self, value: Option<Value>, expected: Option<Value>) -> Result<(), Error> {
        let mut tx = self.db.write(self.acme.owner()).await?;
        let change = change(value, expected);
        self.store.set_value_in(&mut tx, &change).await?;
        tx.commit().await
    }

    async fn limit(&self, ctx: &TenantCtx, value: Option<i64>) -> Result<(), Error> {
        let mut tx = self.db.write(ctx).await?;
        self.store.set_limit_in(&mut tx, &COLOUR, value).await?;
        tx.commit().await
    }

    async fn epoch(&self) -> Result<i64, Error> {
        let mut tx = self.db.read(self.acme.owner()).await?;
        let epoch =
            sqlx::query_scalar("SELECT epoch FROM tenancy.tenant_epoch WHERE tenant_id = $1");
        Ok(epoch.bind(self.acme.id()).fetch_one(&mut *tx).await?)
    }
}

fn change(value: Option<Value>, expected: Option<Value>) -> SettingChange {
    SettingChange {
        key: COLOUR,
        value,
        expected,
        default: json!("grey"),
    }
}

async fn what_is_set_is_its_tenants_alone(bench: &Bench<'_>) -> Result<(), Error> {
    let (acme, other) = (bench.acme.owner(), bench.other.owner());
    assert_eq!(bench.values(acme).await?, [None, None]);
    let before = bench.epoch().await?;
    bench.change(Some(json!("red")), None).await?;
    assert!(bench.epoch().await? > before, "caches have to hear of it");
    assert_eq!(
        bench.values(acme).await?,
        [None, Some(json!("red"))],
        "in the order of the question"
    );
    assert_eq!(bench.values(other).await?, [None, None]);

    let mut tx = bench.db.write(acme).await?;
    bench
        .store
        .set_value_in(&mut tx, &change(Some(json!("blue")), None))
        .await?;
    drop(tx);
    assert_eq!(
        bench.values(acme).await?,
        [None, Some(json!("red"))],
        "rolled back"
    );
    bench.change(None, None).await?;
    assert_eq!(
        bench.values(acme).await?,
        [None, None],
        "the default is not stored"
    );
    Ok(())
}

async fn what_is_compared_is_changed_once(bench: &Bench<'_>) -> Result<(), Error> {
    let wrong = bench.change(Some(json!("red")), Some(json!("green"))).await;
    assert_eq!(code(wrong), "stale");
    // Nothing is stored, so that the default is what is compared.
    let racing = (0..4).map(|n| bench.change(Some(json!(n)), Some(json!("grey"))));
    let mut codes: Vec<_> = join_all(racing).await.into_iter().map(code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["ok", "stale", "stale", "stale"]);
    bench.change(None, None).await
}

async fn limits_are_the_platforms(bench: &Bench<'_>) -> Result<(), Error> {
    let (owner, other) = (bench.acme.owner(), bench.other.owner());
    let by_owner = bench.limit(owner, Some(1_000_000)).await;
    assert_eq!(code(by_owner), "limit_not_yours");
    let service = ServiceKey::from_static("suite");
    let platform = bench
        .db
        .enter_system(bench.acme.id(), service, vec![])
        .await?;
    let before = bench.epoch().await?;
    bench.limit(&platform, Some(7)).await?;
    assert!(bench.epoch().await? > before, "caches have to hear of it");
    assert_eq!(bench.limits(owner).await?, [None, Some(7)]);
    assert_eq!(bench.limits(other).await?, [None, None]);
    bench.limit(&platform, None).await?;
    assert_eq!(bench.limits(owner).await?, [None, None]);
    Ok(())
}
