//! The suite of [`Authorizer`].

use std::sync::Arc;

use async_trait::async_trait;

use sha2::Digest as _;

use super::{SeenEntry, unusable};
use crate::{
    ApiKeyId, ApiKeyStore as _, Authorizer, Error, ErrorKind, NewApiKey, Outcome, PermissionKey,
    PgStore, Principal, ServiceKey, StoredKey, TenantCtx, TenantDb, TenantId, TenantName, UserId,
    testing,
};

/// What the suite needs of whoever runs it: people with and without rights, and the log.
#[async_trait]
pub trait AuthorizerHost: Send + Sync {
    /// The database that the contexts belong to.
    fn db(&self) -> &TenantDb;

    /// The authorizer under test.
    fn authorizer(&self) -> Arc<dyn Authorizer>;

    /// The same one over an audit log that refuses everything, where it can be built so.
    fn with_a_broken_log(&self) -> Option<Arc<dyn Authorizer>>;

    /// What is asked for.
    fn permission(&self) -> PermissionKey;

    /// Somebody who holds the permission, in a fresh tenant.
    async fn holder(&self) -> Result<TenantCtx, Error>;

    /// Adds this user to the holder's tenant, without the permission.
    async fn member(&self, holder: &TenantCtx, user: UserId) -> Result<TenantCtx, Error>;

    /// Takes the permission from the holder.
    async fn revoke(&self, holder: &TenantCtx) -> Result<(), Error>;

    /// The denials on record in the context's tenant, oldest first.
    async fn denials(&self, ctx: &TenantCtx) -> Result<Vec<SeenEntry>, Error>;
}

/// Runs the suite.
///
/// # Errors
/// What the authorizer or the database failed with.
///
/// # Panics
/// Where the authorizer breaks its contract.
pub async fn authorizer(host: &dyn AuthorizerHost) -> Result<(), Error> {
    asking_leaves_no_entry(host).await?;
    each_denial_leaves_one_entry(host).await?;
    a_denial_outlives_the_rollback_and_leaves_the_transaction_usable(host).await?;
    a_denial_that_can_not_be_recorded_is_a_denial(host).await?;
    a_service_has_exactly_what_it_brings(host).await?;
    a_key_goes_no_further_than_its_maker(host).await?;
    a_stranger_is_told_the_same_each_way(host).await?;
    rights_count_in_their_own_tenant_only(host).await?;
    whoever_is_impersonated_counts(host).await?;
    inside_a_transaction_nothing_is_stale(host).await?;
    many_denials_at_once_are_as_many_entries(host).await
}

/// A tenant with somebody who holds the permission and somebody who does not.
async fn two(host: &dyn AuthorizerHost) -> Result<(TenantCtx, TenantCtx), Error> {
    let holder = host.holder().await?;
    let lacking = host.member(&holder, UserId::new()).await?;
    Ok((holder, lacking))
}

/// Asked outside and inside a transaction; both say the same.
async fn allowed(host: &dyn AuthorizerHost, ctx: &TenantCtx) -> Result<bool, Error> {
    let (authorizer, permission) = (host.authorizer(), host.permission());
    let aside = authorizer.check(ctx, &permission).await?;
    let mut tx = host.db().read(ctx).await?;
    let inside = authorizer.check_in(&mut tx, &permission).await?;
    assert_eq!(aside, inside, "with the same reason: {ctx:?}");
    Ok(inside.is_allowed())
}

async fn asking_leaves_no_entry(host: &dyn AuthorizerHost) -> Result<(), Error> {
    let (holder, lacking) = two(host).await?;
    assert!(allowed(host, &holder).await?, "a holder is allowed");
    assert!(!allowed(host, &lacking).await?, "nobody else is");
    let denials = host.denials(&holder).await?;
    assert_eq!(denials.len(), 0, "asking is no attempt: {denials:?}");
    Ok(())
}

