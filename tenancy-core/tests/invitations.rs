//! Invitations: what they give, to whom, on whose word, and how they end.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tenancy_core::{
    BulkInvitation, Email, Error, ErrorKind, InvitationPage, InvitationStatus, Invitations,
    MemberStatus, Members, NewInvitation, NoRoles, Permission as _, Retry, RoleKey, SentInvitation,
    ServiceKey, Suspension, TenantCtx, Tenants, UserId, limit,
    migrate::CORE,
    perm,
    testing::{FakeAuthorizer, MemoryAudit, TestTenant},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DAY: Duration = Duration::from_hours(24);

struct Host {
    kit: Db,
    acme: TestTenant,
    authz: FakeAuthorizer,
    invitations: Invitations,
    members: Members,
    tenants: Tenants,
    audit: MemoryAudit,
}

/// A host with a tenant of an owner, `bob` and `eve`; the owner holds every permission of members.
async fn host() -> Result<Host> {
    let kit = Db::new(&[&CORE]).await?;
    let acme = TestTenant::builder(&kit.app)
        .with_member("bob", &[])
        .with_member("eve", &[])
        .create()
        .await?;
    let (authz, audit) = (FakeAuthorizer::new(), MemoryAudit::new());
    for permission in [
        perm::MembersRead::KEY,
        perm::MembersInvite::KEY,
        perm::MembersManage::KEY,
        perm::TenantManage::KEY,
    ] {
        authz.grant(acme.owner(), permission);
    }
    let (roles, sink) = (Arc::new(NoRoles::new()), Arc::new(audit.clone()));
    let (db, fake) = (kit.app.clone(), Arc::new(authz.clone()));
    Ok(Host {
        invitations: Invitations::new(db.clone(), fake.clone(), roles.clone(), sink.clone()),
        members: Members::new(db.clone(), fake.clone(), roles.clone(), sink.clone()),
        tenants: Tenants::new(db, fake, roles, sink),
        kit,
        acme,
        authz,
        audit,
    })
}

impl Host {
    async fn invite(
        &self,
        by: &TenantCtx,
        email: &str,
    ) -> std::result::Result<SentInvitation, Error> {
        let new = NewInvitation::new(Email::parse(email)?, vec![member()]);
        self.invitations.invite(by, new).await
    }

    async fn accept(
        &self,
        sent: &SentInvitation,
        user: UserId,
        email: &str,
    ) -> std::result::Result<TenantCtx, Error> {
        let email = Email::parse(email)?;
        self.invitations
            .accept(sent.token.expose(), user, &email)
            .await
    }

    async fn superuser(&self, sql: &'static str) -> Result {
        sqlx::raw_sql(sql)
            .execute(&self.kit.superuser().await?)
            .await?;
        Ok(())
    }
}

fn member() -> RoleKey {
    RoleKey::from_static("member")
}

fn code<T: std::fmt::Debug>(result: std::result::Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

#[tokio::test]
async fn an_answer_that_got_lost_can_be_asked_for_again_by_the_same_user() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let sent = host.invite(owner, "ada@example.com").await?;
    let ada = UserId::new();
    let racers = (0..6).map(|_| host.accept(&sent, ada, "ada@example.com"));
    for entered in join_all(racers).await {
        assert_eq!(entered?.user(), Some(ada));
    }
    assert_eq!(host.audit.of("invitation.accepted").len(), 1);
    let other = host.accept(&sent, UserId::new(), "ada@example.com").await;
    assert_eq!(code(other), "invitation_used");
    host.members.remove(owner, ada).await?;
    assert_eq!(
        code(host.accept(&sent, ada, "ada@example.com").await),
        "invitation_used",
        "it does not bring back who was removed"
    );
    Ok(())
}

#[tokio::test]
async fn an_address_has_to_be_verified_and_the_right_one() -> Result {
    let host = host().await?;
    let sent = host.invite(host.acme.owner(), "Ada@Example.com").await?;
    let token = sent.token.expose();
    let unverified = host.invitations.accept(token, UserId::new(), None).await;
    assert_eq!(code(unverified), "email_unverified");
    for other in ["ada+x@example.com", "a.da@example.com", "ada@example.co"] {
        let refused = host.accept(&sent, UserId::new(), other).await;
        assert_eq!(code(refused), "invitation_wrong_recipient");
    }
    for none in ["", "x", &"0".repeat(64), &"a".repeat(10_000), "\0"] {
        let refused = host.invitations.accept(none, UserId::new(), None).await;
        assert_eq!(code(refused), "invitation_unknown");
    }
    host.accept(&sent, UserId::new(), "ADA@example.com").await?;
    Ok(())
}

