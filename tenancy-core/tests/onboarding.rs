//! From a new tenant to its members.

use std::{sync::Arc, time::Duration};

use tenancy_core::{
    Email, Error, ErrorKind, InvitationPage, Invitations, MemberStatus, Members, MyTenantsPage,
    NewInvitation, NewTenant, NoRoles, RoleKey, Slug, Suspension, TenantCtx, TenantDb, TenantName,
    TenantStatus, Tenants, UserId,
    migrate::CORE,
    testing::{self, FakeAuthorizer, MemoryAudit},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Host {
    kit: Db,
    tenants: Tenants,
    members: Members,
    invitations: Invitations,
    audit: MemoryAudit,
}

async fn host() -> Result<Host> {
    let kit = Db::new(&[&CORE]).await?;
    let audit = MemoryAudit::new();
    let authz = Arc::new(FakeAuthorizer::allowing_all());
    let (roles, sink) = (Arc::new(NoRoles::new()), Arc::new(audit.clone()));
    Ok(Host {
        tenants: Tenants::new(kit.app.clone(), authz.clone(), roles.clone(), sink.clone()),
        members: Members::new(kit.app.clone(), authz.clone(), roles.clone(), sink.clone()),
        invitations: Invitations::new(kit.app.clone(), authz, roles, sink),
        kit,
        audit,
    })
}

fn new_tenant(slug: &str, owner: UserId) -> Result<NewTenant> {
    Ok(NewTenant::new(
        Slug::parse(slug)?,
        TenantName::parse(slug)?,
        owner,
    ))
}

fn invitation(email: &Email) -> NewInvitation {
    NewInvitation::new(email.clone(), vec![RoleKey::from_static("member")])
}

fn code<T: std::fmt::Debug>(result: std::result::Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

async fn join(host: &Host, owner: &TenantCtx) -> Result<TenantCtx> {
    Ok(testing::member(&host.kit.app, owner).await?)
}

#[tokio::test]
async fn a_tenant_has_an_owner_a_slug_of_its_own_and_an_audit_entry() -> Result {
    let host = host().await?;
    let owner = UserId::new();
    let ctx = host.tenants.create(new_tenant("acme", owner)?).await?;
    assert_eq!(host.tenants.get(&ctx).await?.slug, "acme");
    assert_eq!(host.audit.of("tenant.created").len(), 1);
    let mine = host.tenants.of(owner, &MyTenantsPage::new()).await?;
    assert!(mine.len() == 1 && mine[0].is_owner);

    assert_eq!(
        code(host.tenants.create(new_tenant("acme", owner)?).await),
        "slug_taken"
    );
    let twin = new_tenant("other", owner)?.with_id(ctx.tenant());
    assert_eq!(code(host.tenants.create(twin).await), "tenant_exists");
    assert_eq!(
        host.tenants.of(owner, &MyTenantsPage::new()).await?.len(),
        1
    );
    assert_eq!(host.audit.entries().len(), 1);
    Ok(())
}

#[tokio::test]
async fn of_many_who_claim_one_slug_one_gets_it() -> Result {
    let host = host().await?;
    let claims = (0..8).map(|_| async {
        host.tenants
            .create(new_tenant("wanted", UserId::new()).unwrap())
            .await
            .is_ok()
    });
    let won = futures_util::future::join_all(claims).await;
    assert_eq!(won.into_iter().filter(|won| *won).count(), 1);
    Ok(())
}

#[tokio::test]
async fn an_outsider_can_not_tell_whether_a_tenant_exists() -> Result {
    let host = host().await?;
    let ctx = testing::tenant(&host.kit.app).await?;
    let db: &TenantDb = &host.kit.app;
    let foreign = db.enter(ctx.tenant(), UserId::new()).await.unwrap_err();
    let unknown = db
        .enter(tenancy_core::TenantId::new(), UserId::new())
        .await
        .unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotAMember);
    assert_eq!(foreign.to_string(), unknown.to_string());
    Ok(())
}

#[tokio::test]
async fn an_invitation_is_accepted_once_by_its_recipient() -> Result {
    let host = host().await?;
    let owner = testing::tenant(&host.kit.app).await?;
    let ada = Email::parse("Ada@Example.com")?;
    let sent = host.invitations.invite(&owner, invitation(&ada)).await?;
    let token = sent.token.expose();
    assert!(!format!("{sent:?}").contains(token));

    let eve = Email::parse("eve@example.com")?;
    assert_eq!(
        code(host.invitations.accept(token, UserId::new(), &eve).await),
        "invitation_wrong_recipient"
    );
    assert_eq!(
        code(
            host.invitations
                .accept("nonsense", UserId::new(), &ada)
                .await
        ),
        "invitation_unknown"
    );

    let lower = Email::parse("ada@example.com")?;
    let racers = (0..8).map(|_| host.invitations.accept(token, UserId::new(), &lower));
    let accepted = futures_util::future::join_all(racers).await;
    assert_eq!(accepted.iter().filter(|result| result.is_ok()).count(), 1);
    for lost in accepted.into_iter().filter_map(std::result::Result::err) {
        assert_eq!(lost.code(), "invitation_used");
    }
    assert_eq!(host.members.list(&owner, None, 50).await?.len(), 2);
    assert_eq!(host.audit.of("invitation.accepted").len(), 1);
    Ok(())
}

#[tokio::test]
async fn only_the_hash_of_a_token_is_stored() -> Result {
    let host = host().await?;
    let owner = testing::tenant(&host.kit.app).await?;
    let sent = host
        .invitations
        .invite(&owner, invitation(&Email::parse("a@b.cd")?))
        .await?;
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT t::text FROM tenancy.invitation_tokens t UNION ALL SELECT i::text FROM tenancy.invitations i",
    )
    .fetch_all(&host.kit.superuser().await?)
    .await?;
    assert_eq!(rows.len(), 2);
    assert!(!rows.concat().contains(sent.token.expose()));
    Ok(())
}

