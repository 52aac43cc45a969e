//! The vault on Postgres.

use std::sync::Arc;

use tenancy_core::{
    CredentialSource as _, PermissionKey, SecretText, ServiceKey,
    testing::{self, FakeAuthorizer, MemoryAudit},
};
use tenancy_secrets::{
    ErrorKind, ProviderKey, PutMode, SecretQuery, SecretVault, testing::CountingKeyWrap,
};

use crate::support::{Result, World, path};

fn text(value: &str) -> SecretText {
    SecretText::new(value)
}

#[tokio::test]
async fn a_secret_comes_back_as_it_was_put_and_leaves_a_trail() -> Result {
    let world = World::new().await?;
    let stored = world.put(&world.a, "main", "s3cr3t").await?;
    let secret = world.vault.get(&world.a, stored.id).await?;
    assert_eq!(secret.value.expose(), "s3cr3t");
    assert_eq!(
        (secret.meta.version, secret.meta.created_by),
        (1, world.a.user())
    );

    let again = world.put(&world.a, "main", "n3w").await?;
    assert_eq!((again.id, again.version), (stored.id, 2));
    assert_eq!(
        world
            .vault
            .get_at(&world.a, &path("main"))
            .await?
            .value
            .expose(),
        "n3w"
    );
    let credential = world.vault.credential(&world.a, stored.id.into()).await?;
    assert_eq!(
        (credential.secret.expose(), credential.generation),
        ("n3w", 2)
    );

    world.vault.delete(&world.a, stored.id).await?;
    let gone = world.vault.get(&world.a, stored.id).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let actions: Vec<_> = world
        .audit
        .entries()
        .into_iter()
        .map(|entry| entry.event.action)
        .collect();
    let expected = [
        "secret.written",
        "secret.read",
        "secret.written",
        "secret.read",
        "secret.deleted",
    ];
    assert_eq!(actions, expected);
    assert!(!format!("{:?}", world.audit.entries()).contains("s3cr3t"));
    Ok(())
}

#[tokio::test]
async fn a_secret_is_replaced_only_as_its_writer_says() -> Result {
    let world = World::new().await?;
    let (vault, ctx) = (&world.vault, &world.a);
    let put = async |value: &str, mode| vault.put(ctx, &path("main"), text(value), mode).await;
    assert_eq!(
        put("x", PutMode::Replace(1)).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(put("1", PutMode::Create).await?.version, 1);
    assert_eq!(
        put("2", PutMode::Create).await.unwrap_err().code(),
        "secret_exists"
    );
    assert_eq!(put("2", PutMode::Replace(1)).await?.version, 2);
    assert_eq!(
        put("3", PutMode::Replace(1)).await.unwrap_err().code(),
        "secret_moved_on"
    );
    assert_eq!(vault.get_at(ctx, &path("main")).await?.value.expose(), "2");
    Ok(())
}

#[tokio::test]
async fn many_writers_of_one_secret_all_get_their_turn() -> Result {
    let world = Arc::new(World::new().await?);
    let writers = (0..4).map(|number| {
        let world = world.clone();
        tokio::spawn(async move { world.put(&world.a, "main", &number.to_string()).await })
    });
    let mut versions = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        versions.push(writer.await??.version);
    }
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4]);
    Ok(())
}

