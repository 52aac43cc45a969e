//! The suite of [`RoleDirectory`].

use std::sync::Arc;

use super::unusable;
use crate::{
    Authorizer, Email, Error, ErrorKind, HeldRole, Invitations, NewInvitation, NewTenant,
    RoleDirectory, RoleKey, Slug, TenantCtx, TenantDb, TenantName, Tenants, UserId,
    testing::MemoryAudit,
};

/// What the suite runs on.
struct Bench<'a> {
    db: &'a TenantDb,
    directory: Arc<dyn RoleDirectory>,
    authorizer: Arc<dyn Authorizer>,
    audit: Arc<MemoryAudit>,
}

/// Runs the suite. The authorizer says what became of the roles: it has to be the one that belongs
/// to the directory.
///
/// # Errors
/// What the directory or the database failed with.
///
/// # Panics
/// Where the directory breaks its contract.
pub async fn role_directory(
    db: &TenantDb,
    directory: Arc<dyn RoleDirectory>,
    authorizer: Arc<dyn Authorizer>,
) -> Result<(), Error> {
    let bench = Bench {
        db,
        directory,
        authorizer,
        audit: Arc::new(MemoryAudit::new()),
    };
    seeding_again_changes_nothing(&bench).await?;
    seeding_follows_the_transaction(&bench).await?;
    what_may_be_granted_is_told_without_breaking_the_transaction(&bench).await?;
    an_invitation_gives_its_roles(&bench).await?;
    what_a_member_has_is_told_before_he_goes(&bench).await?;
    roles_are_set_at_once(&bench).await?;
    nobody_invites_into_more_than_he_has(&bench).await
}

impl Bench<'_> {
    async fn tenant(&self) -> Result<TenantCtx, Error> {
        let owner = UserId::new();
        let slug = format!("t-{}", owner.as_uuid().simple());
        let new = NewTenant::new(Slug::parse(&slug)?, TenantName::parse(&slug)?, owner);
        let (authorizer, roles) = (self.authorizer.clone(), self.directory.clone());
        Tenants::new(self.db.clone(), authorizer, roles, self.audit.clone())
            .create(new)
            .await
    }

    async fn member(&self, owner: &TenantCtx) -> Result<TenantCtx, Error> {
        let (authorizer, roles) = (self.authorizer.clone(), self.directory.clone());
        let invitations = Invitations::new(self.db.clone(), authorizer, roles, self.audit.clone());
        let user = UserId::new();
        let email = Email::parse(&format!("{}@example.com", user.as_uuid().simple()))?;
        let new = NewInvitation::new(email.clone(), vec![MEMBER]);
        let sent = invitations.invite(owner, new).await?;
        invitations.accept(sent.token.expose(), user, &email).await
    }

    async fn roles(&self, ctx: &TenantCtx) -> Result<Vec<RoleKey>, Error> {
        let mut tx = self.db.read(ctx).await?;
        self.authorizer.roles_in(&mut tx).await
    }

    async fn seed(&self, ctx: &TenantCtx, commits: bool) -> Result<(), Error> {
        let owner = ctx.user().ok_or_else(|| unusable("an owner is a user"))?;
        let mut tx = self.db.write(ctx).await?;
        self.directory.seed_in(&mut tx, owner).await?;
        if commits {
            tx.commit().await
        } else {
            tx.rollback().await
        }
    }
}

async fn seeding_again_changes_nothing(bench: &Bench<'_>) -> Result<(), Error> {
    let owner = bench.tenant().await?;
    let before = bench.roles(&owner).await?;
    bench.seed(&owner, true).await?;
    let (one, two) = tokio::join!(bench.seed(&owner, true), bench.seed(&owner, true));
    one.and(two)?;
    assert_eq!(bench.roles(&owner).await?, before);
    Ok(())
}

async fn seeding_follows_the_transaction(bench: &Bench<'_>) -> Result<(), Error> {
    let (owner, other) = (bench.tenant().await?, bench.tenant().await?);
    bench.seed(&owner, false).await?;
    bench.seed(&owner, true).await?;
    assert_eq!(bench.roles(&owner).await?, bench.roles(&other).await?);
    Ok(())
}

async fn what_may_be_granted_is_told_without_breaking_the_transaction(
    bench: &Bench<'_>,
) -> Result<(), Error> {
    let owner = bench.tenant().await?;
    let mut tx = bench.db.write(&owner).await?;
    let unknown = RoleKey::from_static("no_such_role");
    let refused = bench
        .directory
        .may_grant_in(&mut tx, &[MEMBER, unknown])
        .await;
    let kind = refused.err().map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::NotFound), "an unknown role");
    bench.directory.may_grant_in(&mut tx, &[MEMBER]).await?;
    bench.directory.may_grant_in(&mut tx, &[]).await?;
    tx.commit().await
}

async fn an_invitation_gives_its_roles(bench: &Bench<'_>) -> Result<(), Error> {
    let owner = bench.tenant().await?;
    let member = bench.member(&owner).await?;
    assert_eq!(bench.roles(&member).await?, [MEMBER]);
    Ok(())
}

async fn what_a_member_has_is_told_before_he_goes(bench: &Bench<'_>) -> Result<(), Error> {
    let owner = bench.tenant().await?;
    let member = bench.member(&owner).await?;
    let user = member
        .user()
        .ok_or_else(|| unusable("a member is a user"))?;
    let mut tx = bench.db.write(&owner).await?;
    let held = bench.directory.held_in(&mut tx, user).await?;
    // Where nothing is stored there is nothing to tell of.
    assert!(
        held.is_empty() || held == [HeldRole::new(MEMBER, None)],
        "{held:?}"
    );
    let nobody = bench.directory.held_in(&mut tx, UserId::new()).await?;
    assert_eq!(nobody, [], "of somebody else");
    tx.commit().await
}

async fn roles_are_set_at_once(bench: &Bench<'_>) -> Result<(), Error> {
    let owner = bench.tenant().await?;
    let member = bench.member(&owner).await?;
    let user = member
        .user()
        .ok_or_else(|| unusable("a member is a user"))?;
    let directory = &bench.directory;
    let mut tx = bench.db.write(&owner).await?;
    let changed = directory.set_roles_in(&mut tx, user, &[MEMBER]).await?;
    assert_eq!(changed, None, "what is so already is no change");
    let unknown = RoleKey::from_static("no_such_role");
    let refused = directory.set_roles_in(&mut tx, user, &[unknown]).await;
    let kind = refused.err().map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::NotFound), "an unknown role");
    tx.commit().await?;
    assert_eq!(bench.roles(&member).await?, [MEMBER]);
    Ok(())
}

async fn nobody_invites_into_more_than_he_has(bench: &Bench<'_>) -> Result<(), Error> {
    let owner = bench.tenant().await?;
    let member = bench.member(&owner).await?;
    let mut tx = bench.db.write(&member).await?;
    let refused = bench.directory.may_grant_in(&mut tx, &[OWNER]).await;
    let kind = refused.err().map(|error| error.kind());
    // Where there are no roles there is none of this name either.
    assert!(
        matches!(kind, Some(ErrorKind::Denied | ErrorKind::NotFound)),
        "{kind:?}"
    );
    tx.commit().await
}

const MEMBER: RoleKey = RoleKey::from_static("member");
const OWNER: RoleKey = RoleKey::from_static("owner");
