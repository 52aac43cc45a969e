//! The layers without axum: plain tower services over the types of `http`.

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tenancy_core::{
    Error, ErrorKind, Identity, TenantCtx,
    http::{AuthLayer, Problem, TenantLayer, TenantSource},
    testing::TestLogin,
};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::app::{App, Result, login};

/// A body that is neither axum's nor a text.
type Body = Full<std::collections::VecDeque<u8>>;

#[derive(Clone, Debug, PartialEq)]
struct Text(Vec<u8>);

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

#[tokio::test]
async fn the_layers_stand_in_any_tower_stack() -> Result {
    let app = App::start().await?;
    let who = service_fn(async |request: Request<Body>| {
        let tenant = request
            .extensions()
            .get::<TenantCtx>()
            .map(TenantCtx::tenant);
        let me = request
            .extensions()
            .get::<Identity>()
            .and_then(Identity::user);
        let sent = request
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes().len());
        Ok::<_, Infallible>(match tenant {
            Some(tenant) => Response::new(Text::from(format!("{tenant} {me:?} {sent:?}"))),
            None => Problem::from(Error::new(ErrorKind::Internal, "no_tenant", "")).respond(),
        })
    });
    let tenants = TenantLayer::new(
        app.db.app.clone(),
        Arc::new(TestLogin),
        [TenantSource::Segment("/t/".to_owned())],
    );
    let stack = AuthLayer::new(Arc::new(TestLogin)).layer(tenants.layer(who));

    let ask = async |login: (&str, String), tenant: &str| {
        let body = Body::new(std::collections::VecDeque::from([1, 2, 3]));
        let request = Request::post(format!("https://acme.example/t/{tenant}/x?y=z"))
            .header(login.0, login.1)
            .body(body)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(stack.clone().oneshot(request).await?)
    };
    let response = ask(app.owner(), &app.slug).await?;
    let (user, tenant) = (app.ctx.user(), app.ctx.tenant());
    assert_eq!(
        *response.body(),
        Text::from(format!("{tenant} {user:?} Ok(3)"))
    );

    let response = ask(login(None), &app.slug).await?;
    assert_eq!(response.status(), 404);
    let id = response.headers().get("x-request-id").unwrap().to_str()?;
    assert!(String::from_utf8(response.body().0.clone())?.contains(id));
    Ok(())
}
