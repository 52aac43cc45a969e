//! Providers as data.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use tenancy_core::TenantCtx;

use crate::{Error, Provider, ProviderCatalog, ProviderKey};

const BUILTIN: &str = include_str!("providers.toml");

/// Providers from TOML, the same for every tenant.
///
/// ```
/// use tenancy_secrets::Catalog;
///
/// let catalog = Catalog::built_in().unwrap().with_toml(r#"
///     [acme]
///     title = "Acme"
///     authorize_url = "https://acme.example/authorize"
///     token_url = "https://acme.example/token"
/// "#).unwrap();
/// assert!(catalog.keys().any(|key| key.as_str() == "acme"));
/// assert!(catalog.keys().any(|key| key.as_str() == "hubspot"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Catalog(BTreeMap<ProviderKey, Arc<Provider>>);

impl Catalog {
    /// The providers that ship: Google, Gmail, `HubSpot`, Microsoft, Slack, GitHub,
    /// Salesforce.
    ///
    /// # Errors
    /// None for the data that ships; a test reads it.
    pub fn built_in() -> Result<Self, Error> {
        static PARSED: LazyLock<Result<Catalog, String>> = LazyLock::new(|| {
            Catalog::default()
                .with_toml(BUILTIN)
                .map_err(|e| e.to_string())
        });
        PARSED.clone().map_err(invalid)
    }

    /// No provider: for a host that describes all of its own.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds a host's own provider, or puts it in place of one with the same key.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) as [`Provider::check`] says.
    pub fn with_provider(mut self, provider: Provider) -> Result<Self, Error> {
        provider.check()?;
        self.0.insert(provider.key.clone(), Arc::new(provider));
        Ok(self)
    }

    /// Adds providers from TOML: one table each, named by the key.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) with what is wrong and where: unknown
    /// fields, keys that are no keys, and what [`Provider::check`] refuses.
    pub fn with_toml(mut self, text: &str) -> Result<Self, Error> {
        let parsed: BTreeMap<String, Provider> = toml::from_str(text)
            .map_err(|error| invalid(error.to_string().trim().replace('\n', " | ")))?;
        for (key, mut provider) in parsed {
            provider.key = ProviderKey::parse(key)?;
            self = self.with_provider(provider)?;
        }
        Ok(self)
    }

    /// The keys of all providers, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &ProviderKey> {
        self.0.keys()
    }

    /// A provider, to be changed and put back.
    pub fn get(&self, key: &str) -> Option<&Provider> {
        let found = self.0.iter().find(|(known, _)| known.as_str() == key);
        found.map(|(_, provider)| &**provider)
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::misconfigured("catalog_invalid", message)
}

#[async_trait]
impl ProviderCatalog for Catalog {
    async fn provider(
        &self,
        _: &TenantCtx,
        key: &ProviderKey,
    ) -> Result<Option<Arc<Provider>>, Error> {
        Ok(self.0.get(key).cloned())
    }

    async fn providers(&self, _: &TenantCtx) -> Result<Vec<Arc<Provider>>, Error> {
        Ok(self.0.values().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_providers_that_ship_pass_their_own_schema() {
        let catalog = Catalog::built_in().unwrap();
        for key in [
            "github",
            "gmail",
            "google",
            "hubspot",
            "microsoft",
            "salesforce",
            "slack",
        ] {
            let provider = catalog.get(key).unwrap();
            assert_eq!(provider.authorize_url.scheme(), "https", "{key}");
        }
        let hubspot = catalog.get("hubspot").unwrap();
        assert_eq!(
            hubspot.token_url.as_str(),
            "https://api.hubapi.com/oauth/2026-03/token"
        );
        assert_eq!(hubspot.allowed_hosts(), ["api.hubapi.com"]);
    }

    #[test]
    fn a_provider_that_is_wrong_is_refused_with_what_is_wrong() {
        let good = "[a]\ntitle = \"A\"\nauthorize_url = \"https://a.example/a\"\ntoken_url = \"https://a.example/t\"\n";
        assert!(Catalog::empty().with_toml(good).is_ok());
        for (bad, says) in [
            (
                good.replace("https://a.example/t", "http://a.example/t"),
                "https",
            ),
            (
                good.replace("https://a.example/t", "https://u:p@a.example/t"),
                "https",
            ),
            (good.replace("[a]", "[\"A b\"]"), "not allowed"),
            (format!("{good}pkec = \"omit\"\n"), "pkec"),
            (
                format!("{good}authorize_params = {{ state = \"x\" }}\n"),
                "state",
            ),
            (
                format!("{good}default_scopes = [\"a b\"]\n"),
                "default_scopes",
            ),
            (format!("{good}issuer_check = \"required\"\n"), "issuer"),
        ] {
            let error = Catalog::empty().with_toml(&bad).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        let local = good.replace("https://a.example/t", "http://127.0.0.1:9/t");
        assert!(Catalog::empty().with_toml(&local).is_ok());
    }
}
