//! Several permissions at once, and what is looked at without asking.

use std::{sync::Arc, time::Duration};

use tenancy_authz::{AuthzOptions, ErrorKind, PgAuthorizer};
use tenancy_core::{
    Authorizer as _, Decision, PermissionKey, Principal, ServiceKey, TenantCtx, TenantDb, UserId,
    testing::acting_for,
};

use crate::support::{PURGE, READ, Result, WRITE, World, authorizer, definitions, perm, user};

const MANAGE: PermissionKey = PermissionKey::from_static("roles.manage");

#[tokio::test]
async fn all_any_filter_and_the_whole_set_agree() -> Result {
    let world = World::new().await?;
    let member = world.member(&["member"]).await?;
    let authz = &world.authz;

    authz.require_all(&member, &[READ, WRITE]).await?;
    assert_eq!(
        authz.require_any(&member, &[PURGE, WRITE, READ]).await?,
        WRITE
    );
    assert_eq!(
        authz.filter(&member, &[PURGE, WRITE, READ]).await?,
        [WRITE, READ]
    );
    let rights = authz.permissions(&member).await?;
    assert!(rights.allows(perm::TemplatesRead::get()) && rights.allows_key(&WRITE));
    assert!(!rights.allows(perm::TemplatesPurge::get()) && !rights.allows_key(&PURGE));
    assert!(rights.covers(&member) && !rights.covers(&world.owner));
    let mut tx = world.db.app.read(&member).await?;
    let by_sql: Vec<String> = sqlx::query_scalar("SELECT unnest(util.my_permissions($1))")
        .bind(member.tenant())
        .fetch_all(&mut *tx)
        .await?;
    let keys: Vec<_> = rights.keys()?.into_iter().map(String::from).collect();
    assert_eq!(keys, by_sql);
    assert!(
        world.audit.of("access.denied").is_empty(),
        "nobody was denied anything"
    );

    let owner = authz.permissions(&world.owner).await?;
    assert_eq!(owner.keys()?.len(), definitions().len());
    // Of another tenant nothing is held, whichever rights he has in his own.
    let other = authz.permissions(&world.other_owner).await?;
    assert!(other.allows(perm::TemplatesPurge::get()) && !other.covers(&world.owner));
    Ok(())
}

#[tokio::test]
async fn what_is_missing_of_several_is_one_entry_that_names_it() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    let denied = world
        .authz
        .require_all(&reader, &[READ, WRITE, PURGE])
        .await
        .unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    assert_eq!(
        denied.to_string(),
        "the permissions `templates.write`, `templates.purge` are missing"
    );
    let denied = world
        .authz
        .require_all(&reader, &[READ, WRITE])
        .await
        .unwrap_err();
    assert_eq!(
        denied.to_string(),
        "permission `templates.write` is missing"
    );
    let denied = world
        .authz
        .require_any(&reader, &[WRITE, PURGE])
        .await
        .unwrap_err();
    assert_eq!(denied.code(), "permission_denied");
    assert!(tenancy_core::Error::from(denied).is_on_record());
    let entries = world.audit.of("access.denied");
    let named: Vec<Vec<_>> = entries
        .iter()
        .map(|entry| {
            entry
                .event
                .targets
                .iter()
                .map(|target| target.id.as_str())
                .collect()
        })
        .collect();
    assert_eq!(
        named,
        [
            vec!["templates.write", "templates.purge"],
            vec!["templates.write"],
            vec!["templates.write", "templates.purge"]
        ]
    );
    assert!(
        entries
            .iter()
            .all(|entry| entry.event.meta["reason"] == "not_granted")
    );

    // Of no permission at all nothing follows.
    for refused in [
        world.authz.require_all(&world.owner, &[]).await,
        world.authz.require_any(&world.owner, &[]).await.map(drop),
    ] {
        assert_eq!(
            refused.map_err(|error| error.kind()),
            Err(ErrorKind::InvalidInput)
        );
    }
    Ok(())
}

