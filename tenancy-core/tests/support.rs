//! Support acts for a member: with consent, for a time, with less than his rights, on record.

use std::{sync::Arc, time::Duration};

use tenancy_core::{
    Access, Actor, Authorizer as _, Error, ErrorKind, MemberStatus, Members, NewImpersonation,
    NoRoles, OwnerAuthorizer, Ownership, Permission as _, PermissionKey, Principal, Support,
    SupportGrant, TenantCtx, TenantDb, UserId,
    migrate::CORE,
    perm,
    testing::{FakeAuthorizer, MemoryAudit, TestTenant},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const HOUR: Duration = Duration::from_hours(1);
const WHY: &str = "ticket 4711: the import hangs";

struct Host {
    kit: Db,
    acme: TestTenant,
    /// One of the support staff.
    staff: UserId,
    support: Support,
    audit: MemoryAudit,
}

async fn host() -> Result<Host> {
    let kit = Db::new(&[&CORE]).await?;
    let acme = TestTenant::builder(&kit.app)
        .with_member("bob", &[])
        .with_member("eve", &[])
        .create()
        .await?;
    let (audit, staff) = (MemoryAudit::new(), UserId::new());
    kit.operator.set_support_staff(staff, true).await?;
    let authz = Arc::new(FakeAuthorizer::allowing_all());
    let support = Support::new(kit.app.clone(), authz, Arc::new(audit.clone()));
    Ok(Host {
        kit,
        acme,
        staff,
        support,
        audit,
    })
}

impl Host {
    fn db(&self) -> &TenantDb {
        &self.kit.app
    }

    fn new_session(&self, member: UserId) -> NewImpersonation {
        NewImpersonation::new(self.acme.id(), self.staff, member, WHY)
    }

    async fn start(&self, name: &str) -> std::result::Result<TenantCtx, Error> {
        let member = self.acme.user(name)?;
        let (_, ctx) = self.support.start(self.new_session(member)).await?;
        Ok(ctx)
    }

    async fn again(&self, name: &str) -> std::result::Result<TenantCtx, Error> {
        let principal = Principal::user(self.staff).on_behalf_of(self.acme.user(name)?);
        self.db().enter_as(self.acme.id(), principal).await
    }
}

fn code<T: std::fmt::Debug>(result: std::result::Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

#[tokio::test]
async fn nobody_acts_for_another_without_a_session() -> Result {
    let host = host().await?;
    assert_eq!(code(host.again("bob").await), "not_a_member");
    // As a job's payload would say it, or a host that put the two together by mistake.
    let stored = serde_json::json!({
        "actor": { "kind": "user", "id": host.acme.user("eve")? },
        "on_behalf_of": host.acme.user("bob")?,
    });
    let forged: Principal = serde_json::from_value(stored)?;
    let entered = host.db().enter_as(host.acme.id(), forged).await;
    assert_eq!(entered.unwrap_err().kind(), ErrorKind::NotAMember);
    Ok(())
}

#[tokio::test]
async fn it_takes_the_operator_and_the_owner() -> Result {
    let host = host().await?;
    assert_eq!(code(host.start("bob").await), "support_not_granted");
    let by_bob = host
        .support
        .grant(host.acme.member("bob")?, SupportGrant::new(HOUR))
        .await;
    assert_eq!(code(by_bob), "owner_only");
    host.support
        .grant(host.acme.owner(), SupportGrant::new(HOUR))
        .await?;
    let mut stranger = host.new_session(host.acme.user("bob")?);
    stranger.support = UserId::new();
    assert_eq!(
        code(host.support.start(stranger).await),
        "not_support_staff"
    );

    let ctx = host.start("bob").await?;
    assert_eq!(ctx.user(), Some(host.acme.user("bob")?));
    assert_eq!(ctx.principal().actor, Actor::User { id: host.staff });
    assert_eq!(
        ctx.access(),
        Access::ReadOnly,
        "reading, unless the owner says more"
    );
    assert!(host.db().read(&ctx).await.is_ok() && host.db().write(&ctx).await.is_err());
    assert_eq!(code(host.start("bob").await), "impersonation_open");
    host.again("bob").await?;
    assert_eq!(
        code(host.again("eve").await),
        "not_a_member",
        "for one member only"
    );

    host.kit
        .operator
        .set_support_staff(host.staff, false)
        .await?;
    assert_eq!(code(host.again("bob").await), "not_a_member");
    Ok(())
}

#[tokio::test]
async fn every_entry_names_both_and_the_tenant_sees_who_was_in() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    host.support.grant(owner, SupportGrant::new(HOUR)).await?;
    let (session, ctx) = host
        .support
        .start(host.new_session(host.acme.user("bob")?))
        .await?;
    host.support.end(&ctx, session.id).await?;
    for action in ["impersonation.started", "impersonation.ended"] {
        let entries = host.audit.of(action);
        assert_eq!(entries.len(), 1, "{action}");
        for entry in entries {
            assert_eq!(entry.principal.actor, Actor::User { id: host.staff });
            assert_eq!(entry.principal.on_behalf_of, Some(host.acme.user("bob")?));
        }
    }
    let listed = host.support.list(owner, None, 10).await?;
    assert!(
        listed
            .iter()
            .all(|s| s.reason == WHY && s.support == host.staff)
    );
    assert!(listed.len() == 1 && listed.iter().all(|s| s.ended_at.is_some()));
    let other = TestTenant::builder(host.db()).create().await?;
    assert!(host.support.list(other.owner(), None, 10).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_session_ends_by_time_by_hand_and_with_its_grounds() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let superuser = host.kit.superuser().await?;
    for end in ["time", "grant", "hand", "revoke", "member", "staff"] {
        host.kit
            .operator
            .set_support_staff(host.staff, true)
            .await?;
        host.support.grant(owner, SupportGrant::new(HOUR)).await?;
        let (session, _) = host
            .support
            .start(host.new_session(host.acme.user("bob")?))
            .await?;
        host.again("bob").await?;
        let sql = match end {
            "time" => "UPDATE tenancy.impersonations SET expires_at = now() WHERE ended_at IS NULL",
            "grant" => {
                "UPDATE tenancy.support_grants SET expires_at = now() WHERE revoked_at IS NULL"
            }
            "member" => "UPDATE tenancy.memberships SET status = 'deactivated' WHERE NOT is_owner",
            _ => "SELECT 1",
        };
        match end {
            "hand" => host.support.end(owner, session.id).await?,
            "revoke" => host.support.revoke(owner).await?,
            "staff" => {
                host.kit
                    .operator
                    .set_support_staff(host.staff, false)
                    .await?;
            }
            _ => {
                sqlx::raw_sql(sql).execute(&superuser).await?;
            }
        }
        assert_eq!(code(host.again("bob").await), "not_a_member", "{end}");
        sqlx::raw_sql("UPDATE tenancy.memberships SET status = 'active'")
            .execute(&superuser)
            .await?;
    }
    let over = host
        .support
        .end(owner, tenancy_core::ImpersonationId::new());
    assert_eq!(code(over.await), "impersonation_unknown");
    Ok(())
}

#[tokio::test]
async fn owners_staff_and_members_are_out_of_reach() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let (me, bob, eve) = (
        owner.user().ok_or("an owner is a user")?,
        host.acme.user("bob")?,
        host.acme.user("eve")?,
    );
    host.support.grant(owner, SupportGrant::new(HOUR)).await?;
    let start = async |support: UserId, member: UserId| {
        let mut new = host.new_session(member);
        new.support = support;
        code(host.support.start(new).await)
    };
    assert_eq!(start(host.staff, me).await, "owner_protected");
    assert_eq!(start(host.staff, UserId::new()).await, "member_not_found");
    assert_eq!(
        start(host.staff, host.staff).await,
        "member_not_found",
        "himself"
    );
    host.kit.operator.set_support_staff(eve, true).await?;
    assert_eq!(start(eve, bob).await, "support_is_member");
    assert_eq!(
        start(host.staff, eve).await,
        "member_is_staff",
        "no chain of two"
    );
    assert_eq!(
        host.audit.of("impersonation.started").len(),
        3,
        "each is on record"
    );

    let owners = SupportGrant::new(HOUR).with_owners();
    host.support.grant(owner, owners).await?;
    assert_eq!(start(host.staff, me).await, "ok");

    for (reason, hours) in [("short", 1), (WHY, 9), (WHY, 0)] {
        let mut new = host.new_session(bob).with_valid_for(HOUR * hours);
        reason.clone_into(&mut new.reason);
        let refused = host.support.start(new).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
    Ok(())
}

#[tokio::test]
async fn what_an_owner_decides_support_does_not_though_it_acts_for_one() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let (me, bob) = (
        owner.user().ok_or("an owner is a user")?,
        host.acme.user("bob")?,
    );
    let grant = SupportGrant::new(HOUR).with_owners().with_writes();
    host.support.grant(owner, grant).await?;
    let (_, ctx) = host.support.start(host.new_session(me)).await?;
    assert_eq!(ctx.access(), Access::ReadWrite);

    let audit = Arc::new(host.audit.clone());
    let authz = Arc::new(OwnerAuthorizer::new(host.db().clone(), audit.clone()));
    let asked = PermissionKey::from_static("templates.write");
    assert!(
        authz.check(&ctx, &asked).await?.is_allowed(),
        "what the member may"
    );
    for closed in [
        perm::MembersManage::KEY,
        perm::MembersInvite::KEY,
        perm::TenantManage::KEY,
        PermissionKey::from_static("roles.manage"),
        PermissionKey::from_static("secrets.read"),
    ] {
        assert!(authz.check(owner, &closed).await?.is_allowed());
        assert!(!authz.check(&ctx, &closed).await?.is_allowed(), "{closed}");
    }
    let (roles, db) = (Arc::new(NoRoles::new()), host.db().clone());
    let members = Members::new(db.clone(), authz, roles.clone(), audit.clone());
    let ownership = Ownership::new(db, roles, audit);
    assert_eq!(code(members.leave(&ctx).await), "not_himself");
    assert_eq!(code(members.remove(&ctx, me).await), "permission_denied");
    let out = members
        .set_status(&ctx, bob, MemberStatus::Deactivated)
        .await;
    assert_eq!(code(out), "permission_denied");
    assert_eq!(code(ownership.add(&ctx, bob).await), "owner_only");
    assert_eq!(code(ownership.offer(&ctx, bob, HOUR).await), "owner_only");
    assert_eq!(code(host.support.revoke(&ctx).await), "owner_only");
    let more = host.support.grant(&ctx, SupportGrant::new(HOUR)).await;
    assert_eq!(code(more), "owner_only");
    Ok(())
}

#[tokio::test]
async fn a_context_that_is_kept_opens_nothing_when_its_session_is_over() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let grant = SupportGrant::new(HOUR).with_writes();
    host.support.grant(owner, grant).await?;
    let bob = host.acme.user("bob")?;
    let (session, ctx) = host.support.start(host.new_session(bob)).await?;
    let again = host.again("bob").await?;
    let traced = again
        .clone()
        .with_request_id(tenancy_core::RequestId::new());
    for kept in [&ctx, &again, &traced] {
        host.db().read(kept).await?;
        host.db().write(kept).await?.commit().await?;
    }
    let by_hand = async |ctx: &TenantCtx| -> std::result::Result<(), sqlx::Error> {
        let mut tx = host.db().without_tenant().begin().await?;
        let sql = sqlx::AssertSqlSafe(host.db().context_sql(ctx));
        sqlx::raw_sql(sql).execute(&mut *tx).await.map(drop)
    };
    by_hand(&ctx).await?;
    host.support.end(owner, session.id).await?;
    for kept in [&ctx, &again, &traced] {
        let refused = host.db().read(kept).await.err().ok_or("it opened")?;
        assert_eq!(refused.kind(), ErrorKind::NotAMember);
        assert_eq!(code(host.db().write(kept).await.map(drop)), "not_a_member");
        assert!(by_hand(kept).await.is_err(), "nor for other libraries");
    }
    // The trail goes on: what such a context is refused can be recorded.
    host.db().aside(&ctx).await?;
    // A refusal costs no connection: soon there would be none left, and the answer another one.
    let most = host.db().without_tenant().options().get_max_connections();
    for _ in 0..most * 2 {
        let refused = host.db().read(&ctx).await.err().ok_or("it opened")?;
        assert_eq!(refused.kind(), ErrorKind::NotAMember);
    }
    host.db().read(owner).await?;
    Ok(())
}

#[tokio::test]
async fn a_reason_shows_all_that_is_in_it() -> Result {
    let host = host().await?;
    host.support
        .grant(host.acme.owner(), SupportGrant::new(HOUR))
        .await?;
    let bob = host.acme.user("bob")?;
    for reason in [
        "ticket 4711\u{202e} troppmi eht",
        "ticket\u{200b}\u{200b}\u{200b}\u{200b}",
        "ticket 4711\0: the import hangs",
        "ticket 4711\n\nowner: all is well",
        "   a       ",
    ] {
        let mut new = host.new_session(bob);
        reason.clone_into(&mut new.reason);
        let refused = host.support.start(new).await;
        assert_eq!(code(refused), "impersonation_reason", "{reason:?}");
    }
    Ok(())
}
