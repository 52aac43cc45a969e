//! The suite of [`TenantStore`].

use std::sync::Arc;

use super::code;
use crate::{
    Access, Error, MyTenantsPage, NewTenant, Principal, Slug, TenantCtx, TenantDb, TenantId,
    TenantName, TenantStore, UserId,
};

/// Runs the suite.
///
/// # Errors
/// What the store or the database failed with.
///
/// # Panics
/// Where the store breaks its contract.
pub async fn tenant_store(db: &TenantDb, store: Arc<dyn TenantStore>) -> Result<(), Error> {
    let slug = format!("s-{}", TenantId::new().as_uuid().simple());
    let new = |slug: &str| {
        let (slug, name) = (Slug::parse(slug)?, TenantName::parse("Suite")?);
        Ok::<_, Error>(NewTenant::new(slug, name, UserId::new()))
    };
    let make = async |tenant: &NewTenant| {
        let ctx = TenantCtx::proven(tenant.id, Principal::user(tenant.owner), Access::ReadWrite);
        let mut tx = db.write(&ctx).await?;
        store.create_in(&mut tx, tenant).await?;
        tx.commit().await.map(|()| ctx)
    };
    let (one, two) = (new(&slug)?, new(&slug)?);
    let (first, second) = tokio::join!(make(&one), make(&two));
    assert!(
        first.is_ok() != second.is_ok(),
        "of two that claim a slug one gets it"
    );
    let ((Ok(won), Err(lost)) | (Err(lost), Ok(won))) = (first, second) else {
        return Ok(());
    };
    assert_eq!(lost.code(), "slug_taken");
    let twin = new("the-same-tenant")?.with_id(won.tenant());
    assert_eq!(code(make(&twin).await), "tenant_exists");

    let stored = store.get_in(&mut db.read(&won).await?).await?;
    assert_eq!((stored.id, stored.slug), (won.tenant(), slug));
    for tenant in [&one, &two] {
        let mine = store.for_user(tenant.owner, &MyTenantsPage::new()).await?;
        assert_eq!(mine.len(), usize::from(tenant.id == won.tenant()));
        assert!(mine.iter().all(|mine| mine.is_owner));
    }
    Ok(())
}
