//! The suite of [`ApiKeyStore`].

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};

use super::{code, unusable};
use crate::{
    ApiKeyId, ApiKeyStore, Error, KeyState, NewApiKey, PermissionKey, Replacement, StoredKey,
    TenantCtx, TenantDb, TenantName, testing::TestTenant,
};

const HOUR: Duration = Duration::from_hours(1);
const MANY: u64 = 100;
const READ: PermissionKey = PermissionKey::from_static("suite.read");

struct Bench<'a> {
    db: &'a TenantDb,
    store: Arc<dyn ApiKeyStore>,
    acme: TestTenant,
    other: TestTenant,
}

/// Runs the suite of [`ApiKeyStore`].
///
/// # Errors
/// What the store or the database failed with.
///
/// # Panics
/// Where the store breaks its contract.
pub async fn api_key_store(db: &TenantDb, store: Arc<dyn ApiKeyStore>) -> Result<(), Error> {
    let tenant = || TestTenant::builder(db).with_member("bob", &[]);
    let bench = Bench {
        db,
        store,
        acme: tenant().create().await?,
        other: tenant().create().await?,
    };
    a_key_opens_its_tenant_until_it_is_revoked(&bench).await?;
    a_key_is_replaced_once(&bench).await?;
    the_limits_hold(&bench).await?;
    a_key_ends_with_its_time_and_its_maker(&bench).await
}

/// A key that nobody has yet.
fn fresh() -> StoredKey {
    let id = ApiKeyId::new();
    StoredKey {
        id,
        prefix: "tk_suite_abcdefgh".to_owned(),
        hash: Sha256::digest(id.to_string()).into(),
    }
}

impl Bench<'_> {
    async fn create(
        &self,
        by: &TenantCtx,
        valid_for: Duration,
        most: u64,
    ) -> Result<StoredKey, Error> {
        let stored = fresh();
        let new =
            NewApiKey::new(TenantName::parse("import")?, vec![READ]).with_valid_for(valid_for);
        let mut tx = self.db.write(by).await?;
        self.store.create_in(&mut tx, &new, &stored, most).await?;
        tx.commit().await?;
        Ok(stored)
    }

    async fn rotate(
        &self,
        by: &TenantCtx,
        old: &StoredKey,
        overlap: Duration,
        most: u64,
    ) -> Result<Option<StoredKey>, Error> {
        let stored = fresh();
        let replacement = Replacement {
            stored: stored.clone(),
            valid_for: HOUR,
            overlap,
        };
        let mut tx = self.db.write(by).await?;
        let replaced = self
            .store
            .rotate_in(&mut tx, old.id, &replacement, most)
            .await?;
        tx.commit().await?;
        Ok(replaced.then_some(stored))
    }

    async fn revoke(&self, by: &TenantCtx, key: &StoredKey) -> Result<bool, Error> {
        let mut tx = self.db.write(by).await?;
        let revoked = self.store.revoke_in(&mut tx, key.id).await?;
        tx.commit().await.map(|()| revoked)
    }

    async fn state(&self, key: &StoredKey) -> Result<Option<KeyState>, Error> {
        let opened = self.store.open(&key.hash).await?;
        Ok(opened.map(|opened| opened.state))
    }
}

