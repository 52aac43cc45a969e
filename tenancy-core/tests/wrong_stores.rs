//! That the suites of the core's stores notice a store that is wrong in one point.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tenancy_core::{
    Error, HoldReference, Impersonation, ImpersonationId, MyTenant, MyTenantsPage,
    NewImpersonation, NewTenant, PgStore, Slug, SlugOwner, SupportGrant, SupportStore, Tenant,
    TenantName, TenantState, TenantStore, TenantTx, Transition, UserId,
    migrate::CORE,
    testing::conformance::{support_store, tenant_life},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
type Answer<T> = std::result::Result<T, Error>;

/// Where a store is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wrong {
    MovesFromWhereverItIs,
    OpensWhatThePlatformClosed,
    LetsATenantHoldItself,
    ForgetsFormerSlugs,
    GivesTheFirstPageAgain,
    SaysTheNewName,
    StartsTwice,
    LetsAnybodyEnd,
    LetsAnybodyOpen,
    LeavesSessionsOpen,
    ListsWithoutEnd,
}

struct Store(PgStore, Wrong);

#[async_trait]
impl TenantStore for Store {
    async fn create_in(&self, tx: &mut TenantTx, tenant: &NewTenant) -> Answer<()> {
        self.0.create_in(tx, tenant).await
    }

    async fn get_in(&self, tx: &mut TenantTx) -> Answer<Tenant> {
        self.0.get_in(tx).await
    }

    async fn state_in(&self, tx: &mut TenantTx) -> Answer<TenantState> {
        self.0.state_in(tx).await
    }

    async fn move_in(&self, tx: &mut TenantTx, transition: &Transition) -> Answer<()> {
        match (self.0.move_in(tx, transition).await, self.1) {
            (Err(error), Wrong::MovesFromWhereverItIs) if error.code() == "stale" => Ok(()),
            (Err(error), Wrong::OpensWhatThePlatformClosed)
                if error.code() == "closed_by_platform" =>
            {
                Ok(())
            }
            (moved, _) => moved,
        }
    }

    async fn rename_in(&self, tx: &mut TenantTx, name: &TenantName) -> Answer<String> {
        let old = self.0.rename_in(tx, name).await?;
        Ok(match self.1 {
            Wrong::SaysTheNewName => name.as_str().to_owned(),
            _ => old,
        })
    }

    async fn change_slug_in(
        &self,
        tx: &mut TenantTx,
        slug: &Slug,
        keep: Duration,
    ) -> Answer<String> {
        let keep = match self.1 {
            Wrong::ForgetsFormerSlugs => Duration::ZERO,
            _ => keep,
        };
        self.0.change_slug_in(tx, slug, keep).await
    }

    async fn hold_in(
        &self,
        tx: &mut TenantTx,
        reference: &HoldReference,
        place: bool,
    ) -> Answer<bool> {
        match (self.0.hold_in(tx, reference, place).await, self.1) {
            (Err(_), Wrong::LetsATenantHoldItself) => Ok(true),
            (held, _) => held,
        }
    }

    async fn for_user(&self, user: UserId, page: &MyTenantsPage) -> Answer<Vec<MyTenant>> {
        match self.1 {
            Wrong::GivesTheFirstPageAgain => {
                let first = MyTenantsPage::new().with_limit(page.limit);
                self.0.for_user(user, &first).await
            }
            _ => self.0.for_user(user, page).await,
        }
    }

    async fn by_slug(&self, slug: &str) -> Answer<Option<SlugOwner>> {
        self.0.by_slug(slug).await
    }
}

#[async_trait]
impl SupportStore for Store {
    async fn grant_in(&self, tx: &mut TenantTx, grant: &SupportGrant) -> Answer<DateTime<Utc>> {
        match (self.0.grant_in(tx, grant).await, self.1) {
            (Err(_), Wrong::LetsAnybodyOpen) => Ok(Utc::now() + grant.valid_for),
            (granted, _) => granted,
        }
    }

    async fn revoke_in(&self, tx: &mut TenantTx) -> Answer<bool> {
        match self.1 {
            // Says so, and does nothing.
            Wrong::LeavesSessionsOpen => Ok(tx.ctx().principal().himself().is_some()),
            _ => self.0.revoke_in(tx).await,
        }
    }

    async fn start_in(&self, tx: &mut TenantTx, new: &NewImpersonation) -> Answer<Impersonation> {
        match (self.0.start_in(tx, new).await, self.1) {
            (Err(error), Wrong::StartsTwice) if error.code() == "impersonation_open" => {
                let mut listed = self.0.list_in(tx, None, 1).await?;
                listed.pop().ok_or(error)
            }
            (started, _) => started,
        }
    }

    async fn end_in(&self, tx: &mut TenantTx, id: ImpersonationId) -> Answer<()> {
        match (self.0.end_in(tx, id).await, self.1) {
            (Err(_), Wrong::LetsAnybodyEnd) => Ok(()),
            (ended, _) => ended,
        }
    }

    async fn list_in(
        &self,
        tx: &mut TenantTx,
        after: Option<ImpersonationId>,
        limit: u16,
    ) -> Answer<Vec<Impersonation>> {
        let limit = match self.1 {
            Wrong::ListsWithoutEnd => 200,
            _ => limit,
        };
        self.0.list_in(tx, after, limit).await
    }
}

#[tokio::test]
async fn a_store_that_lives_a_tenants_life_wrongly_does_not_pass() -> Result {
    let db = Db::new(&[&CORE]).await?;
    for wrong in [
        Wrong::MovesFromWhereverItIs,
        Wrong::OpensWhatThePlatformClosed,
        Wrong::LetsATenantHoldItself,
        Wrong::ForgetsFormerSlugs,
        Wrong::GivesTheFirstPageAgain,
        Wrong::SaysTheNewName,
    ] {
        let app = db.app.clone();
        let store = Arc::new(Store(PgStore::new(app.clone()), wrong));
        let run = tokio::spawn(async move { tenant_life(&app, store).await });
        assert!(
            run.await.is_err_and(|error| error.is_panic()),
            "{wrong:?} is not noticed"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_store_that_opens_tenants_to_support_wrongly_does_not_pass() -> Result {
    let db = Db::new(&[&CORE]).await?;
    for wrong in [
        Wrong::StartsTwice,
        Wrong::LetsAnybodyEnd,
        Wrong::LetsAnybodyOpen,
        Wrong::LeavesSessionsOpen,
        Wrong::ListsWithoutEnd,
    ] {
        let (app, operator) = (db.app.clone(), db.operator.clone());
        let store = Arc::new(Store(PgStore::new(app.clone()), wrong));
        let run = tokio::spawn(async move { support_store(&app, &operator, store).await });
        assert!(
            run.await.is_err_and(|error| error.is_panic()),
            "{wrong:?} is not noticed"
        );
    }
    Ok(())
}
