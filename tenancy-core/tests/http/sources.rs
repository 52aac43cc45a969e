//! Where a request may name its tenant, and what happens when it names two.

use std::sync::Arc;

use axum::{Router, routing::get};
use tenancy_core::{
    Authenticate, Identity, RequestHead,
    http::{Tenant, TenantLayer, TenantSource},
    testing::TestLogin,
};

use crate::app::{App, Result, ask};

/// A login whose token names a tenant, as the header `x-claim` says.
struct Claims;

#[async_trait::async_trait]
impl Authenticate for Claims {
    async fn authenticate(
        &self,
        request: &RequestHead,
    ) -> std::result::Result<Option<Identity>, tenancy_core::Error> {
        let known = TestLogin.authenticate(request).await?;
        Ok(known.map(|identity| match request.header("x-claim") {
            Some(tenant) => identity.with_tenant(tenant),
            None => identity,
        }))
    }
}

fn router(app: &App, sources: impl IntoIterator<Item = TenantSource>) -> Router {
    let who = get(async |Tenant(ctx): Tenant| ctx.tenant().to_string());
    let layer = TenantLayer::new(app.db.app.clone(), Arc::new(Claims), sources);
    Router::new().route("/{*rest}", who).route_layer(layer)
}

#[tokio::test]
async fn two_names_that_disagree_are_refused_whatever_their_order() -> Result {
    let app = App::start().await?;
    let (name, login) = app.owner();
    let (own, other) = (app.ctx.tenant().to_string(), app.other.tenant().to_string());
    let auth = (name, login.as_str());
    let by_path = format!("/t/{own}/who");
    let foreign_path = format!("/t/{other}/who");
    let unknown_host = ("host", "no-such.example.com");
    for (path, headers, status, code) in [
        (
            &by_path,
            vec![auth, ("x-tenant", &*other)],
            400,
            "tenant_ambiguous",
        ),
        (&by_path, vec![auth, unknown_host], 400, "tenant_ambiguous"),
        // Not a member of the first: nothing is told about the second.
        (
            &foreign_path,
            vec![auth, ("x-tenant", &*own)],
            404,
            "not_a_member",
        ),
        (
            &by_path,
            vec![auth, ("x-tenant", &*own), ("x-tenant", &*own)],
            400,
            "tenant_unreadable",
        ),
    ] {
        let answer = app.ask(path, &headers).await?;
        assert_eq!(
            answer.code(),
            (status, code.to_owned()),
            "{path} {headers:?}"
        );
    }
    let agreeing = [auth, ("x-tenant", app.slug.as_str())];
    assert_eq!(app.ask(&by_path, &agreeing).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_place_that_is_not_listed_names_nothing() -> Result {
    let app = App::start().await?;
    let (name, login) = app.owner();
    let own = app.ctx.tenant().to_string();
    let host = format!("{}.example.com", app.slug);
    let everywhere = [
        (name, login.as_str()),
        ("x-tenant", &own),
        ("x-claim", &own),
        ("host", &host),
        ("x-forwarded-host", &host),
    ];
    let sources = [
        TenantSource::Header("x-tenant".to_owned()),
        TenantSource::Claim,
        TenantSource::Segment("/t/".to_owned()),
        TenantSource::Subdomain("example.com".to_owned()),
        TenantSource::ForwardedSubdomain("example.com".to_owned()),
    ];
    let path = format!("/t/{own}/x");
    for (at, source) in sources.iter().enumerate() {
        let alone = router(&app, [source.clone()]);
        let answer = ask(&alone, &path, &everywhere).await?;
        assert_eq!(
            (answer.status.as_u16(), &answer.body),
            (200, &own),
            "{source:?}"
        );
        // All the others name a tenant; this one does not.
        let place = ["x-tenant", "x-claim", "", "host", "x-forwarded-host"][at];
        let headers: Vec<_> = everywhere
            .iter()
            .copied()
            .filter(|(name, _)| *name != place)
            .collect();
        let path = if place.is_empty() {
            "/elsewhere"
        } else {
            &path
        };
        let answer = ask(&alone, path, &headers).await?;
        assert_eq!(
            answer.code(),
            (400, "tenant_missing".to_owned()),
            "{source:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_claim_that_contradicts_the_path_is_refused() -> Result {
    let app = App::start().await?;
    let (name, login) = app.owner();
    let (own, other) = (app.ctx.tenant().to_string(), app.other.tenant().to_string());
    let router = router(
        &app,
        [TenantSource::Claim, TenantSource::Segment("/t/".to_owned())],
    );
    let path = format!("/t/{own}/x");
    let auth = (name, login.as_str());
    for (claim, status) in [(&own, 200), (&app.slug, 200), (&other, 404)] {
        let answer = ask(&router, &path, &[auth, ("x-claim", claim)]).await?;
        assert_eq!(answer.status, status, "{claim}");
    }
    // A claim proves nothing: the membership is checked.
    let foreign = format!("/t/{other}/x");
    assert_eq!(
        ask(&router, &foreign, &[auth, ("x-claim", &other)])
            .await?
            .status,
        404
    );
    Ok(())
}

#[tokio::test]
async fn names_that_no_tenant_can_have_lead_to_the_same_404() -> Result {
    let app = App::start().await?;
    let (name, login) = app.owner();
    let own = app.ctx.tenant();
    let simple = own.as_uuid().simple().to_string();
    let braced = own.as_uuid().braced().to_string();
    let upper = app.slug.to_ascii_uppercase();
    for bad in [
        "",
        " ",
        "%00",
        "'; --",
        &upper,
        &simple,
        &braced,
        &"a".repeat(5_000),
    ] {
        let answer = app
            .ask("/who", &[(name, &login), ("x-tenant", bad)])
            .await?;
        assert_eq!(answer.code(), (404, "not_a_member".to_owned()), "{bad}");
    }
    let nul = app.ask("/t/a%00b/who", &[(name, &login)]).await?;
    assert_eq!(nul.code(), (404, "not_a_member".to_owned()));
    Ok(())
}