#[tokio::test]
async fn sent_again_the_old_token_is_dead_and_the_time_runs_anew() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let first = host.invite(owner, "ada@example.com").await?;
    let id = first.invitation.id;
    host.superuser("UPDATE tenancy.invitations SET expires_at = now() WHERE status = 'pending'")
        .await?;
    let expired = InvitationPage::default().with_status(InvitationStatus::Expired);
    assert_eq!(host.invitations.list(owner, &expired).await?.len(), 1);
    assert_eq!(
        code(host.accept(&first, UserId::new(), "ada@example.com").await),
        "invitation_expired"
    );
    let second = host.invitations.resend(owner, id, DAY).await?;
    assert_eq!(host.invitations.list(owner, &expired).await?.len(), 0);
    assert_eq!(
        code(host.accept(&first, UserId::new(), "ada@example.com").await),
        "invitation_replaced"
    );
    host.accept(&second, UserId::new(), "ada@example.com")
        .await?;
    let over = host.invitations.resend(owner, id, DAY).await;
    assert_eq!(code(over), "invitation_used");
    assert_eq!(host.audit.of("invitation.resent").len(), 1);

    let foreign = TestTenant::builder(&host.kit.app).create().await?;
    host.authz.grant(foreign.owner(), perm::MembersInvite::KEY);
    let refused = host.invitations.resend(foreign.owner(), id, DAY).await;
    assert_eq!(code(refused), "invitation_unknown");
    Ok(())
}

#[tokio::test]
async fn one_address_is_not_written_to_without_end() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let sent = host.invite(owner, "ada@example.com").await?;
    for _ in 0..3 {
        host.invitations
            .resend(owner, sent.invitation.id, DAY)
            .await?;
    }
    let fresh = host.invite(owner, "ada@example.com").await?;
    let again = host.invitations.resend(owner, fresh.invitation.id, DAY);
    let refused = again.await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.code()),
        (ErrorKind::Limit, "invited_too_often")
    );
    assert!(matches!(refused.retry(), Retry::After(_)));
    assert_eq!(
        code(host.invite(owner, "Ada@Example.com").await),
        "invited_too_often",
        "neither by a new invitation"
    );
    host.superuser(
        "UPDATE tenancy.invitation_tokens SET created_at = now() - interval '61 minutes'",
    )
    .await?;
    host.invitations
        .resend(owner, fresh.invitation.id, DAY)
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_platform_bounds_how_many_wait() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    host.superuser(
        "INSERT INTO tenancy.tenant_limits (tenant_id, key, value)
         SELECT tenant_id, 'members.pending_invitations', 2 FROM tenancy.memberships WHERE is_owner",
    )
    .await?;
    assert_eq!(limit::PENDING_INVITATIONS.default_value(), 100);
    let names: Vec<String> = (0..8).map(|n| format!("p{n}@example.com")).collect();
    let sent = join_all(names.iter().map(|name| host.invite(owner, name))).await;
    let (won, lost): (Vec<_>, Vec<_>) = sent.into_iter().partition(std::result::Result::is_ok);
    assert_eq!((won.len(), lost.len()), (2, 6), "eight at once");
    assert!(lost.into_iter().all(|l| code(l) == "too_many_invitations"));
    let first = won.into_iter().flatten().next().expect("two were sent");
    host.invitations.revoke(owner, first.invitation.id).await?;
    host.invite(owner, "next@example.com").await?;
    Ok(())
}

#[tokio::test]
async fn many_are_invited_at_once_each_with_an_answer_of_its_own() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let given = ["a@x.de", " A@X.de ", "no address", "b@x.de", "c@\u{445}.de"];
    let bulk = BulkInvitation::new(given.map(str::to_owned).to_vec(), vec![member()]);
    let outcomes = host.invitations.invite_many(owner, bulk).await?;
    assert_eq!(
        outcomes.iter().map(|o| &o.email[..]).collect::<Vec<_>>(),
        given
    );
    let sent: Vec<_> = outcomes.into_iter().map(|o| o.result).collect();
    let [Ok(a), _, _, Ok(b), _] = &sent[..] else {
        panic!("{sent:?}")
    };
    host.accept(a, UserId::new(), "a@x.de").await?;
    host.accept(b, UserId::new(), "b@x.de").await?;
    let codes: Vec<_> = sent.into_iter().map(code).collect();
    assert_eq!(
        codes,
        [
            "ok",
            "email_duplicate",
            "email_invalid",
            "ok",
            "email_not_ascii"
        ]
    );
    assert_eq!(host.audit.of("invitation.created").len(), 2);

    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_batch_stores_nothing_of_it() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let before = host
        .invitations
        .list(owner, &InvitationPage::default())
        .await?;
    let many = |n: usize| (0..n).map(|n| format!("m{n}@x.de")).collect::<Vec<_>>();
    let unknown = BulkInvitation::new(many(3), vec![RoleKey::from_static("admin")]);
    for (bulk, expected) in [
        (unknown, "role_unknown"),
        (
            BulkInvitation::new(many(501), vec![member()]),
            "invitation_batch",
        ),
        (
            BulkInvitation::new(vec![], vec![member()]),
            "invitation_batch",
        ),
        (BulkInvitation::new(many(1), vec![]), "invitation_roles"),
    ] {
        let refused = host.invitations.invite_many(owner, bulk).await;
        assert_eq!(code(refused), expected);
    }
    let refused = host
        .invitations
        .invite_many(
            host.acme.member("bob")?,
            BulkInvitation::new(many(1), vec![member()]),
        )
        .await;
    assert_eq!(code(refused), "permission_denied");
    let after = host
        .invitations
        .list(owner, &InvitationPage::default())
        .await?;
    assert_eq!(before.len(), after.len(), "what is refused stores nothing");

    let full = BulkInvitation::new(many(500), vec![member()]);
    let outcomes = host.invitations.invite_many(owner, full).await?;
    let sent = outcomes.iter().filter(|o| o.result.is_ok()).count();
    assert_eq!(
        (outcomes.len(), sent),
        (500, 100),
        "the limit bounds a batch"
    );
    Ok(())
}

