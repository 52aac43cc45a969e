//! Fakes of the shared ports that keep everything in memory.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use async_trait::async_trait;

use super::conformance::{AuditReader, PlatformReader, SeenEntry};
use crate::{
    ActionKey, AuditSink, Authenticate, Authorizer, Credential, CredentialId, CredentialSource,
    Decision, DenyReason, Error, ErrorKind, Event, Identity, JobProgress, Kept, Outcome,
    PermissionKey, PlatformEvent, PlatformLog, Principal, RequestHead, RequestId, RoleKey,
    SecretText, TenantCtx, TenantId, TenantTx, UserId, model::Fold,
};

type Shared<K, V> = Arc<Mutex<HashMap<K, V>>>;

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry that a [`MemoryAudit`] keeps.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recorded {
    /// In which tenant.
    pub tenant: TenantId,
    /// By whom.
    pub principal: Principal,
    /// In which request.
    pub request: RequestId,
    /// What happened.
    pub event: Event,
}

/// An audit log in memory. Entries of a transaction appear when it commits; it remembers no keys and hides
/// no secrets.
#[derive(Clone, Debug, Default)]
pub struct MemoryAudit(Arc<Mutex<Vec<Recorded>>>);

impl MemoryAudit {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every entry, oldest first.
    pub fn entries(&self) -> Vec<Recorded> {
        locked(&self.0).clone()
    }

    /// The entries of one action.
    pub fn of(&self, action: &str) -> Vec<Recorded> {
        self.entries()
            .into_iter()
            .filter(|entry| entry.event.action == action)
            .collect()
    }

    /// As a real log does, it refuses what is no action before anything is kept.
    fn entry(ctx: &TenantCtx, event: Event) -> Result<Recorded, Error> {
        ActionKey::parse(event.action.clone())?;
        Ok(Recorded {
            tenant: ctx.tenant(),
            principal: ctx.principal().clone(),
            request: ctx.request_id(),
            event,
        })
    }
}

#[async_trait]
impl AuditReader for MemoryAudit {
    async fn entries(&self, ctx: &TenantCtx) -> Result<Vec<SeenEntry>, Error> {
        let mine = |entry: &Recorded| entry.tenant == ctx.tenant();
        let kept = Self::entries(self).into_iter().filter(mine);
        Ok(kept.map(SeenEntry::from).collect())
    }
}

impl From<Recorded> for SeenEntry {
    fn from(entry: Recorded) -> Self {
        let Recorded {
            principal,
            request,
            event,
            ..
        } = entry;
        Self {
            action: event.action,
            outcome: event.outcome,
            actor_kind: principal.actor.kind().to_owned(),
            actor_id: principal.actor.id(),
            on_behalf_of: principal.on_behalf_of,
            request: Some(request),
            targets: event.targets,
            meta: event.meta,
        }
    }
}

#[async_trait]
impl AuditSink for MemoryAudit {
    async fn record(&self, ctx: &TenantCtx, event: Event) -> Result<(), Error> {
        let entry = Self::entry(ctx, event)?;
        locked(&self.0).push(entry);
        Ok(())
    }

    async fn record_in(&self, tx: &mut TenantTx, event: Event) -> Result<Kept, Error> {
        let (log, entry) = (self.0.clone(), Self::entry(tx.ctx(), event)?);
        let (targets, meta) = (entry.event.targets.clone(), entry.event.meta.clone());
        tx.after_commit(move || locked(&log).push(entry));
        Ok(Kept::New { targets, meta })
    }
}

/// Counts what happened outside of every tenant, in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryPlatformLog(Arc<Mutex<Fold>>);

impl MemoryPlatformLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every event with how often it happened; what comes after two hundred different ones is
    /// folded together.
    pub fn events(&self) -> HashMap<PlatformEvent, u64> {
        locked(&self.0).pending().clone()
    }
}

#[async_trait]
impl PlatformLog for MemoryPlatformLog {
    fn note(&self, event: PlatformEvent) {
        locked(&self.0).add(event, 200, Instant::now());
    }

    async fn flush(&self) {}
}

#[async_trait]
impl PlatformReader for MemoryPlatformLog {
    async fn counts(&self, code: &str) -> Result<Vec<u64>, Error> {
        let events = self.events().into_iter();
        Ok(events
            .filter(|(event, _)| event.code == code)
            .map(|(_, count)| count)
            .collect())
    }
}

/// Decides by what a test granted; records denials in a [`MemoryAudit`].
#[derive(Clone, Debug, Default)]
pub struct FakeAuthorizer {
    all: bool,
    granted: Arc<Mutex<HashSet<(TenantId, UserId, PermissionKey)>>>,
    roles: Shared<(TenantId, UserId), Vec<RoleKey>>,
    audit: MemoryAudit,
}