#[tokio::test]
async fn without_the_permission_nothing_is_seen_or_stored() -> Result {
    let world = World::new().await?;
    let stored = world.put(&world.a, "main", "s3cr3t").await?;
    let audit = MemoryAudit::new();
    let authorizer = FakeAuthorizer::new().with_audit(audit.clone());
    let keys = CountingKeyWrap::new()?;
    let vault = SecretVault::new(
        world.db.app.clone(),
        keys,
        Arc::new(authorizer.clone()),
        Arc::new(audit.clone()),
    );
    let member = testing::member(&world.db.app, &world.a).await?;
    let denials = [
        vault.get(&member, stored.id).await.err(),
        vault.get_at(&member, &path("main")).await.err(),
        vault.list(&member, &SecretQuery::default()).await.err(),
        vault
            .put(&member, &path("mine"), text("x"), PutMode::Upsert)
            .await
            .err(),
        vault.delete(&member, stored.id).await.err(),
    ];
    for denial in denials {
        assert_eq!(denial.map(|error| error.kind()), Some(ErrorKind::Denied));
    }
    assert_eq!(audit.of("access.denied").len(), 5);

    authorizer.grant(&member, PermissionKey::from_static("secrets.read"));
    let listed = vault.list(&member, &SecretQuery::default()).await?;
    assert_eq!(listed.len(), 1);
    let error = vault
        .put(&member, &path("mine"), text("x"), PutMode::Upsert)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "reading is not writing");
    Ok(())
}

