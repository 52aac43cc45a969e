//! The administration of roles: who may, what is on record, and what can't be done.

use chrono::{TimeDelta, Utc};
use serde_json::json;
use tenancy_authz::{ErrorKind, MemberState, NewRole, RoleName};
use tenancy_core::{Members, PermissionKey};

use crate::support::{PURGE, READ, Result, WRITE, World, role, told, user};

const MANAGE: PermissionKey = PermissionKey::from_static("roles.manage");

#[tokio::test]
async fn every_change_is_on_record_with_before_and_after() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let clerk = NewRole::new(role("clerk"), RoleName::parse("Clerk")?).with_permission(READ);
    roles.create(owner, clerk).await?;
    let member = world.member(&["viewer"]).await?;
    roles
        .rename(owner, &role("clerk"), RoleName::parse("Clerks")?)
        .await?;
    roles.grant(owner, &role("clerk"), &WRITE).await?;
    let until = "2999-01-01T00:00:00Z".parse()?;
    roles
        .assign(owner, user(&member), &role("clerk"), None)
        .await?;
    roles
        .assign(owner, user(&member), &role("clerk"), Some(until))
        .await?;
    roles.revoke(owner, &role("clerk"), &WRITE).await?;
    roles.unassign(owner, user(&member), &role("clerk")).await?;
    roles.delete(owner, &role("clerk")).await?;
    // What is so already leaves no entry.
    roles.grant(owner, &role("viewer"), &READ).await?;
    roles.unassign(owner, user(&member), &role("admin")).await?;

    let entries = world.audit.entries();
    assert!(entries.iter().all(|entry| entry.tenant == owner.tenant()));
    let told = told(&entries);
    let deleted = json!({
        "name": "Clerks", "permissions": ["templates.read"], "permission_count": 1, "members": [], "member_count": 0, "heirs": [], "heir_count": 0
    });
    assert_eq!(
        told,
        [
            ("role.created", json!(null), json!({"name": "Clerk"})),
            (
                "role.permission_granted",
                json!({"granted": false}),
                json!({"granted": true})
            ),
            (
                "role.renamed",
                json!({"name": "Clerk"}),
                json!({"name": "Clerks"})
            ),
            (
                "role.permission_granted",
                json!({"granted": false}),
                json!({"granted": true})
            ),
            ("role.assigned", json!(null), json!({"expires_at": null})),
            (
                "role.assigned",
                json!({"expires_at": null}),
                json!({"expires_at": "2999-01-01T00:00:00Z"})
            ),
            (
                "role.permission_revoked",
                json!({"granted": true}),
                json!({"granted": false})
            ),
            (
                "role.unassigned",
                json!({"expires_at": "2999-01-01T00:00:00+00:00"}),
                json!(null)
            ),
            ("role.deleted", deleted, json!(null)),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn who_may_not_manage_roles_changes_none_and_is_on_record() -> Result {
    let world = World::new().await?;
    let viewer = world.member(&["viewer"]).await?;
    let before = world.dump().await?;
    let refused = world
        .roles
        .assign(&viewer, user(&viewer), &role("owner"), None)
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Denied);
    let refused = world
        .roles
        .list(&viewer, &tenancy_authz::RolePage::default())
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Denied);
    let refused = world.roles.why(&viewer, user(&world.owner), &READ).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(world.audit.of("access.denied").len(), 3);
    // About himself he may ask.
    assert!(
        world
            .roles
            .why(&viewer, user(&viewer), &READ)
            .await?
            .is_allowed()
    );
    assert_eq!(
        world
            .roles
            .permissions_of_member(&viewer, user(&viewer))
            .await?,
        [READ]
    );
    assert_eq!(world.dump().await?, before);
    Ok(())
}

