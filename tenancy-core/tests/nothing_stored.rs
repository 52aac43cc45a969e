//! What nobody should send stores nothing, and is answered by an error that says whose fault it is.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{fmt::Debug, sync::Arc};

use tenancy_core::{
    ApiKeyLogin, Authenticate as _, Email, Error, ErrorKind, Invitations, NewImpersonation,
    NoAudit, NoRoles, RequestHead, Setting, Settings, Support, Tenants, UserId,
    migrate::CORE,
    testing::{self, FakeAuthorizer},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const GREETING: Setting<String> = Setting::new("shop.greeting", "what visitors read", String::new);

/// Texts that no part of the family takes for anything.
fn hostile() -> Vec<String> {
    let mut texts = [
        "\0",
        "a\0b",
        "'; DROP TABLE tenancy.tenants; --\0",
        "{\"a\": \"\\u0000\"}\0",
        "\u{202e}\0",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    texts.extend(["a", "\u{10ffff}", "é"].map(|one| one.repeat(20_000)));
    texts
}

/// Nobody's fault but the sender's, and no news to him either.
#[track_caller]
fn refused<T: Debug>(text: &str, what: &str, answer: std::result::Result<T, Error>) {
    let shown: String = text.chars().take(20).collect();
    let error = answer.expect_err(&format!("{what} took {shown:?}"));
    let kinds = [
        ErrorKind::InvalidInput,
        ErrorKind::NotFound,
        ErrorKind::Unauthenticated,
    ];
    assert!(
        kinds.contains(&error.kind()),
        "{what} of {shown:?}: {error:?}"
    );
    assert!(
        !error.retry().is_retryable(),
        "{what} of {shown:?}: trying again is of no use"
    );
    assert!(
        error.to_string().len() < 1_024,
        "{what}: the answer is as long as the question"
    );
}

#[tokio::test]
async fn what_nobody_should_send_stores_nothing_and_is_the_senders_fault() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let (db, owner) = (&kit.app, testing::tenant(&kit.app).await?);
    let (authz, audit) = (
        Arc::new(FakeAuthorizer::allowing_all()),
        Arc::new(NoAudit::new()),
    );
    let roles = Arc::new(NoRoles::new());
    let tenants = Tenants::new(db.clone(), authz.clone(), roles.clone(), audit.clone());
    let invitations = Invitations::new(db.clone(), authz.clone(), roles, audit.clone());
    let settings = Settings::new(db.clone(), authz.clone(), audit.clone());
    let support = Support::new(db.clone(), authz, audit);
    let keys = ApiKeyLogin::new(db.clone());
    let (user, email) = (UserId::new(), Email::parse("ada@example.com")?);

    let superuser = kit.superuser().await?;
    let before = tenancy_testkit::rows(&superuser).await?;
    for text in hostile() {
        refused(&text, "a subject", db.user_for("issuer", &text).await);
        refused(&text, "an issuer", db.user_for(&text, "subject").await);
        refused(
            &text,
            "a token",
            invitations.accept(&text, user, &email).await,
        );
        refused(
            &text,
            "a token",
            invitations.decline(&text, user, &email).await,
        );
        refused(
            &text,
            "a setting",
            settings.set(&owner, &GREETING, &text).await,
        );
        let new = NewImpersonation::new(owner.tenant(), user, user, text.as_str());
        refused(&text, "a reason", support.start(new).await);
        let header = ("authorization".to_owned(), format!("Bearer tk_{text}"));
        let head = RequestHead::new("GET", "/", vec![header]);
        refused(&text, "a key", keys.authenticate(&head).await);
        assert!(tenants.by_slug(&text).await?.is_none());
    }
    assert_eq!(tenancy_testkit::rows(&superuser).await?, before);
    Ok(())
}
