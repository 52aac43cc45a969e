//! Under a legal hold nobody is erased.

use std::{sync::Arc, time::Duration};

use sqlx::AssertSqlSafe;
use tenancy_core::{
    ErrorKind, HoldReference, Platform, SealedText, ServiceKey, SubjectCipher as _, TenantCtx,
    TenantDb,
    testing::{FakeAuthorizer, MemoryAudit},
};
use tenancy_secrets::SubjectVault;

use crate::{
    subjects::{cipher, lead, seal},
    support::{Result, World},
};

const DESK: ServiceKey = ServiceKey::from_static("desk");

fn platform(world: &World) -> Platform {
    let audit = Arc::new(MemoryAudit::new());
    Platform::new(world.db.app.clone(), DESK, audit)
}

fn case_7() -> HoldReference {
    HoldReference::parse("case 7").unwrap()
}

/// Whether a text is still to be read.
async fn opens(cipher: &SubjectVault, ctx: &TenantCtx, sealed: &SealedText) -> Result<bool> {
    match cipher.open(ctx, &lead(1), sealed).await {
        Ok(text) => Ok(text.expose() == "ann"),
        Err(error) if error.code() == "subject_erased" => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn a_subject_is_kept_until_the_hold_on_its_tenant_is_released() -> Result {
    let world = World::new().await?;
    let (cipher, platform) = (cipher(&world)?, platform(&world));
    let anns = seal(&cipher, &world.a, 1, "ann").await?;
    let theirs = seal(&cipher, &world.b, 1, "ann").await?;
    assert!(platform.hold(world.a.tenant(), &case_7()).await?);

    // Who has a key, and who would get a row that says that he has none.
    for of in [1, 2] {
        let refused = cipher.erase_subject(&world.a, &lead(of)).await;
        let refused = refused.unwrap_err();
        let found = (refused.kind(), refused.code());
        assert_eq!(found, (ErrorKind::Conflict, "subject_held"), "{of}");
        assert!(!refused.retry().is_retryable());
        assert!(refused.to_string().contains("release the hold"));
    }
    assert!(opens(&cipher, &world.a, &anns).await?);
    seal(&cipher, &world.a, 2, "bob").await?;
    assert!(world.audit.of("subject.erased").is_empty());
    cipher.erase_subject(&world.b, &lead(1)).await?;
    assert!(
        !opens(&cipher, &world.b, &theirs).await?,
        "whom nobody holds"
    );

    assert!(platform.release(world.a.tenant(), &case_7()).await?);
    cipher.erase_subject(&world.a, &lead(1)).await?;
    assert!(!opens(&cipher, &world.a, &anns).await?);
    Ok(())
}

#[tokio::test]
async fn who_may_not_erase_learns_nothing_of_a_hold() -> Result {
    let world = World::new().await?;
    let strict = SubjectVault::new(
        world.db.app.clone(),
        &world.another_vault()?,
        Arc::new(FakeAuthorizer::new()),
        Arc::new(world.audit.clone()),
    );
    let free = strict.erase_subject(&world.a, &lead(1)).await.unwrap_err();
    platform(&world).hold(world.a.tenant(), &case_7()).await?;
    let held = strict.erase_subject(&world.a, &lead(1)).await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Denied);
    assert_eq!(format!("{held:?}"), format!("{free:?}"));
    Ok(())
}

/// Erases while a hold is being placed, which stands as soon as the erasure is seen to wait.
async fn erased_too_late(world: &World, cipher: SubjectVault) -> Result {
    let anns = seal(&cipher, &world.a, 1, "ann").await?;
    let tenant = world.a.tenant();
    let desk = world.db.app.enter_system(tenant, DESK, vec![]).await?;
    let mut placing = world.db.app.write(&desk).await?;
    let said: String = sqlx::query_scalar("SELECT tenancy.hold_tenant('case 7', true)")
        .fetch_one(&mut *placing)
        .await?;
    assert_eq!(said, "ok");
    let erasing = tokio::spawn({
        let (cipher, ctx) = (cipher.clone(), world.a.clone());
        async move { cipher.erase_subject(&ctx, &lead(1)).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!erasing.is_finished(), "the hold is not waited for");
    placing.commit().await?;
    let refused = erasing.await?.unwrap_err();
    assert_eq!(refused.code(), "subject_held");
    assert!(opens(&cipher, &world.a, &anns).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_waits_for_a_hold_that_is_being_placed() -> Result {
    let world = World::new().await?;
    erased_too_late(&world, cipher(&world)?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_seen_where_transactions_keep_their_first_snapshot() -> Result {
    let world = World::new().await?;
    let superuser = world.db.superuser().await?;
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&superuser)
        .await?;
    let keep =
        format!("ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'");
    sqlx::raw_sql(AssertSqlSafe(keep))
        .execute(&superuser)
        .await?;
    let cipher = SubjectVault::new(
        TenantDb::connect(world.db.server.app_url()).await?,
        &world.another_vault()?,
        Arc::new(FakeAuthorizer::allowing_all()),
        Arc::new(world.audit.clone()),
    );
    erased_too_late(&world, cipher).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_waits_for_an_erasure_that_has_begun() -> Result {
    let world = World::new().await?;
    let mut erasing = world.db.app.write(&world.a).await?;
    sqlx::query("SELECT tenancy.erase_subject_key(gen_random_uuid(), sha256('lead'))")
        .execute(&mut *erasing)
        .await?;
    let placing = tokio::spawn({
        let (platform, tenant) = (platform(&world), world.a.tenant());
        async move { platform.hold(tenant, &case_7()).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!placing.is_finished(), "a hold that keeps nothing");
    erasing.commit().await?;
    assert!(placing.await??);
    Ok(())
}
