//! The suites of the core's own stores, on Postgres; and that they notice a store that forgets.

use std::sync::Arc;

use async_trait::async_trait;
use tenancy_core::{
    Error, Member, MemberStatus, MembershipStore, PgStore, TenantTx, UserId,
    migrate::CORE,
    testing::conformance::{
        api_key_store, invitation_store, membership_store, ownership_store, setting_store,
        support_store, tenant_life, tenant_store,
    },
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::test]
async fn postgres_keeps_tenants() -> Result {
    let db = Db::new(&[&CORE]).await?;
    Ok(tenant_store(&db.app, Arc::new(PgStore::new(db.app.clone()))).await?)
}

#[tokio::test]
async fn postgres_keeps_members() -> Result {
    let db = Db::new(&[&CORE]).await?;
    Ok(membership_store(&db.app, Arc::new(PgStore::new(db.app.clone()))).await?)
}

#[tokio::test]
async fn postgres_keeps_owners() -> Result {
    let db = Db::new(&[&CORE]).await?;
    Ok(ownership_store(&db.app, Arc::new(PgStore::new(db.app.clone()))).await?)
}

#[tokio::test]
async fn postgres_keeps_invitations() -> Result {
    let db = Db::new(&[&CORE]).await?;
    Ok(invitation_store(&db.app, Arc::new(PgStore::new(db.app.clone()))).await?)
}

#[tokio::test]
async fn postgres_keeps_the_lives_of_tenants() -> Result {
    let db = Db::new(&[&CORE]).await?;
    Ok(tenant_life(&db.app, Arc::new(PgStore::new(db.app.clone()))).await?)
}

#[tokio::test]
async fn postgres_keeps_the_ways_of_support() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let store = Arc::new(PgStore::new(db.app.clone()));
    Ok(support_store(&db.app, &db.operator, store).await?)
}

#[tokio::test]
async fn postgres_keeps_settings_and_limits() -> Result {
    let db = Db::new(&[&CORE]).await?;
    Ok(setting_store(&db.app, Arc::new(PgStore::new(db.app.clone()))).await?)
}

#[tokio::test]
async fn postgres_keeps_api_keys() -> Result {
    let db = Db::new(&[&CORE]).await?;
    Ok(api_key_store(&db.app, Arc::new(PgStore::new(db.app.clone()))).await?)
}

/// Does what it is told without looking at owners, as a hand-written UPDATE would.
struct Forgetful(PgStore);

#[async_trait]
impl MembershipStore for Forgetful {
    async fn get_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
    ) -> std::result::Result<Option<Member>, Error> {
        self.0.get_in(tx, member).await
    }

    async fn list_in(
        &self,
        tx: &mut TenantTx,
        after: Option<UserId>,
        limit: u16,
    ) -> std::result::Result<Vec<Member>, Error> {
        self.0.list_in(tx, after, limit).await
    }

    async fn set_status_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        to: MemberStatus,
    ) -> std::result::Result<bool, Error> {
        match self.0.set_status_in(tx, member, to).await {
            Err(error) if error.code() == "last_owner" => Ok(true),
            other => other,
        }
    }

    async fn remove_in(&self, tx: &mut TenantTx, member: UserId) -> std::result::Result<(), Error> {
        self.0.remove_in(tx, member).await
    }
}

#[tokio::test]
async fn a_store_that_forgets_the_last_owner_does_not_pass() -> Result {
    let db = Db::new(&[&CORE]).await?;
    let app = db.app.clone();
    let store = Arc::new(Forgetful(PgStore::new(app.clone())));
    let run = tokio::spawn(async move { membership_store(&app, store).await });
    assert!(run.await.is_err_and(|error| error.is_panic()));
    Ok(())
}