async fn a_key_opens_its_tenant_until_it_is_revoked(bench: &Bench<'_>) -> Result<(), Error> {
    let (owner, other) = (bench.acme.owner(), bench.other.owner());
    let key = bench.create(owner, HOUR, MANY).await?;
    let opened = bench
        .store
        .open(&key.hash)
        .await?
        .ok_or_else(|| unusable("a new key opens"))?;
    assert_eq!((opened.tenant, opened.id), (bench.acme.id(), key.id));
    assert_eq!(
        (opened.permissions, opened.state),
        (vec![READ], KeyState::Usable)
    );
    assert_eq!(bench.state(&fresh()).await?, None);

    let mut tx = bench.db.read(owner).await?;
    let seen = bench
        .store
        .get_in(&mut tx, key.id)
        .await?
        .ok_or_else(|| unusable("a key is seen"))?;
    assert_eq!(Some(seen.created_by), owner.user());
    assert!(seen.last_used_at.is_some(), "its use is noted");
    let listed = bench.store.list_in(&mut tx, 10).await?;
    assert_eq!(
        listed.iter().map(|key| key.id).collect::<Vec<_>>(),
        [key.id]
    );
    let mut tx = bench.db.read(other).await?;
    assert!(
        bench.store.get_in(&mut tx, key.id).await?.is_none(),
        "another tenant's"
    );
    assert!(bench.store.list_in(&mut tx, 10).await?.is_empty());
    drop(tx);
    assert!(!bench.revoke(other, &key).await?, "another tenant's");
    assert!(
        bench.rotate(other, &key, HOUR, MANY).await?.is_none(),
        "another tenant's"
    );

    assert!(bench.revoke(owner, &key).await?);
    assert!(!bench.revoke(owner, &key).await?, "it is so already");
    assert_eq!(bench.state(&key).await?, None);

    let rolled_back = fresh();
    let new = NewApiKey::new(TenantName::parse("import")?, vec![READ]);
    let mut tx = bench.db.write(owner).await?;
    bench
        .store
        .create_in(&mut tx, &new, &rolled_back, MANY)
        .await?;
    tx.rollback().await?;
    assert_eq!(bench.state(&rolled_back).await?, None);
    Ok(())
}

async fn a_key_is_replaced_once(bench: &Bench<'_>) -> Result<(), Error> {
    let owner = bench.acme.owner();
    let old = bench.create(owner, HOUR, MANY).await?;
    let racing = (0..4).map(|_| bench.rotate(owner, &old, HOUR, MANY));
    let replaced: Result<Vec<_>, Error> = join_all(racing).await.into_iter().collect();
    let new: Vec<_> = replaced?.into_iter().flatten().collect();
    assert_eq!(
        new.len(),
        1,
        "of any number that rotate one key, one succeeds"
    );
    let new = new.first().ok_or_else(|| unusable("a new key"))?;
    for key in [&old, new] {
        assert_eq!(
            bench.state(key).await?,
            Some(KeyState::Usable),
            "both, for the overlap"
        );
    }
    let newest = bench.rotate(owner, new, Duration::ZERO, MANY).await?;
    let newest = newest.ok_or_else(|| unusable("the new one is replaced, too"))?;
    assert_eq!(
        bench.state(new).await?,
        Some(KeyState::Expired),
        "no overlap"
    );
    assert_eq!(bench.state(&newest).await?, Some(KeyState::Usable));
    for key in [&old, new, &newest] {
        bench.revoke(owner, key).await?;
    }
    Ok(())
}

async fn the_limits_hold(bench: &Bench<'_>) -> Result<(), Error> {
    let owner = bench.acme.owner();
    let racing = (0..4).map(|_| bench.create(owner, HOUR, 2));
    let made = join_all(racing).await;
    let keys: Vec<_> = made.iter().flatten().cloned().collect();
    let mut codes: Vec<_> = made.into_iter().map(code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["api_key_limit", "api_key_limit", "ok", "ok"]);
    let [first, second] = keys.as_slice() else {
        return Err(unusable("two keys"));
    };
    let third = bench.rotate(owner, first, HOUR, 1).await?;
    assert!(third.is_some());
    assert_eq!(
        code(bench.rotate(owner, second, HOUR, 1).await),
        "api_key_limit"
    );
    for key in keys.iter().chain(&third) {
        bench.revoke(owner, key).await?;
    }
    Ok(())
}

async fn a_key_ends_with_its_time_and_its_maker(bench: &Bench<'_>) -> Result<(), Error> {
    let (owner, bob) = (bench.acme.owner(), bench.acme.member("bob")?);
    let dead = bench.create(owner, Duration::ZERO, MANY).await?;
    assert_eq!(bench.state(&dead).await?, Some(KeyState::Expired));
    let key = bench.create(bob, HOUR, MANY).await?;
    let set = async |status: &str| {
        let mut tx = bench.db.write(owner).await?;
        let set = sqlx::query("SELECT tenancy.set_member_status($1, $2)");
        set.bind(bob.user()).bind(status).execute(&mut *tx).await?;
        tx.commit().await
    };
    set("deactivated").await?;
    assert_eq!(bench.state(&key).await?, Some(KeyState::MakerGone));
    set("active").await
}
