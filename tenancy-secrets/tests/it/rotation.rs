//! Changing keys while everything goes on.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sqlx::PgPool;
use tenancy_core::{SecretText, TenantCtx, TenantId};
use tenancy_secrets::{
    DataKey, Error, ErrorKind, KeyWrap, LocalKeyring, PutMode, RotateOptions, Rotation,
    SecretVault, WrapContext, WrappedKey,
};

use crate::{
    children::{Inside, Process, env, heard, say},
    support::{Result, World, path},
};

fn at_once() -> RotateOptions {
    RotateOptions::default()
        .with_batch(5)
        .with_grace(Duration::ZERO)
}

fn rotation(world: &World) -> Result<Rotation> {
    Ok(Rotation::new(
        world.db.worker.clone(),
        LocalKeyring::parse(&world.entry)?,
    ))
}

/// How many of a tenant's rows are not under its active key.
async fn left_behind(superuser: &PgPool, tenant: TenantId) -> Result<i64> {
    let sql = "SELECT count(*) FROM tenancy.integration_secrets s
        JOIN tenancy.tenant_data_keys k USING (tenant_id, key_id)
        WHERE s.tenant_id = $1 AND k.state <> 'active'";
    Ok(sqlx::query_scalar(sql)
        .bind(tenant)
        .fetch_one(superuser)
        .await?)
}

async fn states(superuser: &PgPool, tenant: TenantId) -> Result<Vec<String>> {
    let sql = "SELECT state FROM tenancy.tenant_data_keys WHERE tenant_id = $1 ORDER BY created_at";
    Ok(sqlx::query_scalar(sql)
        .bind(tenant)
        .fetch_all(superuser)
        .await?)
}

/// A child that reads everything and writes its own secrets until it is told to stop.
pub(crate) async fn read_and_write(inside: Inside) -> Result {
    let name = env("CHILD_NAME");
    let ctx = inside.db.enter(inside.tenant, inside.user).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    tokio::spawn(async move {
        heard().await;
        told.store(true, Ordering::SeqCst);
    });
    let mut written = BTreeMap::new();
    let mut round = 0_u32;
    say("ready");
    while !stop.load(Ordering::SeqCst) {
        let key = format!("{name}-{}", round % 7);
        let value = format!("{name}:{round}");
        inside
            .vault
            .put(
                &ctx,
                &path(&key),
                SecretText::new(value.clone()),
                PutMode::Upsert,
            )
            .await?;
        written.insert(key, value);
        let shared = format!("shared-{}", round % 40);
        let read = inside.vault.get_at(&ctx, &path(&shared)).await?;
        assert_eq!(read.value.expose(), shared);
        round += 1;
    }
    say(&serde_json::to_string(&written)?);
    Ok(())
}