impl FakeAuthorizer {
    /// Denies everything that is not granted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows everything.
    pub fn allowing_all() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }

    /// Records denials there.
    pub fn with_audit(mut self, audit: MemoryAudit) -> Self {
        self.audit = audit;
        self
    }

    /// Grants a permission to the context's user.
    pub fn grant(&self, ctx: &TenantCtx, permission: PermissionKey) {
        if let Some(user) = ctx.user() {
            locked(&self.granted).insert((ctx.tenant(), user, permission));
        }
    }

    /// Takes a permission from the context's user.
    pub fn revoke(&self, ctx: &TenantCtx, permission: &PermissionKey) {
        if let Some(user) = ctx.user() {
            locked(&self.granted).remove(&(ctx.tenant(), user, permission.clone()));
        }
    }

    /// Says which roles the context's user has.
    pub fn set_roles(&self, ctx: &TenantCtx, mut roles: Vec<RoleKey>) {
        roles.sort();
        roles.dedup();
        if let Some(user) = ctx.user() {
            locked(&self.roles).insert((ctx.tenant(), user), roles);
        }
    }

    fn decide(&self, ctx: &TenantCtx, permission: &PermissionKey) -> Decision {
        let brought = ctx.principal().actor.permissions();
        let has = |user| {
            self.all || locked(&self.granted).contains(&(ctx.tenant(), user, permission.clone()))
        };
        let held = match (brought, ctx.user().or(ctx.maker())) {
            (Some(brought), None) => brought.contains(permission),
            (Some(brought), Some(maker)) => brought.contains(permission) && has(maker),
            (None, Some(user)) => has(user),
            (None, None) => false,
        };
        if held && !ctx.principal().is_closed_to(permission) {
            Decision::Allow
        } else {
            Decision::Deny(DenyReason::NotGranted)
        }
    }
}

#[async_trait]
impl Authorizer for FakeAuthorizer {
    async fn check(&self, ctx: &TenantCtx, permission: &PermissionKey) -> Result<Decision, Error> {
        Ok(self.decide(ctx, permission))
    }

    async fn check_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<Decision, Error> {
        Ok(self.decide(tx.ctx(), permission))
    }

    async fn require_key(&self, ctx: &TenantCtx, permission: &PermissionKey) -> Result<(), Error> {
        if self.decide(ctx, permission).is_allowed() {
            return Ok(());
        }
        let event = Event::new("access.denied")
            .outcome(Outcome::Denied)
            .target("permission", permission);
        self.audit.record(ctx, event).await?;
        Err(Error::denied(permission))
    }

    async fn require_key_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<(), Error> {
        let ctx = tx.ctx().clone();
        self.require_key(&ctx, permission).await
    }

    async fn roles_in(&self, tx: &mut TenantTx) -> Result<Vec<RoleKey>, Error> {
        let ctx = tx.ctx();
        let Some(user) = ctx.user() else {
            return Ok(Vec::new());
        };
        Ok(locked(&self.roles)
            .get(&(ctx.tenant(), user))
            .cloned()
            .unwrap_or_default())
    }
}

/// Gives out the credentials a test stored; each renewal counts the generation up.
#[derive(Clone, Debug, Default)]
pub struct FakeCredentials(Shared<(TenantId, CredentialId), (String, i64)>);

impl FakeCredentials {
    /// Knows no credential.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores a credential for the context's tenant.
    pub fn put(&self, ctx: &TenantCtx, secret: &str) -> CredentialId {
        let id = CredentialId::new();
        locked(&self.0).insert((ctx.tenant(), id), (secret.to_owned(), 1));
        id
    }

    /// Replaces what the next renewal gives out.
    pub fn replace(&self, ctx: &TenantCtx, id: CredentialId, secret: &str) {
        if let Some(known) = locked(&self.0).get_mut(&(ctx.tenant(), id)) {
            *known = (secret.to_owned(), known.1 + 1);
        }
    }
}

#[async_trait]
impl CredentialSource for FakeCredentials {
    async fn credential(&self, ctx: &TenantCtx, id: CredentialId) -> Result<Credential, Error> {
        let known = locked(&self.0).get(&(ctx.tenant(), id)).cloned();
        let (secret, generation) = known.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "credential_unknown",
                "there is no such credential",
            )
        })?;
        Ok(Credential::new(SecretText::new(secret), generation))
    }

    async fn renewed(
        &self,
        ctx: &TenantCtx,
        id: CredentialId,
        _: i64,
    ) -> Result<Credential, Error> {
        self.credential(ctx, id).await
    }
}

/// Ignores progress.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit")]
pub struct NoProgress;

#[async_trait]
impl JobProgress for NoProgress {
    async fn report(&self, _: u64, _: u64) {}
}

/// Takes the bearer token for the user's id. Whoever knows an id is that user: tests only.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit")]
pub struct TestLogin;

#[async_trait]
impl Authenticate for TestLogin {
    async fn authenticate(&self, request: &RequestHead) -> Result<Option<Identity>, Error> {
        let Some(token) = request.bearer() else {
            return Ok(None);
        };
        let user = token.parse().map_err(|_| {
            Error::new(
                ErrorKind::Unauthenticated,
                "login_invalid",
                "this login is not valid",
            )
        })?;
        Ok(Some(Identity::new(user)))
    }
}
