//! A secret, and what is really in its row.

use tenancy::{
    core::{CredentialId, SecretText},
    secrets::{ProviderKey, PutMode, SecretPath},
};

use super::onboarding::{People, said};
use crate::{Result, Screen, World};

pub(crate) const API_KEY: &str = "sl-live-4242-quickstart";

/// Answers which credential a tool call may use.
pub(crate) async fn run(
    screen: &mut Screen,
    world: &World,
    people: &People,
) -> Result<CredentialId> {
    screen.step("A sealed secret");
    let path = SecretPath::new(ProviderKey::from_static("smartlead"));
    screen.ask(format!("ada stores the API key of `{path}`"));
    let stored = world
        .vault
        .put(
            &people.ada,
            &path,
            SecretText::new(API_KEY),
            PutMode::Create,
        )
        .await?;
    let row: String =
        sqlx::query_scalar("SELECT s::text FROM tenancy.integration_secrets s WHERE id = $1")
            .bind(stored.id)
            .fetch_one(&world.superuser)
            .await?;
    screen.got(format!(
        "the raw row: {}…",
        row.chars().take(150).collect::<String>()
    ));
    screen.promise("the row holds no plaintext", !row.contains(API_KEY));

    let opened = world.vault.get(&people.ada, stored.id).await?;
    screen.promise("its owner reads it back", opened.value.expose() == API_KEY);
    let denied = world.vault.get(&people.bob, stored.id).await;
    screen.ask("bob (support) reads it");
    screen.got(said(&denied));
    let foreign = world.vault.get(&people.eve, stored.id).await;
    screen.ask("globex reads it");
    screen.got(said(&foreign));
    screen.promise("nobody else does", denied.is_err() && foreign.is_err());
    Ok(CredentialId::from_uuid(stored.id.as_uuid()))
}