async fn each_denial_leaves_one_entry(host: &dyn AuthorizerHost) -> Result<(), Error> {
    let (holder, lacking) = two(host).await?;
    let (authorizer, permission) = (host.authorizer(), host.permission());
    authorizer.require_key(&holder, &permission).await?;
    assert_eq!(host.denials(&holder).await?.len(), 0);
    assert_denied(authorizer.require_key(&lacking, &permission).await);
    let denials = host.denials(&holder).await?;
    assert_eq!(denials.len(), 1, "one denial, one entry: {denials:?}");
    for denial in denials {
        let actor = lacking.user().map(|user| user.to_string());
        assert_eq!(Some(denial.actor_id), actor);
        assert_eq!(denial.outcome, Outcome::Denied);
        assert_eq!(denial.request, Some(lacking.request_id()));
        let named = denial
            .targets
            .iter()
            .any(|target| target.id == permission.as_str());
        assert!(
            named,
            "the entry names the permission: {:?}",
            denial.targets
        );
    }
    Ok(())
}

fn assert_denied(answer: Result<(), Error>) {
    let error = answer.err();
    let kind = error.as_ref().map(Error::kind);
    assert_eq!(kind, Some(ErrorKind::Denied));
    assert!(
        error.is_some_and(|error| error.is_on_record() && !error.retry().is_retryable()),
        "a denial says that it is on record, and is not tried again"
    );
}

async fn a_denial_outlives_the_rollback_and_leaves_the_transaction_usable(
    host: &dyn AuthorizerHost,
) -> Result<(), Error> {
    let (_, lacking) = two(host).await?;
    let (authorizer, permission) = (host.authorizer(), host.permission());
    let mut tx = host.db().write(&lacking).await?;
    assert_denied(authorizer.require_key_in(&mut tx, &permission).await);
    let alive: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut *tx).await?;
    assert_eq!(alive, 1);
    tx.rollback().await?;
    assert_eq!(host.denials(&lacking).await?.len(), 1);
    Ok(())
}

async fn a_denial_that_can_not_be_recorded_is_a_denial(
    host: &dyn AuthorizerHost,
) -> Result<(), Error> {
    let Some(authorizer) = host.with_a_broken_log() else {
        return Ok(());
    };
    let (holder, lacking) = two(host).await?;
    let permission = host.permission();
    authorizer.require_key(&holder, &permission).await?;
    let refused = authorizer.require_key(&lacking, &permission).await;
    let kind = refused.err().map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::Denied));
    Ok(())
}

async fn a_service_has_exactly_what_it_brings(host: &dyn AuthorizerHost) -> Result<(), Error> {
    let holder = host.holder().await?;
    let (authorizer, permission) = (host.authorizer(), host.permission());
    let key = ServiceKey::from_static("suite");
    let other = PermissionKey::from_static("suite.other");
    for (brought, expected) in [(permission.clone(), true), (other, false)] {
        let service = host
            .db()
            .enter_system(holder.tenant(), key.clone(), vec![brought])
            .await?;
        assert_eq!(allowed(host, &service).await?, expected);
        let mut tx = host.db().read(&service).await?;
        let roles = authorizer.roles_in(&mut tx).await?;
        assert!(roles.is_empty(), "a service has no roles: {roles:?}");
        if !expected {
            assert_denied(authorizer.require_key(&service, &permission).await);
        }
    }
    let denials = host.denials(&holder).await?;
    let actors: Vec<_> = denials
        .iter()
        .map(|denial| denial.actor_kind.as_str())
        .collect();
    assert_eq!(actors, ["service"]);
    Ok(())
}

async fn a_key_goes_no_further_than_its_maker(host: &dyn AuthorizerHost) -> Result<(), Error> {
    let (holder, permission) = (host.holder().await?, host.permission());
    let store = PgStore::new(host.db().clone());
    let other = PermissionKey::from_static("suite.other");
    for (brought, expected) in [(permission.clone(), true), (other, false)] {
        let stored = StoredKey {
            id: ApiKeyId::new(),
            prefix: "suite".to_owned(),
            hash: sha2::Sha256::digest(TenantId::new().as_uuid()).into(),
        };
        let new = NewApiKey::new(TenantName::parse("suite")?, vec![brought.clone()]);
        let mut tx = host.db().write(&holder).await?;
        store.create_in(&mut tx, &new, &stored, 100).await?;
        tx.commit().await?;
        let principal = Principal::api_key(stored.id, vec![brought]);
        let key = host.db().enter_as(holder.tenant(), principal).await?;
        assert_eq!(allowed(host, &key).await?, expected);
        let asked = async || {
            let mut tx = host.db().read(&key).await?;
            host.authorizer().check_in(&mut tx, &permission).await
        };
        assert_eq!(asked().await?.is_allowed(), expected);
        if expected {
            host.revoke(&holder).await?;
            assert!(!asked().await?.is_allowed(), "its maker may not any more");
        }
    }
    Ok(())
}

