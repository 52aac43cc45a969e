//! Connecting an integration: the whole OAuth dance, against a provider in another process.

use tenancy::{
    core::SecretText,
    secrets::{
        Catalog, FinishRequest, OAuthBroker, OAuthClient, Provider, ProviderKey, Revocation,
        StartOptions, Started,
    },
};
use url::Url;

use super::onboarding::People;
use crate::{Result, Screen, World, peer::Peer};

const CRM: ProviderKey = ProviderKey::from_static("crm");

pub(crate) async fn run(screen: &mut Screen, world: &World, people: &People) -> Result {
    screen.step("An integration");
    let peer = Peer::start("oauth").await?;
    screen.got(format!(
        "an OAuth provider at {} in process {}",
        peer.url, peer.pid
    ));
    let broker = broker(world, &peer)?;

    screen.ask("ada connects `crm`: authorization code with PKCE");
    let options = StartOptions::default().with_scopes(["contacts.read"]);
    let started = broker.start(&people.ada, &CRM, &options).await?;
    let callback = consent(&started).await?;
    let finished = broker.finish(request(&callback, people, &started)?).await?;
    let connection = broker.get(&people.ada, finished.connection).await?;
    screen.got(format!(
        "connection {} is {}, scopes {}",
        connection.id,
        connection.status.as_str(),
        connection.granted_scopes.join(" ")
    ));
    screen.promise(
        "the account is connected",
        connection.status.as_str() == "connected",
    );

    let replayed = broker.finish(request(&callback, people, &started)?).await;
    screen.promise("the same callback does not work twice", replayed.is_err());
    let tokens: Vec<String> =
        sqlx::query_scalar("SELECT s::text FROM tenancy.integration_secrets s")
            .fetch_all(&world.superuser)
            .await?;
    let raw = peer.count("/token_calls").await?;
    screen.got(format!(
        "{} sealed rows; the provider counts {raw} token call(s)",
        tokens.len()
    ));
    screen.promise(
        "its tokens are sealed rows beside the other secrets",
        tokens.len() >= 2,
    );

    screen.ask("ada disconnects it");
    let ended = broker.disconnect(&people.ada, connection.id).await?;
    let revoked = peer.count("/revocations").await?;
    screen.got(format!(
        "{}; the provider counts {revoked} revocation(s)",
        ended.as_str()
    ));
    screen.promise(
        "disconnecting revokes at the provider",
        ended.as_str() == "revoked",
    );
    Ok(())
}

fn broker(world: &World, peer: &Peer) -> Result<OAuthBroker> {
    let base = Url::parse(&peer.url)?;
    let provider = Provider::new(CRM, "CRM", base.join("/authorize")?, base.join("/token")?)?
        .with_revocation(Revocation::new(base.join("/revoke")?));
    let client = OAuthClient::new("quickstart", SecretText::new("quickstart-secret"));
    let public = Url::parse("http://127.0.0.1:8080")?;
    let (authz, audit) = (world.authz.clone(), world.audit.clone());
    Ok(
        OAuthBroker::builder(world.db.clone(), world.vault.clone(), public, authz, audit)
            .catalog(Catalog::built_in()?.with_provider(provider)?)
            .client(CRM, client)
            .return_path("/integrations")
            .build()?,
    )
}

/// The browser's part: the provider asks for consent and sends the browser back.
async fn consent(started: &Started) -> Result<Url> {
    let browser = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let answer = browser.get(started.authorize_url.clone()).send().await?;
    let location = answer
        .headers()
        .get("location")
        .ok_or("the provider sends nowhere")?;
    Ok(Url::parse(location.to_str()?)?)
}

fn request(callback: &Url, people: &People, started: &Started) -> Result<FinishRequest> {
    let parameter = |name: &str| {
        let found = callback.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| SecretText::new(value.into_owned()))
    };
    let user = people.ada.user().ok_or("an owner is a user")?;
    let state = parameter("state").ok_or("the callback has no state")?;
    let mut request = FinishRequest::new(CRM, user, state)
        .with_browser_secret(SecretText::new(started.browser_secret.expose()))
        .with_code(parameter("code").ok_or("the callback has no code")?);
    if let Some(issuer) = parameter("iss") {
        request = request.with_issuer(issuer.expose());
    }
    Ok(request)
}
