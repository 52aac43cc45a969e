//! The suite of logins, on tokens and on the fake.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use tenancy_core::{
    Authenticate, Error, ErrorKind, Identity, UserId,
    testing::{
        TestLogin,
        conformance::{self, Headers, LoginHost},
    },
};

use crate::issuer::{ISSUER, Result, Signer, World, claims, options};

fn bearer(token: &str) -> Headers {
    vec![("authorization".to_owned(), format!("Bearer {token}"))]
}

fn broken<T>(result: Result<T>) -> std::result::Result<T, Error> {
    result.map_err(|_| Error::new(ErrorKind::Internal, "signer", "the signer broke"))
}

#[async_trait]
impl LoginHost for World {
    fn login(&self) -> Arc<dyn Authenticate> {
        Arc::new(self.login.clone())
    }

    async fn good(&self) -> std::result::Result<(Headers, Identity), Error> {
        let user = self.db.app.user_for(ISSUER, "ada").await?;
        Ok((bearer(&broken(self.rsa.token())?), Identity::new(user)))
    }

    async fn bad(&self) -> std::result::Result<Vec<Headers>, Error> {
        let forged = broken(Signer::rsa("rsa").and_then(|signer| signer.token()))?;
        let mut old = claims();
        old["exp"] = json!(1);
        let expired = broken(self.rsa.sign(&self.rsa.header(), &old))?;
        Ok(vec![bearer(&forged), bearer(&expired)])
    }
}

struct Fake;

#[async_trait]
impl LoginHost for Fake {
    fn login(&self) -> Arc<dyn Authenticate> {
        Arc::new(TestLogin)
    }

    async fn good(&self) -> std::result::Result<(Headers, Identity), Error> {
        let user = UserId::new();
        Ok((bearer(&user.to_string()), Identity::new(user)))
    }

    async fn bad(&self) -> std::result::Result<Vec<Headers>, Error> {
        Ok(vec![bearer("somebody else")])
    }
}

#[tokio::test]
async fn tokens_pass() -> Result {
    Ok(conformance::authenticate(&World::new(options()).await?).await?)
}

#[tokio::test]
async fn the_fake_passes() -> Result {
    Ok(conformance::authenticate(&Fake).await?)
}
