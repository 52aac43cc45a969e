//! Who belongs to a tenant and who owns it, also when everything happens at once.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tenancy_core::{
    Email, Error, ErrorKind, Invitations, MemberStatus, Members, NewInvitation, NoRoles, Ownership,
    RoleKey, ServiceKey, TenantCtx, TenantDb, UserId,
    migrate::CORE,
    perm,
    testing::{self, FakeAuthorizer, MemoryAudit},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const HOUR: Duration = Duration::from_hours(1);
const OUT: MemberStatus = MemberStatus::Deactivated;

/// The services of one process of a host.
#[derive(Clone)]
struct Host {
    db: TenantDb,
    members: Members,
    ownership: Ownership,
    invitations: Invitations,
    audit: MemoryAudit,
}

impl Host {
    fn new(db: &TenantDb) -> Self {
        let audit = MemoryAudit::new();
        let authz = Arc::new(FakeAuthorizer::allowing_all());
        let (roles, sink) = (Arc::new(NoRoles::new()), Arc::new(audit.clone()));
        Self {
            members: Members::new(db.clone(), authz.clone(), roles.clone(), sink.clone()),
            ownership: Ownership::new(db.clone(), roles.clone(), sink.clone()),
            invitations: Invitations::new(db.clone(), authz, roles, sink),
            db: db.clone(),
            audit,
        }
    }

    async fn tenant(&self) -> Result<TenantCtx> {
        Ok(testing::tenant(&self.db).await?)
    }

    async fn member(&self, owner: &TenantCtx) -> Result<TenantCtx> {
        Ok(testing::member(&self.db, owner).await?)
    }

    async fn owners(&self, ctx: &TenantCtx) -> Result<Vec<UserId>> {
        let members = self.members.list(ctx, None, 200).await?;
        let active = members
            .into_iter()
            .filter(|member| member.is_owner && member.status == MemberStatus::Active);
        Ok(active.map(|member| member.user).collect())
    }
}

async fn host() -> Result<(Db, Host)> {
    let kit = Db::new(&[&CORE]).await?;
    let host = Host::new(&kit.app);
    Ok((kit, host))
}

fn user(ctx: &TenantCtx) -> UserId {
    ctx.user().expect("a context of a user")
}