#[tokio::test]
async fn the_database_refuses_it_too_when_the_code_forgets_to_ask() -> Result {
    let world = World::new().await?;
    let viewer = world.member(&["viewer"]).await?;
    for call in [
        "SELECT outcome FROM tenancy.assign_role(util.current_user_id(), 'owner', NULL)",
        "SELECT outcome FROM tenancy.unassign_role(util.current_user_id(), 'viewer')",
        "SELECT outcome FROM tenancy.create_role('mine', 'Mine')",
        "SELECT outcome FROM tenancy.rename_role('viewer', 'Mine')",
        "SELECT outcome FROM tenancy.delete_role('viewer')",
        "SELECT outcome FROM tenancy.grant_permission('viewer', 'roles.manage')",
        "SELECT outcome FROM tenancy.revoke_permission('viewer', 'templates.read')",
        "SELECT outcome FROM tenancy.grant_wildcard('viewer', 'templates.*')",
        "SELECT outcome FROM tenancy.revoke_wildcard('viewer', 'templates.*')",
        "SELECT outcome FROM tenancy.add_role_parent('viewer', 'admin')",
        "SELECT outcome FROM tenancy.remove_role_parent('viewer', 'admin')",
        "SELECT outcome FROM tenancy.clone_role('admin', 'mine', 'Mine')",
        "SELECT outcome FROM tenancy.lock_policy()",
        "SELECT outcome FROM tenancy.change_policy('[]')",
        "SELECT outcome FROM tenancy.change_policy('[{\"op\": \"grant\", \"role\": \"viewer\", \"other\": \"roles.manage\"}]')",
    ] {
        let mut tx = world.db.app.write(&viewer).await?;
        let outcome: String = sqlx::query_scalar(call).fetch_one(&mut *tx).await?;
        assert_eq!(outcome, "denied", "{call}");
    }
    let mut tx = world.db.app.write(&viewer).await?;
    let call = "SELECT outcome FROM tenancy.assign_invited(util.current_user_id(), $1, '{owner}')";
    let outcome: String = sqlx::query_scalar(call)
        .bind(user(&world.owner))
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(outcome, "not_invited");
    let call = "SELECT outcome FROM tenancy.seed_roles(util.current_user_id())";
    let outcome: String = sqlx::query_scalar(call).fetch_one(&mut *tx).await?;
    assert_eq!(
        outcome, "member_unknown",
        "who is no owner of the tenant is not made one"
    );
    Ok(())
}

#[tokio::test]
async fn an_attempt_to_give_more_than_one_has_is_refused_and_on_record_once() -> Result {
    let world = World::new().await?;
    let clerk = NewRole::new(role("clerk"), RoleName::parse("Clerk")?).with_permission(MANAGE);
    world.roles.create(&world.owner, clerk).await?;
    let clerk = world.member(&["clerk"]).await?;
    let before = world.dump().await?;
    let refused = world
        .roles
        .grant(&clerk, &role("clerk"), &PURGE)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.kind(), refused.code()),
        (ErrorKind::Exceeds, "exceeds_own_permissions")
    );
    assert!(
        refused.to_string().contains("`templates.purge`"),
        "{refused}"
    );
    assert_eq!(
        tenancy_core::Error::from(refused).kind(),
        tenancy_core::ErrorKind::Denied
    );
    let denials = world.audit.of("access.denied");
    assert_eq!(denials.len(), 1);
    assert_eq!(denials[0].event.meta["reason"], "exceeds_own_permissions");
    assert_eq!(denials[0].event.targets[0].id, "clerk");
    assert_eq!(world.dump().await?, before);
    Ok(())
}

#[tokio::test]
async fn somebody_is_left_to_manage_roles_also_when_two_leave_at_once() -> Result {
    let world = World::new().await?;
    // Two who manage roles, in a tenant whose owners lost their role by other means.
    let (one, two) = (
        world.member(&["admin"]).await?,
        world.member(&["admin"]).await?,
    );
    world
        .as_superuser("DELETE FROM tenancy.member_roles WHERE role_key = 'owner'")
        .await?;
    let leave = |ctx: tenancy_core::TenantCtx| {
        let roles = world.roles.clone();
        async move { roles.unassign(&ctx, user(&ctx), &role("admin")).await }
    };
    let (first, second) = tokio::join!(leave(one.clone()), leave(two.clone()));
    let refused: Vec<_> = [first, second]
        .into_iter()
        .filter_map(Result::err)
        .collect();
    assert_eq!(refused.len(), 1, "one of them stays");
    assert_eq!(refused[0].kind(), ErrorKind::LastAdministrator);

    let stays = if world.allowed_by_sql(&one, &MANAGE).await? {
        one
    } else {
        two
    };
    let soon = Some(Utc::now() + TimeDelta::hours(1));
    for refused in [
        world
            .roles
            .assign(&stays, user(&stays), &role("admin"), soon)
            .await,
        world.roles.revoke(&stays, &role("admin"), &MANAGE).await,
        world.roles.delete(&stays, &role("admin")).await,
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::LastAdministrator);
    }
    assert!(world.allowed_by_sql(&stays, &MANAGE).await?);
    Ok(())
}