#[tokio::test]
async fn a_list_shows_no_values_and_no_other_tenants_secrets() -> Result {
    let world = World::new().await?;
    for name in ["one", "two", "three"] {
        world.put(&world.a, name, "s3cr3t").await?;
    }
    world.put(&world.b, "theirs", "s3cr3t").await?;
    let all = world.vault.list(&world.a, &SecretQuery::default()).await?;
    assert_eq!(all.len(), 3);
    assert!(!serde_json::to_string(&all)?.contains("s3cr3t"));
    let page = world
        .vault
        .list(&world.a, &SecretQuery::default().with_limit(2))
        .await?;
    let rest = SecretQuery::default().with_after(page[1].id);
    assert_eq!(world.vault.list(&world.a, &rest).await?.len(), 1);
    let other = SecretQuery::default().with_provider(ProviderKey::from_static("other"));
    assert!(world.vault.list(&world.a, &other).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_tenant_gets_no_other_tenants_secret_by_id_and_the_policy_is_why() -> Result {
    let world = World::new().await?;
    let stored = world.put(&world.a, "main", "s3cr3t").await?;
    let error = world.vault.get(&world.b, stored.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);

    let sees = async || -> Result<i64> {
        let mut tx = world.db.app.read(&world.b).await?;
        Ok(
            sqlx::query_scalar("SELECT count(*) FROM tenancy.integration_secrets")
                .fetch_one(&mut *tx)
                .await?,
        )
    };
    assert_eq!(sees().await?, 0);
    // The planted fault: without the policies SQL that forgets the tenant sees the row.
    let superuser = world.db.superuser().await?;
    sqlx::raw_sql("ALTER TABLE tenancy.integration_secrets DISABLE ROW LEVEL SECURITY")
        .execute(&superuser)
        .await?;
    assert_eq!(sees().await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_row_that_is_moved_does_not_open() -> Result {
    let world = World::new().await?;
    let superuser = world.db.superuser().await?;
    let mine = world.put(&world.a, "main", "s3cr3t").await?;
    let theirs = world.put(&world.b, "main", "theirs").await?;
    let rename = async |sql: &'static str| -> Result<_> {
        sqlx::query(sql).bind(mine.id).execute(&superuser).await?;
        let opened = world.another_vault()?.get(&world.a, mine.id).await;
        Ok(opened
            .map(|secret| secret.value.expose().to_owned())
            .map_err(|error| error.kind()))
    };
    let other =
        rename("UPDATE tenancy.integration_secrets SET provider = 'hubspot' WHERE id = $1").await?;
    assert_eq!(other, Err(ErrorKind::Unreadable));
    let back =
        rename("UPDATE tenancy.integration_secrets SET provider = 'smartlead' WHERE id = $1")
            .await?;
    assert_eq!(
        back.as_deref(),
        Ok("s3cr3t"),
        "it is the provider that made the difference"
    );
    let field =
        rename("UPDATE tenancy.integration_secrets SET field = 'token' WHERE id = $1").await?;
    assert_eq!(field, Err(ErrorKind::Unreadable));
    assert!(
        rename("UPDATE tenancy.integration_secrets SET field = 'api_key' WHERE id = $1")
            .await?
            .is_ok()
    );
    let version =
        rename("UPDATE tenancy.integration_secrets SET version = 7 WHERE id = $1").await?;
    assert_eq!(version, Err(ErrorKind::Unreadable));
    assert!(
        rename("UPDATE tenancy.integration_secrets SET version = 1 WHERE id = $1")
            .await?
            .is_ok()
    );

    // To another tenant, with its wrapped key, its id and its path: the most that who can write
    // the tables can do.
    sqlx::raw_sql("ALTER TABLE tenancy.integration_secrets DROP CONSTRAINT integration_secrets_tenant_id_key_id_fkey")
        .execute(&superuser)
        .await?;
    for statement in [
        "INSERT INTO tenancy.tenant_data_keys SELECT $1, key_id, 'decrypt_only', kek_id, wrapped FROM tenancy.tenant_data_keys WHERE tenant_id = $2",
        "UPDATE tenancy.integration_secrets SET tenant_id = $1, name = 'moved' WHERE tenant_id = $2",
    ] {
        sqlx::query(statement)
            .bind(world.b.tenant())
            .bind(world.a.tenant())
            .execute(&superuser)
            .await?;
    }
    let moved = world
        .another_vault()?
        .get(&world.b, mine.id)
        .await
        .unwrap_err();
    assert_eq!(moved.kind(), ErrorKind::Unreadable);
    assert_eq!(
        moved.code(),
        "data_key_unreadable",
        "the wrapped key is bound to its tenant"
    );
    let still = world.another_vault()?.get(&world.b, theirs.id).await?;
    assert_eq!(still.value.expose(), "theirs");
    Ok(())
}

#[tokio::test]
async fn an_envelope_of_another_key_can_not_be_filed_under_this_one() -> Result {
    let world = World::new().await?;
    world.put(&world.a, "main", "s3cr3t").await?;
    let superuser = world.db.superuser().await?;
    let swap = "UPDATE tenancy.integration_secrets SET encrypted = jsonb_set(encrypted, '{envelope}', to_jsonb(encode(overlay(decode(encrypted->>'envelope', 'base64') placing '\\x00' from 4), 'base64')))";
    let refused = sqlx::query(swap).execute(&superuser).await.unwrap_err();
    assert_eq!(
        refused
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .as_deref(),
        Some("23514")
    );
    Ok(())
}

#[tokio::test]
async fn bad_input_is_refused_by_name_and_nothing_is_stored() -> Result {
    let world = World::new().await?;
    let (vault, ctx) = (&world.vault, &world.a);
    let empty = vault
        .put(ctx, &path("main"), text(""), PutMode::Upsert)
        .await
        .unwrap_err();
    assert_eq!(empty.code(), "secret_empty");
    let long = vault
        .put(
            ctx,
            &path("main"),
            text(&"x".repeat(65_537)),
            PutMode::Upsert,
        )
        .await
        .unwrap_err();
    assert_eq!(
        (long.kind(), long.code()),
        (ErrorKind::Limit, "secret_too_long")
    );
    let provider = ProviderKey::from_static("smartlead");
    for bad in ["", " x", "x\n", "x\0y", &"x".repeat(101)] {
        let error = tenancy_secrets::SecretPath::new(provider.clone())
            .with_name(bad)
            .unwrap_err();
        assert_eq!(error.code(), "secret_name_invalid");
    }
    assert!(vault.list(ctx, &SecretQuery::default()).await?.is_empty());
    let whole = "x".repeat(65_536);
    let stored = vault
        .put(
            ctx,
            &path("'; DROP TABLE x; --"),
            text(&whole),
            PutMode::Upsert,
        )
        .await?;
    assert_eq!(vault.get(ctx, stored.id).await?.value.expose(), whole);
    Ok(())
}

#[tokio::test]
async fn a_warm_key_asks_the_key_store_nothing_and_a_cold_one_fails_when_it_is_down() -> Result {
    let world = World::new().await?;
    let keys = CountingKeyWrap::new()?;
    let vault = |keys: &CountingKeyWrap| {
        let authorizer = Arc::new(FakeAuthorizer::allowing_all());
        SecretVault::new(
            world.db.app.clone(),
            keys.clone(),
            authorizer,
            Arc::new(MemoryAudit::new()),
        )
    };
    let warm = vault(&keys);
    let stored = warm
        .put(&world.a, &path("main"), text("s3cr3t"), PutMode::Upsert)
        .await?;
    let before = keys.unwraps();
    for _ in 0..5 {
        warm.get(&world.a, stored.id).await?;
    }
    assert_eq!(keys.unwraps(), before);

    keys.set_down(true);
    assert_eq!(
        warm.get(&world.a, stored.id).await?.value.expose(),
        "s3cr3t"
    );
    let cold = vault(&keys).get(&world.a, stored.id).await.unwrap_err();
    assert_eq!(cold.kind(), ErrorKind::Unavailable);
    assert!(cold.retry().is_retryable());
    Ok(())
}

#[tokio::test]
async fn two_processes_that_store_a_tenants_first_secret_end_with_one_key() -> Result {
    let world = World::new().await?;
    let vaults = [world.another_vault()?, world.another_vault()?];
    let [one, two] = &vaults;
    let paths = [path("one"), path("two")];
    let (first, second) = tokio::join!(
        one.put(&world.a, &paths[0], text("1"), PutMode::Upsert),
        two.put(&world.a, &paths[1], text("2"), PutMode::Upsert),
    );
    let (first, second) = (first?, second?);
    let superuser = world.db.superuser().await?;
    let keys: i64 =
        sqlx::query_scalar("SELECT count(*) FROM tenancy.tenant_data_keys WHERE tenant_id = $1")
            .bind(world.a.tenant())
            .fetch_one(&superuser)
            .await?;
    assert_eq!(keys, 1);
    assert_eq!(one.get(&world.a, second.id).await?.value.expose(), "2");
    assert_eq!(two.get(&world.a, first.id).await?.value.expose(), "1");
    Ok(())
}

#[tokio::test]
async fn the_app_role_writes_rows_and_keys_through_the_functions_only() -> Result {
    let world = World::new().await?;
    world.put(&world.a, "main", "s3cr3t").await?;
    for statement in [
        "UPDATE tenancy.integration_secrets SET name = 'x'",
        "INSERT INTO tenancy.integration_secrets SELECT * FROM tenancy.integration_secrets",
        "UPDATE tenancy.tenant_data_keys SET state = 'active'",
        "DELETE FROM tenancy.tenant_data_keys",
        "SELECT * FROM tenancy.oauth_states",
        "SELECT tenancy.promote_data_key(util.current_tenant(), util.current_tenant())",
        "SELECT tenancy.hold_data_key(util.current_tenant(), util.current_tenant())",
    ] {
        let mut tx = world.db.app.write(&world.a).await?;
        let refused = sqlx::query(statement).execute(&mut *tx).await.unwrap_err();
        let code = refused
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("42501"), "{statement}");
    }
    Ok(())
}

#[tokio::test]
async fn a_service_brings_its_own_permissions() -> Result {
    let world = World::new().await?;
    let stored = world.put(&world.a, "main", "s3cr3t").await?;
    let enter = async |permissions| {
        let service = ServiceKey::from_static("importer");
        world
            .db
            .app
            .enter_system(world.a.tenant(), service, permissions)
            .await
    };
    let without = enter(Vec::new()).await?;
    assert_eq!(
        world
            .vault
            .get(&without, stored.id)
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Denied
    );
    let with = enter(vec![PermissionKey::from_static("secrets.read")]).await?;
    assert_eq!(
        world.vault.get(&with, stored.id).await?.value.expose(),
        "s3cr3t"
    );
    // Using a key for a call is not reading it.
    assert_eq!(
        world
            .vault
            .credential(&without, stored.id.into())
            .await?
            .secret
            .expose(),
        "s3cr3t"
    );
    Ok(())
}