#[tokio::test]
async fn who_was_kept_out_does_not_come_in_by_an_invitation_alone() -> Result {
    let host = host().await?;
    let (owner, bob) = (host.acme.owner(), host.acme.user("bob")?);
    let eve = host.acme.member("eve")?;
    host.authz.grant(eve, perm::MembersInvite::KEY);
    host.members
        .set_status(owner, bob, MemberStatus::Deactivated)
        .await?;
    let by_eve = host.invite(eve, "bob@example.com").await?;
    let refused = host.accept(&by_eve, bob, "bob@example.com").await;
    assert_eq!(code(refused), "member_deactivated");
    assert!(host.kit.app.enter(host.acme.id(), bob).await.is_err());
    let denied = host.audit.of("invitation.accepted");
    assert_eq!(denied.len(), 1);

    let by_owner = host.invite(owner, "bob@example.com").await?;
    host.accept(&by_owner, bob, "bob@example.com").await?;
    host.kit.app.enter(host.acme.id(), bob).await?;

    // An owner who was kept out comes in again on the word of an owner only.
    host.superuser("UPDATE tenancy.memberships SET is_owner = true WHERE NOT is_owner AND user_id IN (SELECT accepted_by FROM tenancy.invitations WHERE email_norm = 'bob@example.com')")
        .await?;
    host.members
        .set_status(owner, bob, MemberStatus::Deactivated)
        .await?;
    host.authz.grant(eve, perm::MembersManage::KEY);
    let by_eve = host.invite(eve, "bob@example.com").await?;
    let refused = host.accept(&by_eve, bob, "bob@example.com").await;
    assert_eq!(code(refused), "member_deactivated");
    Ok(())
}

#[tokio::test]
async fn a_tenant_that_is_not_active_takes_in_nobody() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let sent = host.invite(owner, "ada@example.com").await?;
    for how in [Suspension::ReadOnly, Suspension::Blocked] {
        host.tenants.suspend(owner, how).await?;
        let refused = host.accept(&sent, UserId::new(), "ada@example.com").await;
        assert_eq!(refused.as_ref().unwrap_err().kind(), ErrorKind::Suspended);
        assert_eq!(code(refused), "tenant_suspended");
        host.superuser("UPDATE tenancy.tenants SET status = 'active'")
            .await?;
    }
    host.accept(&sent, UserId::new(), "ada@example.com").await?;
    Ok(())
}

#[tokio::test]
async fn who_declines_is_on_record_and_it_is_over() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let sent = host.invite(owner, "ada@example.com").await?;
    let (token, ada) = (sent.token.expose(), UserId::new());
    let (email, other) = (Email::parse("ada@example.com")?, Email::parse("eve@x.de")?);
    let refused = host.invitations.decline(token, ada, &other).await;
    assert_eq!(code(refused), "invitation_wrong_recipient");
    host.invitations.decline(token, ada, &email).await?;
    let entries = host.audit.of("invitation.declined");
    assert_eq!(entries.len(), 1);
    assert!(
        entries
            .iter()
            .all(|e| e.principal.effective_user() == Some(ada))
    );
    for again in [
        host.invitations.decline(token, ada, &email).await.err(),
        host.accept(&sent, ada, "ada@example.com").await.err(),
        host.invitations
            .resend(owner, sent.invitation.id, DAY)
            .await
            .err(),
    ] {
        assert_eq!(again.map(|error| error.code()), Some("invitation_declined"));
    }
    assert!(host.kit.app.enter(host.acme.id(), ada).await.is_err());
    Ok(())
}

