//! Every change of a tenant and of who belongs to it stands in the log, in the transaction that makes
//! it: with a log that takes nothing, nothing is changed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::PgPool;
use tenancy_core::{
    ApiKeys, AuditSink, Email, Error, ErrorKind, Event, Grace, HoldReference, Invitations, Kept,
    Limit, MemberStatus, Members, NewApiKey, NewImpersonation, NewInvitation, NewTenant, NoRoles,
    Ownership, PermissionKey, Platform, PurgeOptions, RoleKey, ServiceKey, Setting, Settings, Slug,
    Support, SupportGrant, Suspension, TenantCtx, TenantDb, TenantName, TenantStatus, TenantTx,
    Tenants, UserId,
    migrate::CORE,
    testing::{self, FakeAuthorizer, MemoryAudit},
};
use tenancy_testkit::{Db, rows};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const HOUR: Duration = Duration::from_hours(1);
const GREETING: Setting<u64> = Setting::new("shop.greetings", "how many", || 1);
const SEATS: Limit = Limit::new("shop.seats", "how many may work at once", 5).within(1, 500);
const MEMBER: RoleKey = RoleKey::from_static("member");

/// A log that is full.
struct Full;

#[async_trait]
impl AuditSink for Full {
    async fn record(&self, _: &TenantCtx, _: Event) -> std::result::Result<(), Error> {
        Err(full())
    }

    async fn record_in(&self, _: &mut TenantTx, _: Event) -> std::result::Result<Kept, Error> {
        Err(full())
    }
}

fn full() -> Error {
    Error::new(ErrorKind::Unavailable, "log_full", "the log takes nothing")
}

/// All services that change something, over one log.
struct Services {
    tenants: Tenants,
    platform: Platform,
    members: Members,
    ownership: Ownership,
    invitations: Invitations,
    keys: ApiKeys,
    settings: Settings,
    support: Support,
}

impl Services {
    fn new(db: &TenantDb, log: Arc<dyn AuditSink>) -> Self {
        let (authz, roles) = (
            Arc::new(FakeAuthorizer::allowing_all()),
            Arc::new(NoRoles::new()),
        );
        let service = ServiceKey::from_static("backoffice");
        Self {
            tenants: Tenants::new(db.clone(), authz.clone(), roles.clone(), log.clone()),
            platform: Platform::new(db.clone(), service, log.clone()),
            members: Members::new(db.clone(), authz.clone(), roles.clone(), log.clone()),
            ownership: Ownership::new(db.clone(), roles.clone(), log.clone()),
            invitations: Invitations::new(db.clone(), authz.clone(), roles, log.clone()),
            keys: ApiKeys::new(db.clone(), authz.clone(), log.clone()),
            settings: Settings::new(db.clone(), authz.clone(), log.clone()),
            support: Support::new(db.clone(), authz, log),
        }
    }
}

struct Host {
    kit: Db,
    superuser: PgPool,
    audit: MemoryAudit,
    /// Over a log that keeps what it is told.
    kept: Box<Services>,
    /// Over one that keeps nothing.
    lost: Box<Services>,
    owner: TenantCtx,
}

async fn host() -> Result<Host> {
    let kit = Db::new(&[&CORE]).await?;
    let (owner, superuser) = (testing::tenant(&kit.app).await?, kit.superuser().await?);
    let audit = MemoryAudit::new();
    Ok(Host {
        kept: Box::new(Services::new(&kit.app, Arc::new(audit.clone()))),
        lost: Box::new(Services::new(&kit.app, Arc::new(Full))),
        owner,
        superuser,
        audit,
        kit,
    })
}

impl Host {
    /// Does something over the log that takes nothing, then over the other.
    async fn changes<T>(
        &self,
        action: &str,
        change: impl AsyncFn(&Services) -> std::result::Result<T, Error>,
    ) -> Result<T> {
        let before = rows(&self.superuser).await?;
        let error = change(&self.lost).await.err().map(|error| error.code());
        assert_eq!(error, Some("log_full"), "{action}");
        assert_eq!(
            rows(&self.superuser).await?,
            before,
            "{action} is half done"
        );

        let entries = self.audit.entries().len();
        let done = change(&self.kept)
            .await
            .map_err(|error| format!("{action}: {error}"))?;
        assert_ne!(
            rows(&self.superuser).await?,
            before,
            "{action} changes nothing"
        );
        let new: Vec<String> = self
            .audit
            .entries()
            .into_iter()
            .skip(entries)
            .map(|entry| entry.event.action)
            .collect();
        assert_eq!(new, [action]);
        Ok(done)
    }