#[tokio::test]
async fn services_have_what_they_bring_and_support_what_is_not_closed_to_it() -> Result {
    let world = World::new().await?;
    let key = ServiceKey::from_static("importer");
    let brought = vec![READ, MANAGE];
    let service = world
        .db
        .app
        .enter_system(world.owner.tenant(), key, brought)
        .await?;
    let rights = world.authz.permissions(&service).await?;
    assert_eq!(rights.keys()?, [MANAGE, READ]);
    assert!(rights.allows(perm::TemplatesRead::get()) && !rights.allows_key(&PURGE));
    world.authz.require_all(&service, &[READ, MANAGE]).await?;
    assert_eq!(
        world
            .authz
            .peek(&service, perm::TemplatesRead::get())
            .map(Decision::is_allowed),
        Some(true)
    );

    let member = user(&world.owner);
    let support = acting_for(&world.owner, UserId::new(), member);
    let rights = world.authz.permissions(&support).await?;
    assert!(rights.allows_key(&PURGE) && !rights.allows_key(&MANAGE));
    assert!(!rights.allows(tenancy_authz::perm::RolesManage::get()));
    assert!(rights.keys()?.contains(&PURGE) && !rights.keys()?.contains(&MANAGE));
    let closed = tenancy_authz::perm::RolesManage::get();
    assert!(world.authz.require(&support, closed).await.is_err());
    let said = world.authz.peek(&support, closed);
    assert_eq!(said.map(Decision::is_allowed), Some(false));
    Ok(())
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_unavailable_for_all_of_them() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    let own = TenantDb::connect(world.db.server.app_url()).await?;
    let authz = authorizer(
        &own,
        &world.audit,
        AuthzOptions::default().with_bound(Duration::ZERO),
    );
    authz.permissions(&reader).await?;
    own.close().await;
    for failed in [
        authz.require_all(&reader, &[READ]).await,
        authz.require_any(&reader, &[READ]).await.map(drop),
        authz.filter(&reader, &[READ]).await.map(drop),
        authz.permissions(&reader).await.map(drop),
    ] {
        assert_eq!(
            failed.map_err(|error| error.kind()),
            Err(ErrorKind::Unavailable)
        );
    }
    assert!(world.audit.of("access.denied").is_empty());
    Ok(())
}

#[tokio::test]
async fn two_authorizers_of_a_process_do_not_mix_up_their_bits() -> Result {
    let (one, two) = (World::new().await?, World::new().await?);
    // In the other database the same permission has another bit.
    two.as_superuser("UPDATE tenancy.permissions SET bit = bit + 1000")
        .await?;
    let authz = |world: &World| {
        let audit = Arc::new(world.audit.clone());
        PgAuthorizer::new(world.db.app.clone(), audit)
    };
    let (first, second) = (authz(&one), authz(&two));
    let (here, there) = (
        one.member(&["viewer"]).await?,
        two.member(&["viewer"]).await?,
    );
    for _ in 0..3 {
        first.require(&here, perm::TemplatesRead::get()).await?;
        second.require(&there, perm::TemplatesRead::get()).await?;
        assert!(
            first
                .permissions(&here)
                .await?
                .allows(perm::TemplatesRead::get())
        );
        assert!(
            !second
                .permissions(&there)
                .await?
                .allows(perm::TemplatesPurge::get())
        );
    }
    Ok(())
}

#[tokio::test]
async fn equal_denials_can_be_folded_and_none_gets_lost() -> Result {
    let world = World::new().await?;
    let window = Duration::from_millis(300);
    let folding = authorizer(
        &world.db.app,
        &world.audit,
        AuthzOptions::default().with_folded_denials(window),
    );
    let (eve, bob) = (
        world.member(&["viewer"]).await?,
        world.member(&["viewer"]).await?,
    );
    for _ in 0..5 {
        assert!(
            folding
                .require(&eve, perm::TemplatesPurge::get())
                .await
                .is_err()
        );
    }
    assert!(
        folding
            .require(&bob, perm::TemplatesPurge::get())
            .await
            .is_err()
    );
    assert!(folding.require_all(&eve, &[PURGE, WRITE]).await.is_err());
    let counts = || -> Vec<_> {
        let entries = world.audit.of("access.denied");
        entries
            .iter()
            .map(|entry| entry.event.meta.get("count").cloned())
            .collect()
    };
    assert_eq!(
        counts(),
        [None, None, None],
        "the first of each kind, at once"
    );
    folding.flush_denials().await;
    assert_eq!(counts(), [None, None, None, Some(4.into())]);
    let folded = &world.audit.of("access.denied")[3];
    assert_eq!(folded.principal, *eve.principal());
    assert_eq!(folded.event.targets[0].id, "templates.purge");

    assert!(
        folding
            .require(&eve, perm::TemplatesPurge::get())
            .await
            .is_err()
    );
    tokio::time::sleep(window * 2).await;
    assert_eq!(
        counts().last(),
        Some(&Some(1.into())),
        "when the window is over"
    );
    assert_eq!(counts().len(), 5);
    assert!(
        folding
            .require(&eve, perm::TemplatesPurge::get())
            .await
            .is_err()
    );
    assert_eq!(counts().len(), 6, "and the next one opens another");
    Ok(())
}