#[tokio::test]
async fn invitations_are_listed_by_the_page_newest_first() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    for n in 0..7 {
        host.invite(owner, &format!("p{n}@example.com")).await?;
    }
    let mut page = InvitationPage::default()
        .with_status(InvitationStatus::Pending)
        .with_limit(3);
    let mut seen = Vec::new();
    loop {
        let found = host.invitations.list(owner, &page).await?;
        let Some(last) = found.last() else { break };
        page = page.with_after(last.id);
        seen.extend(found.into_iter().map(|invitation| invitation.id));
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.iter().rev().is_sorted());
    let refused = host.invitations.list(host.acme.member("bob")?, &page).await;
    assert_eq!(code(refused), "permission_denied");
    Ok(())
}

#[tokio::test]
async fn only_a_person_by_his_own_hand_invites() -> Result {
    let host = host().await?;
    let service = host
        .kit
        .app
        .enter_system(
            host.acme.id(),
            ServiceKey::from_static("crm"),
            vec![perm::MembersInvite::KEY],
        )
        .await?;
    assert_eq!(
        code(host.invite(&service, "ada@example.com").await),
        "inviter_not_a_user"
    );
    Ok(())
}

/// Until somebody waits for a lock in this database.
async fn somebody_waits(host: &Host) -> Result {
    let superuser = host.kit.superuser().await?;
    let mut waiting = false;
    while !waiting {
        waiting = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')",
        )
        .fetch_one(&superuser)
        .await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_meets_a_revocation_does_not_write_over_it() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    for declines in [false, true] {
        let sent = host.invite(owner, "ada@example.com").await?;
        // Half of what `revoke` does: the invitation is revoked, and that is not committed yet.
        let mut tx = host.kit.app.write(owner).await?;
        let revoked: bool = sqlx::query_scalar("SELECT tenancy.revoke_invitation($1)")
            .bind(sent.invitation.id)
            .fetch_one(&mut *tx)
            .await?;
        assert!(revoked);
        let (invitations, token) = (host.invitations.clone(), sent.token.expose().to_owned());
        let ada = UserId::new();
        let answering = tokio::spawn(async move {
            let email = Email::parse("ada@example.com")?;
            if declines {
                return invitations.decline(&token, ada, &email).await;
            }
            invitations.accept(&token, ada, &email).await.map(drop)
        });
        somebody_waits(&host).await?;
        tx.commit().await?;
        assert_eq!(code(answering.await?), "invitation_revoked");
        let member = host.members.get(owner, ada).await?;
        assert!(member.is_none(), "revoked means that he is not in");
    }
    Ok(())
}

/// The service looks first; the function decides with the tenant's row locked.
#[tokio::test]
async fn a_tenant_that_closes_while_an_invitation_is_accepted_takes_nobody_in() -> Result {
    let host = host().await?;
    let owner = host.acme.owner();
    let sent = host.invite(owner, "ada@example.com").await?;
    let ada = UserId::new();
    let answer = async |to: &str| -> Result<String> {
        let mut tx = host.kit.app.write(owner).await?;
        let word = sqlx::query_scalar("SELECT tenancy.answer_invitation(sha256(convert_to($1, 'UTF8')), $2, 'ada@example.com', $3, false)")
            .bind(sent.token.expose())
            .bind(ada)
            .bind(to)
            .fetch_one(&mut *tx)
            .await?;
        Ok(word)
    };
    assert_eq!(answer("accepted").await?, "ok", "rolled back again");
    for status in [
        "UPDATE tenancy.tenants SET status = 'suspended_read_only'",
        "UPDATE tenancy.tenants SET status = 'suspended_blocked'",
        "UPDATE tenancy.tenants SET status = 'deleting', status_before = 'active', delete_after = now()",
        "UPDATE tenancy.tenants SET status = 'purging', status_before = NULL, delete_after = NULL",
        "UPDATE tenancy.tenants SET status = 'deleted'",
    ] {
        host.superuser(status).await?;
        assert_eq!(answer("accepted").await?, "tenant_closed", "{status}");
        assert_eq!(answer("declined").await?, "ok", "who says no may, always");
    }

    // And when the door closes behind the service's own look.
    host.superuser("UPDATE tenancy.tenants SET status = 'active'")
        .await?;
    let superuser = host.kit.superuser().await?;
    let mut closing = superuser.begin().await?;
    sqlx::raw_sql("UPDATE tenancy.tenants SET status = 'suspended_blocked'")
        .execute(&mut *closing)
        .await?;
    let (invitations, token) = (host.invitations.clone(), sent.token.expose().to_owned());
    let accepting = tokio::spawn(async move {
        let email = Email::parse("ada@example.com")?;
        invitations.accept(&token, ada, &email).await
    });
    somebody_waits(&host).await?;
    closing.commit().await?;
    assert_eq!(code(accepting.await?), "tenant_suspended");
    Ok(())
}