    async fn member_of(&self, owner: &TenantCtx) -> Result<(TenantCtx, UserId)> {
        let ctx = testing::member(&self.kit.app, owner).await?;
        let user = ctx.user().ok_or("a member is a user")?;
        Ok((ctx, user))
    }
}

fn user(ctx: &TenantCtx) -> Result<UserId> {
    Ok(ctx.user().ok_or("an owner is a user")?)
}

#[tokio::test]
async fn what_a_tenant_is_called_and_what_it_may() -> Result {
    let host = host().await?;
    let (ctx, id) = (&host.owner, host.owner.tenant());
    let new = NewTenant::new(
        Slug::parse("acme")?,
        TenantName::parse("Acme")?,
        UserId::new(),
    );
    host.changes("tenant.created", async |s| {
        s.tenants.create(new.clone()).await
    })
    .await?;
    let (name, slug) = (TenantName::parse("Acme & Co")?, Slug::parse("acme-co")?);
    host.changes("tenant.renamed", async |s| {
        s.tenants.rename(ctx, &name).await
    })
    .await?;
    host.changes("tenant.slug_changed", async |s| {
        s.tenants.change_slug(ctx, &slug).await
    })
    .await?;
    host.changes("setting.changed", async |s| {
        s.settings.set(ctx, &GREETING, &7).await
    })
    .await?;
    host.changes("setting.changed", async |s| {
        s.settings.swap(ctx, &GREETING, &7, &8).await
    })
    .await?;
    host.changes("setting.changed", async |s| {
        s.settings.reset(ctx, &GREETING).await
    })
    .await?;
    host.changes("limit.changed", async |s| {
        s.platform.set_limit(id, &SEATS, 9).await
    })
    .await?;
    host.changes("limit.changed", async |s| {
        s.platform.reset_limit(id, &SEATS).await
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn suspensions() -> Result {
    let host = host().await?;
    let (ctx, id, owner) = (&host.owner, host.owner.tenant(), user(&host.owner)?);
    let (read_only, blocked) = (Suspension::ReadOnly, Suspension::Blocked);
    let seen = TenantStatus::SuspendedReadOnly;
    host.changes("tenant.suspended", async |s| {
        s.tenants.suspend(ctx, read_only).await
    })
    .await?;
    host.changes("tenant.resumed", async |s| {
        s.tenants.resume(ctx, seen).await
    })
    .await?;
    host.changes("tenant.suspended", async |s| {
        s.tenants.suspend(ctx, blocked).await
    })
    .await?;
    host.changes("tenant.resumed", async |s| {
        s.tenants.reopen(id, owner).await
    })
    .await?;
    host.changes("tenant.suspended", async |s| {
        s.platform.suspend(id, blocked).await
    })
    .await?;
    host.changes("tenant.resumed", async |s| s.platform.resume(id).await)
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_tenant() -> Result {
    let host = host().await?;
    let (ctx, id, owner) = (&host.owner, host.owner.tenant(), user(&host.owner)?);
    let (grace, case) = (Grace::default(), HoldReference::parse("case 7")?);
    let by_tenant = async |s: &Services| s.tenants.schedule_deletion(ctx, grace).await;
    let by_platform = async |s: &Services| s.platform.schedule_deletion(id, Grace::NONE).await;
    host.changes("tenant.deletion_scheduled", by_tenant).await?;
    host.changes("tenant.deletion_cancelled", async |s| {
        s.tenants.reopen(id, owner).await
    })
    .await?;
    host.changes("tenant.deletion_scheduled", by_platform)
        .await?;
    host.changes("tenant.deletion_cancelled", async |s| {
        s.platform.cancel_deletion(id).await
    })
    .await?;
    host.changes("tenant.hold_placed", async |s| {
        s.platform.hold(id, &case).await
    })
    .await?;
    host.changes("tenant.hold_released", async |s| {
        s.platform.release(id, &case).await
    })
    .await?;
    host.changes("tenant.deletion_scheduled", by_platform)
        .await?;

    let (operator, options) = (&host.kit.operator, PurgeOptions::default());
    let before = rows(&host.superuser).await?;
    let refused = host.lost.platform.purge(operator, id, &options).await;
    assert!(refused.is_err_and(|error| error.code() == "log_full"));
    assert_eq!(
        rows(&host.superuser).await?,
        before,
        "a purge that nobody records does not begin"
    );
    host.kept.platform.purge(operator, id, &options).await?;
    for action in ["tenant.purge_started", "tenant.purged"] {
        assert_eq!(host.audit.of(action).len(), 1, "{action}");
    }
    Ok(())
}

#[tokio::test]
async fn who_belongs_to_it_and_who_owns_it() -> Result {
    let host = host().await?;
    let owner = &host.owner;
    let (bob_ctx, bob) = host.member_of(owner).await?;
    let out = MemberStatus::Deactivated;
    host.changes("member.deactivated", async |s| {
        s.members.set_status(owner, bob, out).await
    })
    .await?;
    host.changes("member.activated", async |s| {
        s.members.set_status(owner, bob, MemberStatus::Active).await
    })
    .await?;

    host.changes("ownership.added", async |s| {
        s.ownership.add(owner, bob).await
    })
    .await?;
    host.changes("ownership.removed", async |s| {
        s.ownership.remove(owner, bob).await
    })
    .await?;
    let offer = async |s: &Services| s.ownership.offer(owner, bob, HOUR).await;
    let first = host.changes("ownership.offered", offer).await?.id;
    host.changes("ownership.declined", async |s| {
        s.ownership.decline(&bob_ctx, first).await
    })
    .await?;
    let second = host.changes("ownership.offered", offer).await?.id;
    host.changes("ownership.offer_revoked", async |s| {
        s.ownership.revoke(owner, second).await
    })
    .await?;
    let third = host.changes("ownership.offered", offer).await?.id;
    host.changes("ownership.transferred", async |s| {
        s.ownership.accept(&bob_ctx, third).await
    })
    .await?;

    host.changes("member.left", async |s| s.members.leave(owner).await)
        .await?;
    let (_, eve) = host.member_of(&bob_ctx).await?;
    host.changes("member.removed", async |s| {
        s.members.remove(&bob_ctx, eve).await
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn invitations() -> Result {
    let host = host().await?;
    let owner = &host.owner;
    let (ada, bob) = (
        Email::parse("ada@example.com")?,
        Email::parse("bob@example.com")?,
    );
    let invite = async |s: &Services, email: &Email| {
        let new = NewInvitation::new(email.clone(), vec![MEMBER]);
        s.invitations.invite(owner, new).await
    };
    let sent = host
        .changes("invitation.created", async |s| invite(s, &ada).await)
        .await?;
    let id = sent.invitation.id;
    let sent = host
        .changes("invitation.resent", async |s| {
            s.invitations.resend(owner, id, HOUR).await
        })
        .await?;
    let token = sent.token.expose();
    let user = UserId::new();
    host.changes("invitation.accepted", async |s| {
        s.invitations.accept(token, user, &ada).await
    })
    .await?;
    let sent = host
        .changes("invitation.created", async |s| invite(s, &bob).await)
        .await?;
    let token = sent.token.expose();
    host.changes("invitation.declined", async |s| {
        s.invitations.decline(token, UserId::new(), &bob).await
    })
    .await?;
    let sent = host
        .changes("invitation.created", async |s| invite(s, &bob).await)
        .await?;
    let id = sent.invitation.id;
    host.changes("invitation.revoked", async |s| {
        s.invitations.revoke(owner, id).await
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn keys() -> Result {
    let host = host().await?;
    let owner = &host.owner;
    let new = NewApiKey::new(
        TenantName::parse("import")?,
        vec![PermissionKey::from_static("members.read")],
    );
    let issued = host
        .changes("api_key.created", async |s| {
            s.keys.create(owner, new.clone()).await
        })
        .await?;
    let id = issued.key.id;
    let issued = host
        .changes("api_key.rotated", async |s| {
            s.keys.rotate(owner, id, HOUR * 24, HOUR).await
        })
        .await?;
    let id = issued.key.id;
    host.changes("api_key.revoked", async |s| s.keys.revoke(owner, id).await)
        .await?;
    Ok(())
}

#[tokio::test]
async fn sessions_of_support() -> Result {
    let host = host().await?;
    let (owner, staff) = (&host.owner, UserId::new());
    host.kit.operator.set_support_staff(staff, true).await?;
    let (_, bob) = host.member_of(owner).await?;
    let consent = || SupportGrant::new(HOUR);
    host.changes("support.granted", async |s| {
        s.support.grant(owner, consent()).await
    })
    .await?;
    let new = || NewImpersonation::new(owner.tenant(), staff, bob, "ticket 4711");
    let (session, ctx) = host
        .changes("impersonation.started", async |s| {
            s.support.start(new()).await
        })
        .await?;
    host.changes("impersonation.ended", async |s| {
        s.support.end(&ctx, session.id).await
    })
    .await?;
    host.changes("support.revoked", async |s| s.support.revoke(owner).await)
        .await?;
    Ok(())
}