async fn a_stranger_is_told_the_same_each_way(host: &dyn AuthorizerHost) -> Result<(), Error> {
    let (holder, authorizer) = (host.holder().await?, host.authorizer());
    let stranger = testing::imagined(holder.tenant(), Principal::user(UserId::new()));
    let unheard = PermissionKey::from_static("suite.unheard");
    let said = |error: &Error| (error.kind(), error.code(), error.is_on_record());
    let mut told = Vec::new();
    for permission in [host.permission(), unheard] {
        let mut tx = host.db().read(&stranger).await?;
        let aside = authorizer.check(&stranger, &permission).await?;
        let inside = authorizer.check_in(&mut tx, &permission).await?;
        assert!(
            !aside.is_allowed() && aside == inside,
            "{aside:?}, {inside:?}"
        );
        for refused in [
            authorizer.require_key(&stranger, &permission).await,
            authorizer.require_key_in(&mut tx, &permission).await,
        ] {
            let refused = refused
                .err()
                .ok_or_else(|| unusable("a stranger holds something"))?;
            let is_named = refused.to_string().contains(permission.as_str());
            assert!(
                refused.kind() != ErrorKind::NotAMember || !is_named,
                "who is out is not told what is asked for: {refused}"
            );
            told.push(said(&refused));
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "no answer differs: {told:?}");
    Ok(())
}

async fn rights_count_in_their_own_tenant_only(host: &dyn AuthorizerHost) -> Result<(), Error> {
    let (here, elsewhere) = (host.holder().await?, host.holder().await?);
    let user = here.user().ok_or_else(|| unusable("a holder is a user"))?;
    let guest = host.member(&elsewhere, user).await?;
    assert!(allowed(host, &here).await?);
    assert!(!allowed(host, &guest).await?, "rights of another tenant");
    Ok(())
}

async fn whoever_is_impersonated_counts(host: &dyn AuthorizerHost) -> Result<(), Error> {
    let (holder, lacking) = two(host).await?;
    let (Some(strong), Some(weak)) = (holder.user(), lacking.user()) else {
        return Err(unusable("a holder and a member are users"));
    };
    for (actor, impersonated, expected) in [(strong, weak, false), (weak, strong, true)] {
        let ctx = testing::acting_for(&holder, actor, impersonated);
        assert_eq!(allowed(host, &ctx).await?, expected);
    }
    Ok(())
}

async fn inside_a_transaction_nothing_is_stale(host: &dyn AuthorizerHost) -> Result<(), Error> {
    let holder = host.holder().await?;
    let (authorizer, permission) = (host.authorizer(), host.permission());
    let mut tx = host.db().read(&holder).await?;
    assert!(
        authorizer
            .check_in(&mut tx, &permission)
            .await?
            .is_allowed()
    );
    let roles = authorizer.roles_in(&mut tx).await?;
    assert!(
        roles.is_sorted_by(|a, b| a < b),
        "sorted, each once: {roles:?}"
    );
    host.revoke(&holder).await?;
    let decision = authorizer.check_in(&mut tx, &permission).await?;
    assert!(!decision.is_allowed(), "revoked before the question");
    assert_denied(authorizer.require_key_in(&mut tx, &permission).await);
    Ok(())
}

async fn many_denials_at_once_are_as_many_entries(host: &dyn AuthorizerHost) -> Result<(), Error> {
    let (_, lacking) = two(host).await?;
    let permission = host.permission();
    let one = || {
        let (authorizer, ctx, permission) =
            (host.authorizer(), lacking.clone(), permission.clone());
        tokio::spawn(async move { authorizer.require_key(&ctx, &permission).await })
    };
    let tasks: Vec<_> = (0..20).map(|_| one()).collect();
    for task in tasks {
        assert_denied(task.await.map_err(|_| unusable("a task panicked"))?);
    }
    assert_eq!(host.denials(&lacking).await?.len(), 20);
    Ok(())
}
