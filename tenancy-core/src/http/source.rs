//! Where a request names its tenant.

use axum::extract::{FromRequestParts as _, RawPathParams};
use http::{header, request::Parts};

use crate::{Error, SlugOwner, TenantDb, TenantId, TenantStore as _, postgres::PgStore};

/// A place in a request that names the tenant, by its id or its slug.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TenantSource {
    /// A header, such as `x-tenant`.
    Header(String),
    /// A parameter of the route, such as `tenant` in `/t/{tenant}/templates`. The layer has to be
    /// added with `route_layer`, so that the route is known.
    Path(String),
    /// What stands before this domain in `Host`: `acme` in `acme.example.com`.
    Subdomain(String),
}

impl TenantSource {
    async fn read(&self, parts: &mut Parts) -> Option<String> {
        match self {
            Self::Header(name) => parts
                .headers
                .get(name)?
                .to_str()
                .ok()
                .map(ToOwned::to_owned),
            Self::Path(name) => {
                let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
                params
                    .iter()
                    .find(|(key, _)| key == name)
                    .map(|(_, value)| value.to_owned())
            }
            Self::Subdomain(domain) => {
                let authority = parts.headers.get(header::HOST)?.to_str().ok()?;
                let host = authority.split(':').next()?.to_ascii_lowercase();
                let label = host.strip_suffix(domain.as_str())?.strip_suffix('.')?;
                (!label.contains('.')).then(|| label.to_owned())
            }
        }
    }
}

/// The tenant that the first source with a value names. Two sources that name different tenants
/// are an error, not a matter of order: a proxy and a client may not agree.
pub(crate) async fn resolve(
    sources: &[TenantSource],
    parts: &mut Parts,
    db: &TenantDb,
) -> Result<TenantId, Error> {
    let mut named: Option<TenantId> = None;
    for source in sources {
        let Some(text) = source.read(parts).await else {
            continue;
        };
        let tenant = look_up(&text, db).await?;
        if named.is_some_and(|other| other != tenant) {
            let message = "the request names two different tenants";
            return Err(Error::invalid("tenant_ambiguous", message));
        }
        named = Some(tenant);
    }
    named.ok_or_else(|| Error::invalid("tenant_missing", "the request does not name a tenant"))
}

async fn look_up(text: &str, db: &TenantDb) -> Result<TenantId, Error> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    PgStore::new(db.clone())
        .by_slug(text)
        .await?
        .and_then(SlugOwner::current)
        .ok_or_else(Error::not_a_member)
}