fn code<T: std::fmt::Debug>(result: std::result::Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

#[tokio::test]
async fn who_may_manage_members_can_not_touch_an_owner() -> Result {
    let (_kit, host) = host().await?;
    let owner = host.tenant().await?;
    let (second, manager) = (host.member(&owner).await?, host.member(&owner).await?);
    host.ownership.add(&owner, user(&second)).await?;
    let service = host
        .db
        .enter_system(
            owner.tenant(),
            ServiceKey::from_static("hr"),
            vec![<perm::MembersManage as tenancy_core::Permission>::KEY],
        )
        .await?;

    for by in [&manager, &service] {
        let refused = host.members.set_status(by, user(&second), OUT).await;
        assert_eq!(refused.as_ref().unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(code(refused), "owner_protected");
        let refused = host.members.remove(by, user(&second)).await;
        assert_eq!(code(refused), "owner_protected");
    }
    host.members.set_status(&owner, user(&second), OUT).await?;
    let back = host
        .members
        .set_status(&manager, user(&second), MemberStatus::Active)
        .await;
    assert_eq!(
        code(back),
        "owner_protected",
        "letting an owner in again makes an owner"
    );
    let denied = host.audit.of("member.removed");
    assert_eq!(denied.len(), 2);
    assert_eq!(denied[0].event.meta["reason"], "owner_protected");

    host.members.remove(&owner, user(&second)).await?;
    host.members
        .set_status(&service, user(&manager), OUT)
        .await?;
    Ok(())
}

#[tokio::test]
async fn what_is_so_already_is_no_change() -> Result {
    let (_kit, host) = host().await?;
    let owner = host.tenant().await?;
    let bob = host.member(&owner).await?;
    let before = host.audit.entries().len();
    host.members
        .set_status(&owner, user(&bob), MemberStatus::Active)
        .await?;
    host.ownership.remove(&owner, user(&bob)).await?;
    assert_eq!(host.audit.entries().len(), before);
    let found = host.members.get(&owner, user(&bob)).await?;
    assert!(found.is_some_and(|member| member.status == MemberStatus::Active && !member.is_owner));
    assert!(host.members.get(&owner, UserId::new()).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn members_are_listed_by_the_page_and_those_of_others_are_not() -> Result {
    let (_kit, host) = host().await?;
    let (owner, other) = (host.tenant().await?, host.tenant().await?);
    for _ in 0..6 {
        host.member(&owner).await?;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = host.members.list(&owner, after, 3).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.user);
        seen.extend(page.into_iter().map(|member| member.user));
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted() && !seen.contains(&user(&other)));
    assert!(host.members.get(&owner, user(&other)).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn only_a_person_by_his_own_hand_leaves() -> Result {
    let (_kit, host) = host().await?;
    let owner = host.tenant().await?;
    let bob = host.member(&owner).await?;
    let service = host
        .db
        .enter_system(owner.tenant(), ServiceKey::from_static("cron"), vec![])
        .await?;
    assert_eq!(code(host.members.leave(&service).await), "not_himself");
    assert_eq!(code(host.members.leave(&owner).await), "last_owner");
    host.members.leave(&bob).await?;
    assert_eq!(host.audit.of("member.left").len(), 2);
    let gone = host.db.enter(owner.tenant(), user(&bob)).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotAMember);
    Ok(())
}

#[tokio::test]
async fn who_goes_takes_his_invitations_and_offers_with_him() -> Result {
    let (_kit, host) = host().await?;
    let owner = host.tenant().await?;
    for leaves in [true, false] {
        let bob = host.member(&owner).await?;
        let email = Email::parse("new@example.com")?;
        let roles = vec![RoleKey::from_static("member")];
        let sent = host
            .invitations
            .invite(&bob, NewInvitation::new(email.clone(), roles))
            .await?;
        let offer = host.ownership.offer(&owner, user(&bob), HOUR).await?;
        if leaves {
            host.members.leave(&bob).await?;
        } else {
            host.members.set_status(&owner, user(&bob), OUT).await?;
        }
        let refused = host
            .invitations
            .accept(sent.token.expose(), UserId::new(), &email)
            .await;
        assert_eq!(code(refused), "invitation_revoked");
        assert_eq!(
            code(host.ownership.accept(&bob, offer.id).await),
            "offer_revoked"
        );
        assert!(host.ownership.open_offer(&owner).await?.is_none());
    }
    Ok(())
}

#[tokio::test]
async fn ownership_changes_hands_by_offer_and_acceptance() -> Result {
    let (_kit, host) = host().await?;
    let owner = host.tenant().await?;
    let (bob, eve) = (host.member(&owner).await?, host.member(&owner).await?);
    let ownership = &host.ownership;
    assert_eq!(
        code(ownership.offer(&bob, user(&eve), HOUR).await),
        "owner_only"
    );
    let offer = ownership.offer(&owner, user(&bob), HOUR).await?;
    assert_eq!(
        code(ownership.offer(&owner, user(&eve), HOUR).await),
        "offer_open"
    );
    let seen = ownership.open_offer(&eve).await?.map(|open| open.id);
    assert_eq!(seen, Some(offer.id));
    for other in [&eve, &owner] {
        assert_eq!(
            code(ownership.accept(other, offer.id).await),
            "offer_wrong_recipient"
        );
    }
    assert_eq!(code(ownership.revoke(&eve, offer.id).await), "owner_only");
    ownership.accept(&bob, offer.id).await?;
    assert_eq!(host.owners(&bob).await?, [user(&bob)]);
    assert_eq!(code(ownership.accept(&bob, offer.id).await), "offer_used");
    // Two refusals are on record under the same action.
    let entries = host.audit.of("ownership.transferred");
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[2].event.meta["from"], user(&owner).to_string());
    assert_eq!(entries[2].event.meta["to"], user(&bob).to_string());
    Ok(())
}

#[tokio::test]
async fn an_offer_that_ended_is_not_accepted_and_says_how_it_ended() -> Result {
    let (kit, host) = host().await?;
    let owner = host.tenant().await?;
    let bob = host.member(&owner).await?;
    let ownership = &host.ownership;
    let offer = async || ownership.offer(&owner, user(&bob), HOUR).await;
    let accept = async |id| code(ownership.accept(&bob, id).await);

    let revoked = offer().await?.id;
    ownership.revoke(&owner, revoked).await?;
    assert_eq!(accept(revoked).await, "offer_revoked");
    let declined = offer().await?.id;
    ownership.decline(&bob, declined).await?;
    assert_eq!(accept(declined).await, "offer_declined");
    assert_eq!(
        code(ownership.revoke(&owner, declined).await),
        "offer_declined"
    );

    let expired = offer().await?.id;
    let superuser = kit.superuser().await?;
    sqlx::raw_sql("UPDATE tenancy.ownership_offers SET expires_at = now() WHERE status = 'open'")
        .execute(&superuser)
        .await?;
    assert_eq!(accept(expired).await, "offer_expired");
    assert!(ownership.open_offer(&owner).await?.is_none());
    let open = offer().await?.id;
    assert_eq!(
        accept(expired).await,
        "offer_expired",
        "a new offer does not open an old one"
    );
    assert_eq!(
        accept(tenancy_core::OwnershipOfferId::new()).await,
        "offer_unknown"
    );
    let other = host.tenant().await?;
    assert_eq!(
        code(ownership.revoke(&other, open).await),
        "offer_unknown",
        "an offer of another tenant"
    );

    // Who offered gives his place up before the other accepts.
    let eve = host.member(&owner).await?;
    ownership.add(&owner, user(&eve)).await?;
    ownership.remove(&owner, user(&owner)).await?;
    assert_eq!(accept(open).await, "offer_stale");
    assert_eq!(host.owners(&owner).await?, [user(&eve)]);
    Ok(())
}

#[tokio::test]
async fn an_offer_is_for_an_active_member_who_is_no_owner() -> Result {
    let (_kit, host) = host().await?;
    let (owner, other) = (host.tenant().await?, host.tenant().await?);
    let bob = host.member(&owner).await?;
    host.members.set_status(&owner, user(&bob), OUT).await?;
    let offered = async |to| code(host.ownership.offer(&owner, to, HOUR).await);
    assert_eq!(offered(user(&bob)).await, "member_deactivated");
    assert_eq!(offered(user(&other)).await, "member_not_found");
    assert_eq!(offered(user(&owner)).await, "already_owner");
    assert_eq!(
        code(host.ownership.add(&owner, user(&bob)).await),
        "member_deactivated"
    );
    let short = host
        .ownership
        .offer(&owner, user(&bob), Duration::from_secs(1))
        .await;
    assert_eq!(code(short), "offer_validity");
    Ok(())
}

/// A generator that gives the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }
}

/// One of what members and owners do to each other, drawn by the dice.
async fn act(host: Host, people: Vec<TenantCtx>, mut dice: Dice) -> &'static str {
    let who = people[dice.below(people.len())].clone();
    let whom = user(&people[dice.below(people.len())]);
    let done = match dice.below(9) {
        0 => host.members.leave(&who).await,
        1 => host.members.remove(&who, whom).await,
        2 => host.members.set_status(&who, whom, OUT).await,
        3 => {
            host.members
                .set_status(&who, whom, MemberStatus::Active)
                .await
        }
        4 => host.ownership.add(&who, whom).await,
        5 | 6 => host.ownership.remove(&who, whom).await,
        7 => host.ownership.offer(&who, whom, HOUR).await.map(drop),
        _ => match host.ownership.open_offer(&who).await {
            Ok(Some(offer)) => host.ownership.accept(&who, offer.id).await,
            other => other.map(drop),
        },
    };
    code(done)
}

#[tokio::test]
async fn a_tenant_keeps_an_owner_whatever_two_processes_do_at_once() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    // Two processes are two sets of connections that know nothing of each other.
    let twin = TenantDb::connect(kit.server.app_url()).await?;
    let hosts = [Host::new(&kit.app), Host::new(&twin)];
    let superuser = kit.superuser().await?;
    let (mut succeeded, mut last_owner) = (0, 0);
    for seed in 1..=25_u64 {
        let owner = hosts[0].tenant().await?;
        let mut people = vec![owner.clone()];
        for at in 0..4 {
            people.push(hosts[0].member(&owner).await?);
            if at < 2 {
                hosts[0]
                    .ownership
                    .add(&owner, user(&people[at + 1]))
                    .await?;
            }
        }
        for round in 0..4_u64 {
            let acts = (0..8_u64).map(|at| {
                let dice = Dice(seed * 1_000 + round * 100 + at + 1);
                let host = hosts[usize::from(at % 2 == 1)].clone();
                tokio::spawn(act(host, people.clone(), dice))
            });
            for answer in join_all(acts).await {
                succeeded += i32::from(answer.as_ref().is_ok_and(|code| *code == "ok"));
                last_owner += i32::from(answer.is_ok_and(|code| code == "last_owner"));
            }
            let (owners, open): (i64, i64) = sqlx::query_as(
                "SELECT count(*) FILTER (WHERE is_owner AND status = 'active'),
                    (SELECT count(*) FROM tenancy.ownership_offers WHERE tenant_id = $1 AND status = 'open')
                 FROM tenancy.memberships WHERE tenant_id = $1",
            )
            .bind(owner.tenant())
            .fetch_one(&superuser)
            .await?;
            assert!(
                owners >= 1 && open <= 1,
                "seed {seed}, round {round}: {owners}, {open}"
            );
        }
    }
    assert!(
        succeeded > 100 && last_owner > 10,
        "the dice meet the rule: {succeeded} {last_owner}"
    );
    Ok(())
}

