//! Tenants and members in one line.

use std::{collections::HashMap, fmt, sync::Arc};

use super::{FakeAuthorizer, MemoryAudit};
use crate::{
    Access, Email, Error, ErrorKind, Invitations, NewInvitation, NewTenant, NoRoles, Principal,
    RoleDirectory, RoleKey, Slug, TenantCtx, TenantDb, TenantId, TenantName, Tenants, UserId,
};

const MEMBER: &str = "member";

/// A tenant with its owner and its members, each with the roles a test says.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{Error, RoleDirectory, TenantDb, testing::TestTenant};
/// # async fn run(db: TenantDb, roles: Arc<dyn RoleDirectory>) -> Result<(), Error> {
/// let acme = TestTenant::builder(&db)
///     .with_roles(roles)
///     .with_member("bob", &["support"])
///     .with_member("eve", &["member", "viewer"])
///     .create()
///     .await?;
/// let tx = db.read(acme.member("bob")?).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TestTenant {
    owner: TenantCtx,
    members: HashMap<String, TenantCtx>,
}

impl TestTenant {
    /// Starts with a tenant that has an owner only, and keeps no roles.
    pub fn builder(db: &TenantDb) -> TestTenantBuilder {
        TestTenantBuilder {
            db: db.clone(),
            roles: Arc::new(NoRoles::new()),
            owner: UserId::new(),
            members: Vec::new(),
        }
    }

    /// The tenant.
    pub fn id(&self) -> TenantId {
        self.owner.tenant()
    }

    /// Its owner, inside.
    pub fn owner(&self) -> &TenantCtx {
        &self.owner
    }

    /// A member by the name that the test gave him, inside.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a name that was not given.
    pub fn member(&self, name: &str) -> Result<&TenantCtx, Error> {
        self.members.get(name).ok_or_else(|| {
            let message = format!("this test has no member `{name}`");
            Error::new(ErrorKind::NotFound, "member_not_found", message)
        })
    }

    /// The user of a member.
    ///
    /// # Errors
    /// As [`member`](Self::member).
    pub fn user(&self, name: &str) -> Result<UserId, Error> {
        let user = self.member(name)?.user();
        user.ok_or_else(|| Error::new(ErrorKind::Internal, "no_user", "a member is a user"))
    }
}

/// What a [`TestTenant`] will be.
pub struct TestTenantBuilder {
    db: TenantDb,
    roles: Arc<dyn RoleDirectory>,
    owner: UserId,
    members: Vec<(String, UserId, Vec<&'static str>)>,
}

impl TestTenantBuilder {
    /// Seeds and gives roles there.
    pub fn with_roles(mut self, roles: Arc<dyn RoleDirectory>) -> Self {
        self.roles = roles;
        self
    }

    /// Lets this user be the owner.
    pub fn with_owner(mut self, owner: UserId) -> Self {
        self.owner = owner;
        self
    }

    /// Adds a fresh user with these roles; `member`, if there are none.
    pub fn with_member(self, name: &str, roles: &[&'static str]) -> Self {
        self.with_user(name, UserId::new(), roles)
    }

    /// Adds this user with these roles; `member`, if there are none.
    pub fn with_user(mut self, name: &str, user: UserId, roles: &[&'static str]) -> Self {
        let roles = if roles.is_empty() { &[MEMBER] } else { roles };
        self.members.push((name.to_owned(), user, roles.to_vec()));
        self
    }

    /// Makes all of it.
    pub async fn create(self) -> Result<TestTenant, Error> {
        let owner = found(&self.db, self.roles.clone(), self.owner).await?;
        let mut members = HashMap::new();
        for (name, user, roles) in self.members {
            let ctx = bring_in(&self.db, self.roles.clone(), &owner, user, &roles).await?;
            members.insert(name, ctx);
        }
        Ok(TestTenant { owner, members })
    }
}

impl fmt::Debug for TestTenantBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestTenantBuilder")
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

/// Creates a tenant with a fresh name and owner, without roles and audit.
pub async fn tenant(db: &TenantDb) -> Result<TenantCtx, Error> {
    found(db, Arc::new(NoRoles::new()), UserId::new()).await
}

/// Adds a fresh member to the tenant of `owner`, and enters as him.
pub async fn member(db: &TenantDb, owner: &TenantCtx) -> Result<TenantCtx, Error> {
    join(db, owner, UserId::new()).await
}

/// Adds this user to the tenant of `owner`, and enters as him.
pub async fn join(db: &TenantDb, owner: &TenantCtx, user: UserId) -> Result<TenantCtx, Error> {
    bring_in(db, Arc::new(NoRoles::new()), owner, user, &[MEMBER]).await
}

/// A context as support has it while it acts for a member of the tenant of `ctx`; no session is
/// behind it, so that it can't be entered again.
pub fn acting_for(ctx: &TenantCtx, support: UserId, member: UserId) -> TenantCtx {
    let principal = Principal::user(support).on_behalf_of(member);
    TenantCtx::proven(ctx.tenant(), principal, Access::ReadWrite)
}

/// A context that no database vouched for, for tests that ask none.
pub fn imagined(tenant: TenantId, principal: Principal) -> TenantCtx {
    TenantCtx::proven(tenant, principal, Access::ReadWrite)
}

async fn found(
    db: &TenantDb,
    roles: Arc<dyn RoleDirectory>,
    owner: UserId,
) -> Result<TenantCtx, Error> {
    let slug = format!("t-{}", TenantId::new().as_uuid().simple());
    let new = NewTenant::new(Slug::parse(&slug)?, TenantName::parse(&slug)?, owner);
    let (everybody, audit) = (FakeAuthorizer::allowing_all(), MemoryAudit::new());
    Tenants::new(db.clone(), Arc::new(everybody), roles, Arc::new(audit))
        .create(new)
        .await
}

async fn bring_in(
    db: &TenantDb,
    roles: Arc<dyn RoleDirectory>,
    owner: &TenantCtx,
    user: UserId,
    keys: &[&'static str],
) -> Result<TenantCtx, Error> {
    let (everybody, audit) = (FakeAuthorizer::allowing_all(), MemoryAudit::new());
    let invitations = Invitations::new(db.clone(), Arc::new(everybody), roles, Arc::new(audit));
    let email = Email::parse(&format!("{}@example.com", user.as_uuid().simple()))?;
    let keys = keys.iter().map(|key| RoleKey::from_static(key)).collect();
    let sent = invitations
        .invite(owner, NewInvitation::new(email.clone(), keys))
        .await?;
    invitations.accept(sent.token.expose(), user, &email).await
}
