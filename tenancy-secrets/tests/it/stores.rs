//! Every adapter and every fake passes its port's suite.

use std::sync::Arc;

use async_trait::async_trait;
use tenancy_core::{
    CredentialId, CredentialSource, Error, SecretText, TenantCtx,
    testing::{
        MemoryAudit,
        conformance::{CredentialHost, credential_source},
    },
};
use tenancy_secrets::{
    AesGcm, AwsLc, KeyState, LocalKeyring, PgSecretStore, ProviderKey, PutMode, SecretPath,
    SecretStore, SecretVault, StoredKey,
    testing::{CountingKeyWrap, MemorySecretStore, conformance},
};

use crate::support::{Result, World};

#[tokio::test]
async fn the_store_in_memory_passes_the_suite_of_its_port() -> Result {
    let world = World::new().await?;
    let store = MemorySecretStore::new(MemoryAudit::new());
    let promote = async |key: StoredKey| store.promote(&world.a, key);
    conformance::secret_store(&store, &world.a, &world.b, promote).await;
    Ok(())
}

#[tokio::test]
async fn the_store_on_postgres_passes_the_suite_of_its_port() -> Result {
    let world = World::new().await?;
    let store = PgSecretStore::new(world.db.app.clone(), Arc::new(MemoryAudit::new()));
    let superuser = world.db.superuser().await?;
    let promote = async |key: StoredKey| {
        let mut tx = superuser.begin().await.unwrap();
        sqlx::query("UPDATE tenancy.tenant_data_keys SET state = 'decrypt_only', retired_at = now() WHERE tenant_id = $1")
            .bind(world.a.tenant())
            .execute(&mut *tx)
            .await
            .unwrap();
        let wrapped = key.wrapped.unwrap();
        sqlx::query("INSERT INTO tenancy.tenant_data_keys (tenant_id, key_id, state, kek_id, wrapped) VALUES ($1, $2, 'active', $3, $4)")
            .bind(world.a.tenant())
            .bind(key.id)
            .bind(wrapped.kek_id)
            .bind(wrapped.bytes)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    };
    conformance::secret_store(&store, &world.a, &world.b, promote).await;
    let active = store.active_key(&world.a).await?.unwrap();
    assert_eq!(active.state, KeyState::Active);
    Ok(())
}

struct Vault(SecretVault);

#[async_trait]
impl CredentialHost for Vault {
    fn source(&self) -> Arc<dyn CredentialSource> {
        Arc::new(self.0.clone())
    }

    async fn store(
        &self,
        ctx: &TenantCtx,
        secret: &str,
    ) -> std::result::Result<CredentialId, Error> {
        let path = SecretPath::new(ProviderKey::from_static("suite"));
        let stored = self
            .0
            .put(ctx, &path, SecretText::new(secret), PutMode::Create)
            .await?;
        Ok(stored.id.into())
    }

    async fn replace(
        &self,
        ctx: &TenantCtx,
        _: CredentialId,
        secret: &str,
    ) -> std::result::Result<(), Error> {
        let path = SecretPath::new(ProviderKey::from_static("suite"));
        self.0
            .put(ctx, &path, SecretText::new(secret), PutMode::Upsert)
            .await?;
        Ok(())
    }
}

#[tokio::test]
async fn the_vault_is_a_source_of_credentials() -> Result {
    let world = World::new().await?;
    credential_source(&Vault(world.vault.clone()), &world.a, &world.b).await?;
    Ok(())
}

#[tokio::test]
async fn key_stores_bind_a_key_to_its_tenant_and_id() -> Result {
    conformance::key_wrap(&LocalKeyring::ephemeral()?).await;
    conformance::key_wrap(&CountingKeyWrap::new()?).await;
    let (new, old) = (
        LocalKeyring::generate_entry("new")?,
        LocalKeyring::generate_entry("old")?,
    );
    conformance::key_wrap(&LocalKeyring::parse(&format!(
        "{}\n{}",
        new.expose(),
        old.expose()
    ))?)
    .await;
    Ok(())
}

#[test]
fn both_aes_gcm_open_what_the_other_sealed() {
    conformance::aead(&AesGcm::new(), &AwsLc::new());
    conformance::aead(&AwsLc::new(), &AesGcm::new());
}