#[tokio::test]
async fn an_owner_keeps_his_role_and_the_core_keeps_an_owner() -> Result {
    let world = World::new().await?;
    let admin = world.member(&["admin"]).await?;
    let refused = world
        .roles
        .unassign(&admin, user(&world.owner), &role("owner"))
        .await;
    assert_eq!(refused.unwrap_err().code(), "owner_keeps_role");
    let audit = std::sync::Arc::new(world.audit.clone());
    let members = Members::new(
        world.db.app.clone(),
        world.authz.clone(),
        world.authz.clone(),
        audit,
    );
    let refused = members
        .remove(&admin, user(&world.owner))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "owner_protected");
    let refused = members
        .remove(&world.owner, user(&world.owner))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "last_owner");
    Ok(())
}

#[tokio::test]
async fn an_invitation_gives_no_more_than_the_inviter_may_give_when_it_is_accepted() -> Result {
    use std::sync::Arc;
    use tenancy_core::{Email, Invitations, NewInvitation, UserId};

    let world = World::new().await?;
    let admin = world.member(&["admin"]).await?;
    let (authz, audit) = (world.authz.clone(), Arc::new(world.audit.clone()));
    let invitations = Invitations::new(world.db.app.clone(), authz.clone(), authz, audit);
    let email = Email::parse("new@example.com")?;
    let invite = || NewInvitation::new(email.clone(), vec![role("admin")]);
    let sent = invitations.invite(&admin, invite()).await?;
    world
        .roles
        .unassign(&world.owner, user(&admin), &role("admin"))
        .await?;
    let refused = invitations
        .accept(sent.token.expose(), UserId::new(), &email)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "invitation_exceeds_inviter");
    assert!(refused.is_on_record() && !refused.to_string().contains("templates"));

    let sent = invitations.invite(&world.owner, invite()).await?;
    let new = invitations
        .accept(sent.token.expose(), UserId::new(), &email)
        .await?;
    assert!(world.allowed(&new, &PURGE).await?);

    let viewer = world.member(&["member"]).await?;
    let refused = invitations.invite(&viewer, invite()).await.unwrap_err();
    assert_eq!(refused.kind(), tenancy_core::ErrorKind::Denied);
    Ok(())
}

#[tokio::test]
async fn who_leaves_the_tenant_leaves_every_role_behind() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer", "support"]).await?;
    let audit = std::sync::Arc::new(world.audit.clone());
    let members = Members::new(
        world.db.app.clone(),
        world.authz.clone(),
        world.authz.clone(),
        audit,
    );
    members.remove(&world.owner, user(&member)).await?;
    let dump = world.dump().await?;
    let id = user(&member).to_string();
    assert!(
        !dump
            .lines()
            .any(|line| line.starts_with("member ") && line.contains(&id))
    );
    assert!(!world.allowed_by_sql(&member, &READ).await?);
    Ok(())
}

#[tokio::test]
async fn it_is_told_why_and_who() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer", "support"]).await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let why = roles.why(owner, user(&member), &READ).await?;
    assert!(why.is_allowed());
    let id = user(&member);
    let text = format!("allowed: {id} has `templates.read` by `support`, `viewer`");
    assert_eq!(why.to_string(), text);
    let why = roles.why(owner, id, &PURGE).await?;
    let text =
        format!("denied: none of {id}'s roles grants `templates.purge`: `support`, `viewer`");
    assert_eq!((why.is_allowed(), why.to_string()), (false, text));
    let stranger = roles.why(owner, user(&world.other_owner), &READ).await?;
    assert_eq!(
        (stranger.member, stranger.is_allowed()),
        (MemberState::Stranger, false)
    );
    let unheard = roles
        .why(owner, id, &PermissionKey::from_static("no.such"))
        .await?;
    assert!(
        unheard.to_string().contains("nobody registered"),
        "{unheard}"
    );
    world
        .as_superuser("UPDATE tenancy.memberships SET status = 'deactivated' WHERE NOT is_owner")
        .await?;
    let why = roles.why(owner, id, &READ).await?;
    assert_eq!(
        (why.member, why.is_allowed()),
        (MemberState::Deactivated, false)
    );
    let holders = roles.who_can(owner, &READ, None, 10).await?;
    assert_eq!(holders.len(), 1);
    assert_eq!(
        (holders[0].user, &holders[0].roles[..]),
        (user(owner), &[role("owner")][..])
    );
    Ok(())
}
