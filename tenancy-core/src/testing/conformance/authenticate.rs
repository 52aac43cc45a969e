use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::join_all;

use super::unusable;
use crate::{Authenticate, Error, ErrorKind, Identity, RequestHead};

/// The headers of a request, names in lower case.
pub type Headers = Vec<(String, String)>;

/// A login under test, and requests that it knows.
#[async_trait]
pub trait LoginHost: Send + Sync {
    /// The login.
    fn login(&self) -> Arc<dyn Authenticate>;

    /// A request that it lets through, and as whom.
    async fn good(&self) -> Result<(Headers, Identity), Error>;

    /// Requests with a login of its kind that is not valid: forged, expired, withdrawn. At least
    /// one.
    async fn bad(&self) -> Result<Vec<Headers>, Error>;
}

/// Whoever has a valid login is let through as himself, whoever has none is nobody, and whoever has
/// an invalid one is refused, without a word of it in the error.
pub async fn authenticate(host: &dyn LoginHost) -> Result<(), Error> {
    let login = host.login();
    nobody(&*login).await?;
    somebody(host, &*login).await?;
    refused(host, &*login).await?;
    nonsense(&*login).await
}

fn head(headers: Headers) -> RequestHead {
    RequestHead::new("GET", "/t/acme/things?x=y", headers)
}

async fn nobody(login: &dyn Authenticate) -> Result<(), Error> {
    let other = [("accept", "*/*"), ("x-tenant", "acme"), ("x-user", "admin")];
    let other = other.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for headers in [Headers::new(), other.to_vec()] {
        let found = login.authenticate(&head(headers)).await?;
        assert_eq!(found, None, "a request without a login is nobody's");
    }
    Ok(())
}

async fn somebody(host: &dyn LoginHost, login: &dyn Authenticate) -> Result<(), Error> {
    let (headers, identity) = host.good().await?;
    let request = head(headers);
    // Cut off after its first step, it has no effect on those that follow.
    let cut = tokio::time::timeout(Duration::ZERO, login.authenticate(&request)).await;
    drop(cut);
    let many = (0..16).map(|_| login.authenticate(&request));
    for found in join_all(many).await {
        assert_eq!(
            found?.as_ref(),
            Some(&identity),
            "a valid login is its owner"
        );
    }
    Ok(())
}

async fn refused(host: &dyn LoginHost, login: &dyn Authenticate) -> Result<(), Error> {
    let all = host.bad().await?;
    if all.is_empty() {
        return Err(unusable("no invalid login to try"));
    }
    for headers in all {
        is_refused(login, headers).await;
    }
    Ok(())
}

async fn nonsense(login: &dyn Authenticate) -> Result<(), Error> {
    let long = "a".repeat(100_000);
    let dots = ".".repeat(10_000);
    for token in [
        "null",
        "undefined",
        "..",
        "a.b.c",
        "tk_live_x_y",
        "' OR 1=1 --",
        "\u{202e}\u{0}\u{7f}",
        &long,
        &dots,
    ] {
        let header = ("authorization".to_owned(), format!("Bearer {token}"));
        is_refused(login, vec![header]).await;
    }
    Ok(())
}

async fn is_refused(login: &dyn Authenticate, headers: Headers) {
    let values: Vec<String> = headers
        .iter()
        .flat_map(|(_, value)| value.split([' ', '.']))
        .filter(|part| part.len() > 12)
        .map(ToOwned::to_owned)
        .collect();
    let answered = login.authenticate(&head(headers)).await;
    assert!(
        !matches!(answered, Ok(Some(_))),
        "an invalid login is not let through"
    );
    assert!(answered.is_err(), "an invalid login is not nobody's");
    let Err(error) = answered else {
        return;
    };
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    assert!(!error.retry().is_retryable(), "trying again does not help");
    assert!(!error.code().is_empty());
    let shown = format!("{error} {error:?}");
    for value in values {
        assert!(!shown.contains(&value), "the error repeats the login");
    }
}
