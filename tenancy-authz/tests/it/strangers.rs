//! Who is no member is told so whatever he asks for, and the same whichever way he asks: no answer tells
//! him which permissions there are.

use std::sync::Arc;

use serde_json::Value;
use tenancy_authz::{AuthzOptions, PgAuthorizer, PgPolicyStore, PolicyStore, testing};
use tenancy_core::{
    Authorizer as _, Decision, ErrorKind, MemberStatus, Members, PermissionKey, Principal,
    TenantCtx, UserId,
    testing::{MemoryAudit, acting_for, imagined},
};

use crate::{
    many::key_of,
    support::{PURGE, READ, Result, WRITE, World, definitions, user},
};

const MANAGE: PermissionKey = PermissionKey::from_static("roles.manage");
const UNHEARD: PermissionKey = PermissionKey::from_static("no.such");

/// What one is told of a permission: the reason of the decision, and kind, code, message and reason on
/// record of the refusal.
type Told = (String, Option<(ErrorKind, &'static str, String)>, Value);

/// Asks in every way, twice; panics where two ways differ.
async fn told(
    world: &World,
    authz: &PgAuthorizer,
    audit: &MemoryAudit,
    ctx: &TenantCtx,
    key: &PermissionKey,
) -> Result<Told> {
    let one = std::slice::from_ref(key);
    let mut told: Vec<Told> = Vec::new();
    for round in 0..2 {
        for way in ["alone", "in a transaction", "all", "any"] {
            let mut tx = world.db.app.aside(ctx).await?;
            let decision = match way {
                "in a transaction" => authz.check_in(&mut tx, key).await?,
                _ => authz.check(ctx, key).await?,
            };
            let reason = match decision {
                Decision::Deny(reason) => reason.as_str(),
                _ => "allowed",
            };
            let before = audit.of("access.denied").len();
            let required = match way {
                "alone" => authz.require_key(ctx, key).await,
                "in a transaction" => authz.require_key_in(&mut tx, key).await,
                "all" => authz.require_all(ctx, one).await.map_err(Into::into),
                _ => match authz.require_any(ctx, one).await {
                    Ok(_) => Ok(()),
                    Err(error) => Err(error.into()),
                },
            };
            let refused = required.err().map(|error| {
                assert!(error.is_on_record(), "{way}: {error}");
                (error.kind(), error.code(), error.to_string())
            });
            let entries = audit.of("access.denied").split_off(before);
            assert_eq!(entries.len(), usize::from(refused.is_some()), "{way}");
            let noted = entries
                .first()
                .map_or(Value::Null, |entry| entry.event.meta["reason"].clone());
            // Of one who lacks any of several nobody says which one.
            let refused = match (way, refused) {
                ("any", Some((ErrorKind::Denied, code, _))) => Some((
                    ErrorKind::Denied,
                    code,
                    format!("permission `{key}` is missing"),
                )),
                (_, refused) => refused,
            };
            told.push((reason.to_owned(), refused, noted));
            assert_eq!(told.first(), told.last(), "{key}, {way}, round {round}");
        }
    }
    Ok(told.swap_remove(0))
}

fn out() -> Told {
    let message = "no such tenant, or no membership in it".to_owned();
    let refused = (ErrorKind::NotAMember, "not_a_member", message);
    (
        "not_a_member".to_owned(),
        Some(refused),
        "not_a_member".into(),
    )
}

fn denied(key: &PermissionKey, reason: &str) -> Told {
    let message = format!("permission `{key}` is missing");
    let refused = (ErrorKind::Denied, "permission_denied", message);
    (reason.to_owned(), Some(refused), reason.into())
}

fn held() -> Told {
    ("allowed".to_owned(), None, Value::Null)
}

/// An authorizer that knows nothing yet, over this store.
fn over(store: &Arc<dyn PolicyStore>, audit: &MemoryAudit) -> Arc<PgAuthorizer> {
    let (audit, options) = (Arc::new(audit.clone()), AuthzOptions::default());
    Arc::new(PgAuthorizer::over(store.clone(), audit, options))
}

#[tokio::test]
async fn who_is_no_member_is_told_nothing_else_whatever_he_asks_and_whichever_way() -> Result {
    let world = World::new().await?;
    let memory = testing::MemoryPolicyStore::new(&definitions())?;
    let stores: [Arc<dyn PolicyStore>; 2] = [
        Arc::new(PgPolicyStore::new(world.db.app.clone())),
        Arc::new(memory.clone()),
    ];
    for store in stores {
        let audit = MemoryAudit::new();
        let authz = over(&store, &audit);
        let owner = testing::tenant(&world.db.app, &authz).await?;
        let join = async || testing::member(&world.db.app, &authz, &owner, &["admin"]).await;
        let (gone, kept_out, maker) = (join().await?, join().await?, join().await?);
        let everything = [READ, WRITE, PURGE, MANAGE, UNHEARD];
        let by_gone = [
            key_of(&world, &maker, &everything).await?,
            key_of(&world, &maker, &[READ]).await?,
        ];
        let members = Members::new(
            world.db.app.clone(),
            authz.clone(),
            authz.clone(),
            Arc::new(audit.clone()),
        );
        members.remove(&owner, user(&gone)).await?;
        members.remove(&owner, user(&maker)).await?;
        members
            .set_status(&owner, user(&kept_out), MemberStatus::Deactivated)
            .await?;
        for left in [&gone, &maker, &kept_out] {
            memory.set_active(owner.tenant(), user(left), false);
        }
        let fresh = over(&store, &audit);
        let stranger = imagined(owner.tenant(), Principal::user(UserId::new()));
        let for_gone = acting_for(&owner, UserId::new(), user(&gone));
        let [with_all, with_little] = &by_gone;
        for (who, ctx) in [
            ("a stranger", &stranger),
            ("one who was removed", &gone),
            ("one who is kept out", &kept_out),
            ("support of one who was removed", &for_gone),
            ("a key whose maker was removed", with_all),
            ("a key of his that brings little", with_little),
        ] {
            for key in &everything {
                let told = told(&world, &fresh, &audit, ctx, key).await?;
                assert_eq!(told, out(), "{who} asks for {key}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_member_is_told_the_same_whichever_way_he_asks() -> Result {
    let world = World::new().await?;
    let stores: [Arc<dyn PolicyStore>; 2] = [
        Arc::new(PgPolicyStore::new(world.db.app.clone())),
        Arc::new(testing::MemoryPolicyStore::new(&definitions())?),
    ];
    for store in stores {
        let audit = MemoryAudit::new();
        let authz = over(&store, &audit);
        let owner = testing::tenant(&world.db.app, &authz).await?;
        let member = testing::member(&world.db.app, &authz, &owner, &["viewer"]).await?;
        let key = key_of(&world, &member, &[READ, PURGE, UNHEARD]).await?;
        let support = acting_for(&owner, UserId::new(), user(&owner));
        for (who, ctx, asked, expected) in [
            ("a member", &member, READ, held()),
            ("a member", &member, PURGE, denied(&PURGE, "not_granted")),
            (
                "a member",
                &member,
                UNHEARD,
                denied(&UNHEARD, "unknown_permission"),
            ),
            ("his key", &key, READ, held()),
            ("his key", &key, PURGE, denied(&PURGE, "not_granted")),
            ("his key", &key, WRITE, denied(&WRITE, "not_granted")),
            (
                "his key",
                &key,
                UNHEARD,
                denied(&UNHEARD, "unknown_permission"),
            ),
            ("support", &support, PURGE, held()),
            ("support", &support, MANAGE, denied(&MANAGE, "not_granted")),
            (
                "support",
                &support,
                UNHEARD,
                denied(&UNHEARD, "unknown_permission"),
            ),
        ] {
            let told = told(&world, &authz, &audit, ctx, &asked).await?;
            assert_eq!(told, expected, "{who} asks for {asked}");
        }
    }
    Ok(())
}