/// A key of the member's, with these permissions.
pub(crate) async fn key_of(
    world: &World,
    maker: &TenantCtx,
    brought: &[PermissionKey],
) -> Result<TenantCtx> {
    let key = tenancy_core::ApiKeyId::new();
    let permissions: Vec<_> = brought.iter().map(PermissionKey::as_str).collect();
    sqlx::query(
        "INSERT INTO tenancy.api_keys (tenant_id, id, name, prefix, permissions, created_by, expires_at)
         VALUES ($1, $2, 'key', 'tk', $3, $4, now() + interval '1 day')",
    )
    .bind(maker.tenant())
    .bind(key)
    .bind(permissions)
    .bind(user(maker))
    .execute(&world.db.superuser().await?)
    .await?;
    let key = Principal::api_key(key, brought.to_vec());
    Ok(world.db.app.enter_as(maker.tenant(), key).await?)
}

#[tokio::test]
async fn a_key_goes_no_further_than_its_maker_whichever_way_it_is_asked() -> Result {
    let world = World::new().await?;
    let maker = world.member(&["viewer"]).await?;
    let brought = vec![READ, PURGE];
    let ctx = key_of(&world, &maker, &brought).await?;
    for _ in 0..2 {
        // The second time from memory.
        let rights = world.authz.permissions(&ctx).await?;
        assert_eq!(rights.keys()?, [READ]);
        assert!(rights.allows(perm::TemplatesRead::get()));
        assert!(!rights.allows(perm::TemplatesPurge::get()) && !rights.allows_key(&WRITE));
        assert_eq!(world.authz.filter(&ctx, &brought).await?, [READ]);
        assert!(world.authz.require_all(&ctx, &brought).await.is_err());
        assert!(world.authz.require_any(&ctx, &[PURGE]).await.is_err());
        world
            .authz
            .require(&ctx, perm::TemplatesRead::get())
            .await?;
        let purge = perm::TemplatesPurge::get();
        assert!(world.authz.require(&ctx, purge).await.is_err());
        let read = world.authz.peek(&ctx, perm::TemplatesRead::get());
        assert_eq!(read.map(Decision::is_allowed), Some(true));
        let purge = world.authz.peek(&ctx, purge);
        assert_eq!(purge.map(Decision::is_allowed), Some(false));
    }
    Ok(())
}

/// What somebody is told of each permission, in all ways that there are.
async fn told(authz: &PgAuthorizer, ctx: &TenantCtx) -> Result<[bool; 4]> {
    let manage = tenancy_authz::perm::RolesManage::get();
    let peeked = [
        authz.peek(ctx, perm::TemplatesRead::get()),
        authz.peek(ctx, perm::TemplatesWrite::get()),
        authz.peek(ctx, perm::TemplatesPurge::get()),
        authz.peek(ctx, manage),
    ];
    let peeked = peeked.map(|said| said.map(Decision::is_allowed));
    let rights = authz.permissions(ctx).await?;
    let mut told = [false; 4];
    for (at, key) in [READ, WRITE, PURGE, MANAGE].iter().enumerate() {
        told[at] = authz.check(ctx, key).await?.is_allowed();
        assert_eq!(peeked[at], Some(told[at]), "{key} from memory");
        assert_eq!(rights.allows_key(key), told[at], "{key} of all rights");
        let required = authz.require_key(ctx, key).await;
        assert_eq!(required.is_ok(), told[at], "{key} required");
    }
    Ok(told)
}

#[tokio::test]
async fn who_is_answered_from_the_same_entry_is_not_answered_for_each_other() -> Result {
    let world = World::new().await?;
    let hour = AuthzOptions::default().with_bound(Duration::from_hours(1));
    let authz = authorizer(&world.db.app, &world.audit, hour);
    let member = world.member(&["admin"]).await?;
    let support = acting_for(&world.owner, UserId::new(), user(&member));
    let key = key_of(&world, &member, &[READ]).await?;
    let wide = key_of(&world, &member, &[READ, WRITE, PURGE, MANAGE]).await?;
    let lesser = world.member(&["viewer"]).await?;
    let of_lesser = key_of(&world, &lesser, &[READ, PURGE]).await?;
    // One question about each of the two members, and all the rest comes out of their entries.
    authz.permissions(&member).await?;
    authz.permissions(&lesser).await?;
    for _ in 0..3 {
        for (who, ctx, expected) in [
            ("a member", &member, [true, true, true, true]),
            ("his key", &key, [true, false, false, false]),
            ("support", &support, [true, true, true, false]),
            ("a wide key of his", &wide, [true, true, true, true]),
            (
                "a key of another one",
                &of_lesser,
                [true, false, false, false],
            ),
            ("support again", &support, [true, true, true, false]),
            ("another one", &lesser, [true, false, false, false]),
        ] {
            assert_eq!(told(&authz, ctx).await?, expected, "{who}");
        }
    }
    Ok(())
}