#[tokio::test]
async fn revoked_replaced_and_expired_invitations_do_not_open() -> Result {
    let host = host().await?;
    let owner = testing::tenant(&host.kit.app).await?;
    let ada = Email::parse("ada@example.com")?;
    let first = host.invitations.invite(&owner, invitation(&ada)).await?;
    let second = host.invitations.invite(&owner, invitation(&ada)).await?;
    let accept = async |token: &str| host.invitations.accept(token, UserId::new(), &ada).await;
    assert_eq!(
        code(accept(first.token.expose()).await),
        "invitation_revoked"
    );

    let superuser = host.kit.superuser().await?;
    sqlx::raw_sql("UPDATE tenancy.invitations SET expires_at = now() WHERE status = 'pending'")
        .execute(&superuser)
        .await?;
    assert_eq!(
        code(accept(second.token.expose()).await),
        "invitation_expired"
    );

    host.invitations
        .revoke(&owner, second.invitation.id)
        .await?;
    assert_eq!(
        code(host.invitations.revoke(&owner, second.invitation.id).await),
        "invitation_unknown"
    );
    let too_long = invitation(&ada).with_valid_for(Duration::from_hours(31 * 24));
    assert_eq!(
        code(host.invitations.invite(&owner, too_long).await),
        "invitation_validity"
    );
    Ok(())
}

#[tokio::test]
async fn an_invitation_of_another_tenant_can_not_be_revoked() -> Result {
    let host = host().await?;
    let (a, b) = (
        testing::tenant(&host.kit.app).await?,
        testing::tenant(&host.kit.app).await?,
    );
    let sent = host
        .invitations
        .invite(&a, invitation(&Email::parse("x@y.zz")?))
        .await?;
    assert_eq!(
        code(host.invitations.revoke(&b, sent.invitation.id).await),
        "invitation_unknown"
    );
    assert_eq!(
        host.invitations
            .list(&b, &InvitationPage::default())
            .await?
            .len(),
        0
    );
    assert_eq!(
        host.invitations
            .list(&a, &InvitationPage::default())
            .await?
            .len(),
        1
    );
    Ok(())
}

#[tokio::test]
async fn the_last_owner_stays_even_when_two_leave_at_once() -> Result {
    let host = host().await?;
    let owner = testing::tenant(&host.kit.app).await?;
    let me = owner.user().unwrap();
    assert_eq!(code(host.members.remove(&owner, me).await), "last_owner");
    assert_eq!(
        code(
            host.members
                .set_status(&owner, me, MemberStatus::Deactivated)
                .await
        ),
        "last_owner"
    );

    let second = join(&host, &owner).await?;
    sqlx::query("UPDATE tenancy.memberships SET is_owner = true WHERE user_id = $1")
        .bind(second.user())
        .execute(&host.kit.superuser().await?)
        .await?;
    let (one, two) = tokio::join!(
        host.members.remove(&owner, me),
        host.members.remove(&second, second.user().unwrap())
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    Ok(())
}

#[tokio::test]
async fn a_deactivated_or_removed_member_is_out_at_once() -> Result {
    let host = host().await?;
    let owner = testing::tenant(&host.kit.app).await?;
    let ctx = join(&host, &owner).await?;
    let user = ctx.user().unwrap();
    host.members
        .set_status(&owner, user, MemberStatus::Deactivated)
        .await?;
    assert!(host.kit.app.enter(owner.tenant(), user).await.is_err());
    host.members
        .set_status(&owner, user, MemberStatus::Active)
        .await?;
    host.kit.app.enter(owner.tenant(), user).await?;
    host.members.remove(&owner, user).await?;
    assert!(host.kit.app.enter(owner.tenant(), user).await.is_err());
    assert_eq!(
        code(host.members.remove(&owner, user).await),
        "member_not_found"
    );
    Ok(())
}

#[tokio::test]
async fn a_suspended_tenant_is_read_only_or_closed() -> Result {
    let host = host().await?;
    let owner = testing::tenant(&host.kit.app).await?;
    let user = owner.user().unwrap();
    host.tenants.suspend(&owner, Suspension::ReadOnly).await?;
    let reader = host.kit.app.enter(owner.tenant(), user).await?;
    host.kit.app.read(&reader).await?;
    assert_eq!(
        host.kit.app.write(&reader).await.unwrap_err().kind(),
        ErrorKind::Suspended
    );
    assert_eq!(
        code(host.tenants.suspend(&reader, Suspension::ReadOnly).await),
        "transition_refused"
    );

    host.tenants
        .resume(&reader, TenantStatus::SuspendedReadOnly)
        .await?;
    let again = host.kit.app.enter(owner.tenant(), user).await?;
    host.tenants.suspend(&again, Suspension::Blocked).await?;
    let closed = host.kit.app.enter(owner.tenant(), user).await.unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::Suspended);
    Ok(())
}

#[tokio::test]
async fn users_of_an_outside_login_keep_their_id() -> Result {
    let host = host().await?;
    let first = host.kit.app.user_for("https://login.example", "42").await?;
    assert_eq!(
        host.kit.app.user_for("https://login.example", "42").await?,
        first
    );
    assert_ne!(
        host.kit.app.user_for("https://other.example", "42").await?,
        first
    );
    Ok(())
}
