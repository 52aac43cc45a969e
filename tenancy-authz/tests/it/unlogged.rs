//! What the audit log does not take is not done: no change of a policy, by whichever way, and none of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use tenancy_authz::{ImportOptions, NewRole, PgAuthorizer, Roles};
use tenancy_core::{
    AuditSink, Email, Error, ErrorKind, Event, Invitations, Kept, Members, NewInvitation,
    Ownership, TenantCtx, TenantTx, UserId,
};

use crate::support::{PURGE, Result, WRITE, World, name, role, user, wildcard};

/// A log that takes so many entries, and goes down.
struct Takes(AtomicUsize);

impl Takes {
    fn one(&self) -> Result<(), Error> {
        let (set, read) = (Ordering::SeqCst, Ordering::SeqCst);
        let left = self.0.fetch_update(set, read, |left| left.checked_sub(1));
        let down = |_| {
            Error::new(
                ErrorKind::Unavailable,
                "audit_down",
                "the audit log is down",
            )
        };
        left.map(drop).map_err(down)
    }
}

#[async_trait]
impl AuditSink for Takes {
    async fn record(&self, _: &TenantCtx, _: Event) -> Result<(), Error> {
        self.one()
    }

    async fn record_in(&self, _: &mut TenantTx, _: Event) -> Result<Kept, Error> {
        self.one().map(|()| Kept::Nowhere)
    }
}

/// Every kind of change, in an order in which each is one.
const WAYS: &[&str] = &[
    "create",
    "rename",
    "clone",
    "grant",
    "revoke",
    "grant a wildcard",
    "revoke a wildcard",
    "add a parent",
    "remove a parent",
    "assign",
    "assign until",
    "unassign",
    "set the roles of a member",
    "accept an invitation",
    "make an owner",
    "be no owner any more",
    "import",
    "delete",
];

async fn change(
    world: &World,
    audit: Arc<Takes>,
    way: &str,
    bob: UserId,
) -> Result<(), tenancy_authz::Error> {
    let (owner, app) = (&world.owner, world.db.app.clone());
    let clerk = &role("clerk");
    let authz: Arc<PgAuthorizer> = world.authz.clone();
    let roles = Roles::new(app.clone(), authz.clone(), audit.clone());
    match way {
        "create" => {
            let new = NewRole::new(clerk.clone(), name("Clerk"))
                .with_permission(WRITE)
                .with_wildcard(wildcard("roles.*"))
                .with_parent(role("viewer"));
            roles.create(owner, new).await
        }
        "rename" => roles.rename(owner, clerk, name("Clerks")).await,
        "clone" => {
            let twin = (role("twin"), name("Twin"));
            roles.clone_role(owner, clerk, twin.0, twin.1).await
        }
        "grant" => roles.grant(owner, clerk, &PURGE).await,
        "revoke" => roles.revoke(owner, clerk, &PURGE).await,
        "grant a wildcard" => {
            let below = wildcard("templates.*");
            roles.grant_wildcard(owner, clerk, &below).await
        }
        "revoke a wildcard" => {
            let below = wildcard("templates.*");
            roles.revoke_wildcard(owner, clerk, &below).await
        }
        "add a parent" => roles.add_parent(owner, clerk, &role("support")).await,
        "remove a parent" => roles.remove_parent(owner, clerk, &role("support")).await,
        "assign" => roles.assign(owner, bob, clerk, None).await,
        "assign until" => {
            let ends = chrono::Utc::now() + chrono::TimeDelta::days(1);
            roles.assign(owner, bob, clerk, Some(ends)).await
        }
        "unassign" => roles.unassign(owner, bob, clerk).await,
        "set the roles of a member" => {
            let members = Members::new(app, authz.clone(), authz, audit);
            let wanted = [role("member"), role("support")];
            Ok(members.set_roles(owner, bob, &wanted).await?)
        }
        "accept an invitation" => {
            let email = format!("{}@example.com", UserId::new().as_uuid().simple());
            let email = Email::parse(&email)?;
            let invitation = NewInvitation::new(email.clone(), vec![role("viewer")]);
            let (log, directory) = (Arc::new(world.audit.clone()), authz.clone());
            let inviting = Invitations::new(app.clone(), authz.clone(), directory, log);
            let sent = inviting.invite(owner, invitation).await?;
            let accepting = Invitations::new(app, authz.clone(), authz, audit);
            let accepted = accepting.accept(sent.token.expose(), UserId::new(), &email);
            Ok(accepted.await.map(drop)?)
        }
        "make an owner" => Ok(Ownership::new(app, authz, audit).add(owner, bob).await?),
        "be no owner any more" => {
            let ownership = Ownership::new(app, authz, audit);
            Ok(ownership.remove(owner, bob).await?)
        }
        "import" => {
            let mut policy = roles.export(owner).await?;
            if let Some(twin) = policy.roles.get_mut(&role("twin")) {
                twin.name = name("Twins");
                twin.parents.insert(role("support"));
            }
            policy.members.entry(bob).or_default().clear();
            let all = ImportOptions::default();
            roles.import(owner, &policy, &all).await.map(drop)
        }
        _ => roles.delete(owner, clerk).await,
    }
}

#[tokio::test]
async fn whichever_entry_the_log_refuses_nothing_of_the_change_is_done() -> Result {
    let world = World::new().await?;
    let bob = user(&world.member(&["viewer"]).await?);
    let mut entries = Vec::new();
    for way in WAYS {
        let before = world.dump().await?;
        let mut takes = 0;
        loop {
            let log = Arc::new(Takes(takes.into()));
            match change(&world, log, way, bob).await {
                Ok(()) => break,
                Err(error) => assert_eq!(error.code(), "audit_down", "{way}: {error}"),
            }
            assert_eq!(world.dump().await?, before, "{way}, after {takes} entries");
            takes += 1;
        }
        assert_ne!(world.dump().await?, before, "{way} is a change");
        entries.push((*way, takes));
    }
    assert!(
        entries.iter().all(|(_, takes)| *takes > 0),
        "each is on record: {entries:?}"
    );
    // Several changes are several entries, any of which could have been the one.
    let several = |way| entries.iter().any(|(of, takes)| *of == way && *takes > 3);
    assert!(several("create") && several("import"), "{entries:?}");
    Ok(())
}
