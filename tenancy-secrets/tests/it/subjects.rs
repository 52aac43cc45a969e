//! Personal data that is erased by destroying a key.

use std::{sync::Arc, time::Duration};

use tenancy_core::{
    SealedText, SecretText, Subject, SubjectCipher as _, TenantCtx,
    testing::{FakeAuthorizer, conformance},
};
use tenancy_secrets::{LocalKeyring, RotateOptions, Rotation, SubjectVault};

use crate::{
    children::{Inside, Process, env, heard, say},
    support::{Result, World},
};

pub(crate) fn cipher(world: &World) -> Result<SubjectVault> {
    Ok(SubjectVault::new(
        world.db.app.clone(),
        &world.another_vault()?,
        Arc::new(FakeAuthorizer::allowing_all()),
        Arc::new(world.audit.clone()),
    ))
}

pub(crate) fn lead(number: u32) -> Subject {
    Subject::parse(format!("lead:{number}")).unwrap()
}

pub(crate) async fn seal(
    cipher: &SubjectVault,
    ctx: &TenantCtx,
    of: u32,
    text: &str,
) -> Result<SealedText> {
    Ok(cipher.seal(ctx, &lead(of), SecretText::new(text)).await?)
}

#[tokio::test]
async fn the_cipher_keeps_the_contract_of_its_port() -> Result {
    let world = World::new().await?;
    conformance::subject_cipher(&cipher(&world)?, &world.a, &world.b).await?;
    let erased = world.audit.of("subject.erased");
    assert_eq!(erased.len(), 2, "twice is once");
    Ok(())
}

#[tokio::test]
async fn neither_a_name_nor_a_text_nor_a_key_is_in_the_database() -> Result {
    let world = World::new().await?;
    let cipher = cipher(&world)?;
    seal(&cipher, &world.a, 4711, "ann@example.com").await?;
    let row: String = sqlx::query_scalar("SELECT k::text FROM tenancy.subject_keys k")
        .fetch_one(&world.db.superuser().await?)
        .await?;
    assert!(!row.contains("4711") && !row.contains("ann"), "{row}");
    assert!(!format!("{:?} {cipher:?}", lead(4711)).contains("4711"));

    cipher.erase_subject(&world.a, &lead(4711)).await?;
    let (encrypted, key): (Option<String>, Option<uuid::Uuid>) =
        sqlx::query_as("SELECT encrypted::text, key_id FROM tenancy.subject_keys")
            .fetch_one(&world.db.superuser().await?)
            .await?;
    assert_eq!((encrypted, key), (None, None), "the key is gone");
    Ok(())
}