#[tokio::test]
async fn of_two_processes_that_would_take_the_last_owners_one_is_refused() -> Result {
    let kit = Db::new(&[&CORE]).await?;
    let twin = Host::new(&TenantDb::connect(kit.server.app_url()).await?);
    let host = Host::new(&kit.app);
    for round in 0..20 {
        let a = host.tenant().await?;
        let b = host.member(&a).await?;
        host.ownership.add(&a, user(&b)).await?;
        let (me, other) = (user(&a), user(&b));
        let (one, two) = match round % 4 {
            0 => tokio::join!(host.members.leave(&a), twin.members.leave(&b)),
            1 => tokio::join!(
                host.members.set_status(&a, other, OUT),
                twin.members.leave(&a)
            ),
            2 => tokio::join!(host.members.remove(&a, other), twin.members.remove(&b, me)),
            _ => tokio::join!(
                host.ownership.remove(&a, me),
                twin.members.set_status(&b, other, OUT)
            ),
        };
        assert!(one.is_ok() != two.is_ok(), "round {round}: {one:?} {two:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_offer_is_accepted_once_though_everything_else_happens_meanwhile() -> Result {
    let (_kit, host) = host().await?;
    for _ in 0..10 {
        let owner = host.tenant().await?;
        let bob = host.member(&owner).await?;
        let offer = host.ownership.offer(&owner, user(&bob), HOUR).await?;
        let accepts = join_all((0..4).map(|_| host.ownership.accept(&bob, offer.id)));
        let (accepted, _revoked, _left) = tokio::join!(
            accepts,
            host.ownership.revoke(&owner, offer.id),
            host.members.remove(&owner, user(&bob)),
        );
        let won = accepted.iter().filter(|answer| answer.is_ok()).count();
        assert!(won <= 1);
        let owners = host.owners(&owner).await?;
        assert_eq!(owners.len(), 1);
        assert_eq!(owners[0] == user(&bob), won == 1, "{accepted:?}");
    }
    Ok(())
}
