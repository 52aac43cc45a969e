//! Where a request names its tenant.

use http::{header, request::Parts};

use super::{correlation::only, host};
use crate::{
    Error, Identity, Slug, SlugOwner, TenantDb, TenantId, TenantStore as _, postgres::PgStore,
};

/// A place in a request that names the tenant, by its id or its slug.
///
/// None is looked at unless the host lists it, and none takes precedence over another: a request
/// that names two different tenants is refused with `tenant_ambiguous`. A proxy and a client, or a
/// token and a URL, may not agree, and whichever won, the other would have been believed by
/// somebody. A header that is there twice is refused for the same reason.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TenantSource {
    /// A header, such as `x-tenant`. Any client can send it; the membership is checked all the same.
    Header(String),
    /// A parameter of the route, such as `tenant` in `/t/{tenant}/templates`. The layer has to be
    /// added with `route_layer`, so that the route is known.
    #[cfg(feature = "axum")]
    Path(String),
    /// The segment of the path behind this prefix: `acme` in `/t/acme/templates` behind `/t/`. For
    /// services without a router; segments are not percent-decoded, as neither ids nor slugs need it.
    Segment(String),
    /// What stands before this domain in `Host` (`:authority` in HTTP/2): `acme` in
    /// `acme.example.com`.
    Subdomain(String),
    /// The same in `X-Forwarded-Host`. Only behind a proxy that always sets it: others let clients
    /// choose it.
    ForwardedSubdomain(String),
    /// The tenant that the login names: [`Identity::tenant`](crate::Identity). The claim of a
    /// token, where the authenticator reads one, or the tenant whose API key it is.
    Claim,
}

impl TenantSource {
    async fn read(&self, parts: &mut Parts, identity: &Identity) -> Result<Option<String>, Error> {
        let text = match self {
            Self::Header(name) => single(parts, name)?.map(ToOwned::to_owned),
            #[cfg(feature = "axum")]
            Self::Path(name) => super::axum::path_param(parts, name).await,
            Self::Segment(prefix) => segment(parts.uri.path(), prefix),
            Self::Subdomain(base) => {
                authority(parts)?.and_then(|authority| host::subdomain(&authority, base))
            }
            Self::ForwardedSubdomain(base) => {
                let forwarded = single(parts, "x-forwarded-host")?;
                forwarded.and_then(|authority| host::subdomain(authority, base))
            }
            Self::Claim => identity.tenant.clone(),
        };
        Ok(text)
    }
}

/// The value of a header, which may be there once.
fn single<'a>(parts: &'a Parts, name: &str) -> Result<Option<&'a str>, Error> {
    if !parts.headers.contains_key(name) {
        return Ok(None);
    }
    let twice = || {
        Error::invalid(
            "tenant_unreadable",
            "a header that names the tenant can't be read",
        )
    };
    only(&parts.headers, name).map(Some).ok_or_else(twice)
}

/// What the client asked for: `Host`, or the authority of the request's target, or both if equal.
pub(super) fn authority(parts: &Parts) -> Result<Option<String>, Error> {
    let target = parts.uri.authority().map(http::uri::Authority::as_str);
    match (single(parts, header::HOST.as_str())?, target) {
        (Some(host), Some(target)) if !host.eq_ignore_ascii_case(target) => {
            let message = "`Host` and the request's target name different hosts";
            Err(Error::invalid("tenant_unreadable", message))
        }
        (host, target) => Ok(host.or(target).map(ToOwned::to_owned)),
    }
}

pub(super) fn segment(path: &str, prefix: &str) -> Option<String> {
    let segment = path.strip_prefix(prefix)?.split('/').next()?;
    (!segment.is_empty()).then(|| segment.to_owned())
}

/// What the sources of a request name.
pub(super) enum Named {
    One(TenantId),
    /// Not the same tenant. A stranger must not learn that, or he could ask which id belongs to
    /// which slug: he is answered as to the first.
    Several(TenantId),
}

impl Named {
    pub(super) fn tenant(&self) -> TenantId {
        match self {
            Self::One(tenant) | Self::Several(tenant) => *tenant,
        }
    }
}

/// The tenant that the sources name.
pub(super) async fn resolve(
    sources: &[TenantSource],
    parts: &mut Parts,
    identity: &Identity,
    db: &TenantDb,
) -> Result<Named, Error> {
    let mut named: Option<Named> = None;
    for source in sources {
        let Some(text) = source.read(parts, identity).await? else {
            continue;
        };
        let tenant = look_up(&text, db).await?;
        named = Some(match named {
            None => Named::One(tenant),
            Some(Named::One(first)) if first == tenant => Named::One(first),
            Some(earlier) => Named::Several(earlier.tenant()),
        });
    }
    named.ok_or_else(|| Error::invalid("tenant_missing", "the request does not name a tenant"))
}

/// The tenant of an id or a slug. A name that nobody has becomes an id that nobody has, so that
/// entering it takes the same way as entering another's.
async fn look_up(text: &str, db: &TenantDb) -> Result<TenantId, Error> {
    // Other forms of a uuid, without hyphens or in braces, are no ids here.
    if let Some(id) = text.parse().ok().filter(|_| text.len() == 36) {
        return Ok(id);
    }
    let known = match Slug::parse(text) {
        Ok(slug) => PgStore::new(db.clone())
            .by_slug(slug.as_str())
            .await?
            .and_then(SlugOwner::current),
        Err(_) => None,
    };
    Ok(known.unwrap_or_else(TenantId::new))
}