#[tokio::test]
async fn a_key_that_was_moved_to_another_subject_or_tenant_does_not_open() -> Result {
    let world = World::new().await?;
    let cipher = cipher(&world)?;
    let anns = seal(&cipher, &world.a, 1, "ann").await?;
    seal(&cipher, &world.a, 2, "bob").await?;
    // As somebody could who writes to the tables: the subjects' keys change places.
    let superuser = world.db.superuser().await?;
    sqlx::raw_sql(
        "DROP INDEX tenancy.subject_keys_subject;
         UPDATE tenancy.subject_keys k SET subject_hash = o.subject_hash
         FROM tenancy.subject_keys o WHERE o.id <> k.id AND o.tenant_id = k.tenant_id",
    )
    .execute(&superuser)
    .await?;
    for of in [1, 2] {
        let (subject, more) = (lead(of), SecretText::new("more"));
        let error = cipher.seal(&world.a, &subject, more).await.unwrap_err();
        assert_eq!(error.code(), "secret_unreadable");
        let error = cipher.open(&world.a, &lead(of), &anns).await.unwrap_err();
        assert!(
            ["sealed_text_unreadable", "secret_unreadable"].contains(&error.code()),
            "{}",
            error.code()
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_tenant_sees_its_own_keys_only_and_writes_none_by_hand() -> Result {
    let world = World::new().await?;
    seal(&cipher(&world)?, &world.a, 1, "ann").await?;
    for (ctx, rows) in [(&world.a, 1), (&world.b, 0)] {
        let mut tx = world.db.app.write(ctx).await?;
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.subject_keys")
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(seen, rows);
        let by_hand = sqlx::query("DELETE FROM tenancy.subject_keys");
        assert!(by_hand.execute(&mut *tx).await.is_err());
    }
    Ok(())
}

#[tokio::test]
async fn erasing_asks_for_its_permission() -> Result {
    let world = World::new().await?;
    let strict = SubjectVault::new(
        world.db.app.clone(),
        &world.another_vault()?,
        Arc::new(FakeAuthorizer::new()),
        Arc::new(world.audit.clone()),
    );
    let sealed = seal(&strict, &world.a, 1, "ann").await?;
    let error = strict.erase_subject(&world.a, &lead(1)).await.unwrap_err();
    assert_eq!(error.code(), "permission_denied");
    assert_eq!(
        strict.open(&world.a, &lead(1), &sealed).await?.expose(),
        "ann"
    );
    Ok(())
}

#[tokio::test]
async fn a_rotation_covers_the_keys_of_subjects_and_leaves_the_erased_ones_erased() -> Result {
    let world = World::new().await?;
    let cipher = cipher(&world)?;
    let mut sealed = Vec::new();
    for of in 0..12 {
        sealed.push(seal(&cipher, &world.a, of, &format!("text {of}")).await?);
        world
            .put(&world.a, &format!("secret {of}"), "value")
            .await?;
    }
    let theirs = seal(&cipher, &world.b, 0, "theirs").await?;
    cipher.erase_subject(&world.a, &lead(3)).await?;
    let rotation = Rotation::new(world.db.worker.clone(), LocalKeyring::parse(&world.entry)?);
    let options = RotateOptions::default()
        .with_batch(5)
        .with_grace(Duration::ZERO);
    let report = rotation.rotate_all(&options, |_| {}).await?;
    assert_eq!(
        (
            report.tenants,
            report.rows,
            report.destroyed,
            report.failed.len()
        ),
        (2, 12 + 11 + 1, 2, 0)
    );
    let old = "SELECT count(*) FROM tenancy.subject_keys s JOIN tenancy.tenant_data_keys k USING (tenant_id, key_id)
        WHERE k.state <> 'active'";
    let old: i64 = sqlx::query_scalar(old)
        .fetch_one(&world.db.superuser().await?)
        .await?;
    assert_eq!(old, 0);
    // Both with what it had cached, and as a new process.
    for cipher in [cipher.clone(), self::cipher(&world)?] {
        for (of, text) in sealed.iter().enumerate() {
            let of = u32::try_from(of)?;
            match cipher.open(&world.a, &lead(of), text).await {
                Ok(opened) => assert_eq!(opened.expose(), format!("text {of}")),
                Err(error) => assert_eq!((of, error.code()), (3, "subject_erased")),
            }
        }
        assert_eq!(
            cipher.open(&world.b, &lead(0), &theirs).await?.expose(),
            "theirs"
        );
    }
    Ok(())
}

/// A child that opens what its parent sealed, whenever it is told to.
pub(crate) async fn open(inside: Inside) -> Result {
    let ctx = inside.db.enter(inside.tenant, inside.user).await?;
    let cipher = SubjectVault::new(
        inside.db.clone(),
        &inside.vault,
        Arc::new(FakeAuthorizer::allowing_all()),
        Arc::new(tenancy_core::NoAudit::new()),
    );
    let sealed = SealedText::from_stored(env("CHILD_SEALED"));
    say("ready");
    loop {
        let word = heard().await;
        if word == "end" {
            return Ok(());
        }
        match cipher.open(&ctx, &lead(1), &sealed).await {
            Ok(text) => say(text.expose()),
            Err(error) => say(error.code()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_erases_no_other_opens_from_that_moment_on() -> Result {
    let world = World::new().await?;
    let cipher = cipher(&world)?;
    let sealed = seal(&cipher, &world.a, 1, "ann").await?;
    let mut child = Process::start("open_subject", &world, &[("CHILD_SEALED", sealed.as_str())])?;
    assert_eq!(child.line()?, "ready");
    child.tell("open")?;
    assert_eq!(child.line()?, "ann");
    cipher.erase_subject(&world.a, &lead(1)).await?;
    child.tell("open")?;
    assert_eq!(child.line()?, "subject_erased");
    child.tell("end")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_texts_of_a_subject_that_are_sealed_at_once_all_open() -> Result {
    let world = World::new().await?;
    let mut seals = Vec::new();
    for n in 0..8 {
        let (cipher, ctx) = (cipher(&world)?, world.a.clone());
        seals.push(tokio::spawn(async move {
            let text = SecretText::new(format!("{n}"));
            cipher.seal(&ctx, &lead(1), text).await
        }));
    }
    let cipher = cipher(&world)?;
    for (n, seal) in seals.into_iter().enumerate() {
        let sealed = seal.await??;
        let opened = cipher.open(&world.a, &lead(1), &sealed).await?;
        assert_eq!(opened.expose(), n.to_string());
    }
    Ok(())
}