/// A child that rotates slowly, so that it can be killed in the middle.
pub(crate) async fn rotate(inside: Inside) -> Result {
    let rotation = Rotation::new(inside.worker, LocalKeyring::parse(&env("CHILD_KEYRING"))?);
    let report = rotation
        .rotate_all(&at_once(), |progress| {
            say(&format!("{}", progress.done));
            std::thread::sleep(Duration::from_millis(40));
        })
        .await?;
    say(&serde_json::to_string(&report)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_moves_while_two_processes_work_and_the_rotation_is_killed_and_resumed() -> Result
{
    let world = World::new().await?;
    for number in 0..40 {
        let name = format!("shared-{number}");
        world.put(&world.a, &name, &name).await?;
    }
    world.put(&world.b, "theirs", "theirs").await?;
    let mut workers = Vec::new();
    for name in ["one", "two"] {
        let mut worker = Process::start("read_and_write", &world, &[("CHILD_NAME", name)])?;
        assert_eq!(worker.line()?, "ready");
        workers.push(worker);
    }
    let mut killed = Process::start("rotate", &world, &[])?;
    killed.line()?;
    killed.line()?;
    killed.kill()?;
    let superuser = world.db.superuser().await?;
    let left = left_behind(&superuser, world.a.tenant()).await?;
    assert!(left > 0, "the rotation was to be killed before its end");

    let mut resumed = Process::start("rotate", &world, &[])?;
    let mut last = String::new();
    while let Ok(line) = resumed.line() {
        last = line;
    }
    let report: serde_json::Value = serde_json::from_str(&last)?;
    assert_eq!(
        (&report["tenants"], &report["failed"]),
        (&2.into(), &serde_json::json!([]))
    );
    for tenant in [world.a.tenant(), world.b.tenant()] {
        assert_eq!(left_behind(&superuser, tenant).await?, 0);
        assert_eq!(
            states(&superuser, tenant).await?,
            ["destroyed", "active"],
            "one new key, not two"
        );
    }

    let fresh = world.another_vault()?;
    for mut worker in workers {
        worker.tell("stop")?;
        let written: BTreeMap<String, String> = serde_json::from_str(&worker.line()?)?;
        for (name, value) in written {
            assert_eq!(
                fresh.get_at(&world.a, &path(&name)).await?.value.expose(),
                value
            );
        }
    }
    assert_eq!(
        left_behind(&superuser, world.a.tenant()).await?,
        0,
        "a write under the old key"
    );
    Ok(())
}

/// A vault that has the old key in its cache, a rotation behind its back, and then a write.
async fn write_with_a_stale_key(world: &World) -> Result<i64> {
    let stale = world.another_vault()?;
    stale
        .put(
            &world.a,
            &path("main"),
            SecretText::new("old"),
            PutMode::Upsert,
        )
        .await?;
    rotation(world)?
        .rotate_tenant(world.a.tenant(), &RotateOptions::default(), |_| ())
        .await?;
    stale
        .put(
            &world.a,
            &path("main"),
            SecretText::new("new"),
            PutMode::Upsert,
        )
        .await?;
    let fresh = world
        .another_vault()?
        .get_at(&world.a, &path("main"))
        .await?;
    assert_eq!(fresh.value.expose(), "new");
    left_behind(&world.db.superuser().await?, world.a.tenant()).await
}

#[tokio::test]
async fn no_row_is_written_under_a_retired_key_and_the_hold_is_why() -> Result {
    let world = World::new().await?;
    assert_eq!(write_with_a_stale_key(&world).await?, 0);
    // The planted fault: a hold that holds nothing.
    let superuser = world.db.superuser().await?;
    let open = "CREATE OR REPLACE FUNCTION tenancy.hold_data_key(p_tenant uuid, p_key uuid) RETURNS boolean
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$ BEGIN RETURN true; END $$";
    sqlx::raw_sql(open).execute(&superuser).await?;
    assert_eq!(write_with_a_stale_key(&world).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_promotion_waits_for_a_write_that_holds_the_old_key() -> Result {
    let world = World::new().await?;
    let stored = world.put(&world.a, "main", "s3cr3t").await?;
    let mut tx = world.db.app.write(&world.a).await?;
    let again = "SELECT tenancy.put_secret(id, provider, name, field, NULL, encrypted, key_id, version, generation)
        FROM tenancy.integration_secrets WHERE id = $1";
    let answer: String = sqlx::query_scalar(again)
        .bind(stored.id)
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(answer, "ok");
    let (rotation, tenant) = (rotation(&world)?, world.a.tenant());
    let rotating =
        tokio::spawn(async move { rotation.rotate_tenant(tenant, &at_once(), |_| ()).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!rotating.is_finished());
    tx.commit().await?;
    assert_eq!(rotating.await??.done, 1);
    assert_eq!(left_behind(&world.db.superuser().await?, tenant).await?, 0);
    Ok(())
}

/// Writes a secret at the moment in which a rotation has read it and not yet put it back.
struct Interfering {
    keyring: LocalKeyring,
    vault: SecretVault,
    ctx: TenantCtx,
    done: AtomicBool,
}

#[async_trait]
impl KeyWrap for Interfering {
    fn primary(&self) -> String {
        self.keyring.primary()
    }

    async fn wrap(
        &self,
        context: &WrapContext,
        key: &DataKey,
    ) -> std::result::Result<WrappedKey, Error> {
        self.keyring.wrap(context, key).await
    }

    async fn unwrap(
        &self,
        context: &WrapContext,
        wrapped: &WrappedKey,
    ) -> std::result::Result<DataKey, Error> {
        if !self.done.swap(true, Ordering::SeqCst) {
            let value = SecretText::new("written meanwhile");
            self.vault
                .put(&self.ctx, &path("main"), value, PutMode::Upsert)
                .await?;
        }
        self.keyring.unwrap(context, wrapped).await
    }
}

async fn rotate_with_interference(world: &World) -> Result<std::result::Result<String, ErrorKind>> {
    world.put(&world.a, "main", "old").await?;
    let wrap: Arc<dyn KeyWrap> = Arc::new(Interfering {
        keyring: LocalKeyring::parse(&world.entry)?,
        vault: world.another_vault()?,
        ctx: world.a.clone(),
        done: AtomicBool::new(false),
    });
    let rotation = Rotation::new(world.db.worker.clone(), wrap);
    rotation
        .rotate_tenant(world.a.tenant(), &at_once(), |_| ())
        .await?;
    let read = world.another_vault()?.get_at(&world.a, &path("main")).await;
    Ok(read
        .map(|secret| secret.value.expose().to_owned())
        .map_err(|error| error.kind()))
}

#[tokio::test]
async fn a_write_during_a_batch_is_not_lost_and_the_compare_and_set_is_why() -> Result {
    let world = World::new().await?;
    assert_eq!(
        rotate_with_interference(&world).await?.as_deref(),
        Ok("written meanwhile")
    );
    // The planted fault: a batch that is put back whatever was written.
    let superuser = world.db.superuser().await?;
    let sql = "SELECT pg_get_functiondef('tenancy.store_rotated'::regproc)";
    let function: String = sqlx::query_scalar(sql).fetch_one(&superuser).await?;
    let careless = function.replace(
        "AND s.key_id = b.old_key AND s.generation = b.generation",
        "",
    );
    assert_ne!(function, careless);
    sqlx::raw_sql(sqlx::AssertSqlSafe(careless))
        .execute(&superuser)
        .await?;
    assert_ne!(
        rotate_with_interference(&world).await?.as_deref(),
        Ok("written meanwhile")
    );
    Ok(())
}

#[tokio::test]
async fn a_retired_key_is_kept_for_its_grace_and_destroyed_after() -> Result {
    let world = World::new().await?;
    let stored = world.put(&world.a, "main", "s3cr3t").await?;
    let superuser = world.db.superuser().await?;
    let (rotation, tenant) = (rotation(&world)?, world.a.tenant());
    let first = rotation
        .rotate_tenant(tenant, &RotateOptions::default(), |_| ())
        .await?;
    assert_eq!((first.done, first.resumed, first.destroyed), (1, false, 0));
    assert_eq!(
        states(&superuser, tenant).await?,
        ["decrypt_only", "active"]
    );
    assert_eq!(rotation.destroy_retired(Duration::from_hours(1)).await?, 0);
    assert_eq!(rotation.destroy_retired(Duration::ZERO).await?, 1);
    assert_eq!(states(&superuser, tenant).await?, ["destroyed", "active"]);
    assert_eq!(
        world.vault.get(&world.a, stored.id).await?.value.expose(),
        "s3cr3t"
    );
    assert_eq!(
        world.vault.get(&world.a, stored.id).await?.meta.version,
        1,
        "the value is the same"
    );
    Ok(())
}

#[tokio::test]
async fn a_row_that_does_not_open_keeps_its_key_and_stops_nobody_else() -> Result {
    let world = World::new().await?;
    let bad = world.put(&world.a, "bad", "s3cr3t").await?;
    let good = world.put(&world.a, "good", "s3cr3t").await?;
    world.put(&world.b, "theirs", "s3cr3t").await?;
    let superuser = world.db.superuser().await?;
    let damage = "UPDATE tenancy.integration_secrets SET version = 9 WHERE id = $1";
    sqlx::query(damage).bind(bad.id).execute(&superuser).await?;
    let rotation = rotation(&world)?;
    let report = rotation.rotate_all(&at_once(), |_| ()).await?;
    assert_eq!(report.failed, [(world.a.tenant(), "secret_unreadable")]);
    assert_eq!(
        (
            report.tenants,
            left_behind(&superuser, world.b.tenant()).await?
        ),
        (1, 0)
    );
    assert_eq!(left_behind(&superuser, world.a.tenant()).await?, 1);
    assert_eq!(
        states(&superuser, world.a.tenant()).await?,
        ["decrypt_only", "active"]
    );
    assert_eq!(
        world
            .another_vault()?
            .get(&world.a, good.id)
            .await?
            .value
            .expose(),
        "s3cr3t"
    );

    world.vault.delete(&world.a, bad.id).await?;
    let resumed = rotation
        .rotate_tenant(world.a.tenant(), &at_once(), |_| ())
        .await?;
    assert_eq!((resumed.resumed, resumed.destroyed), (true, 1));
    Ok(())
}

#[tokio::test]
async fn a_new_key_encryption_key_rewraps_data_keys_and_touches_no_secret() -> Result {
    let world = World::new().await?;
    let stored = world.put(&world.a, "main", "s3cr3t").await?;
    world.put(&world.b, "theirs", "s3cr3t").await?;
    let superuser = world.db.superuser().await?;
    let rows = "SELECT md5(string_agg(s::text || s.xmin, ',' ORDER BY id)) FROM tenancy.integration_secrets s";
    let before: String = sqlx::query_scalar(rows).fetch_one(&superuser).await?;

    let new = LocalKeyring::generate_entry("new")?;
    let worker = world.db.worker.clone();
    let alone = Rotation::new(worker.clone(), LocalKeyring::parse(new.expose())?);
    assert_eq!(alone.rewrap_all().await.unwrap_err().code(), "kek_missing");
    let both = Rotation::new(
        worker,
        LocalKeyring::parse(&format!("{}\n{}", new.expose(), world.entry))?,
    );
    assert_eq!(both.rewrap_all().await?, 2);
    assert_eq!(both.rewrap_all().await?, 0);
    let after: String = sqlx::query_scalar(rows).fetch_one(&superuser).await?;
    assert_eq!(before, after);

    let vault = |entry: &str| -> Result<SecretVault> {
        let authorizer = Arc::new(tenancy_core::testing::FakeAuthorizer::allowing_all());
        let audit = Arc::new(world.audit.clone());
        Ok(SecretVault::new(
            world.db.app.clone(),
            LocalKeyring::parse(entry)?,
            authorizer,
            audit,
        ))
    };
    assert_eq!(
        vault(new.expose())?
            .get(&world.a, stored.id)
            .await?
            .value
            .expose(),
        "s3cr3t"
    );
    let old = vault(&world.entry)?
        .get(&world.a, stored.id)
        .await
        .unwrap_err();
    assert_eq!(old.kind(), ErrorKind::Misconfigured);
    Ok(())
}

#[tokio::test]
async fn the_worker_rotates_and_reads_no_table() -> Result {
    let world = World::new().await?;
    world.put(&world.a, "main", "s3cr3t").await?;
    for table in [
        "integration_secrets",
        "tenant_data_keys",
        "oauth_connections",
        "oauth_states",
    ] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT * FROM tenancy.{table}"));
        let refused = sqlx::query(sql)
            .fetch_all(world.db.worker.pool())
            .await
            .unwrap_err();
        let code = refused
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("42501"), "{table}");
    }
    assert_eq!(
        rotation(&world)?.rotate_all(&at_once(), |_| ()).await?.rows,
        1
    );
    Ok(())
}
