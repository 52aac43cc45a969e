//! Roles from templates that have versions.

use std::time::Duration;

use serde_json::json;
use tenancy_authz::{
    ErrorKind, NewRole, RolePage, RoleTemplate, Synced, edited_roles, record_upgrades,
    sync_permissions, sync_roles,
};
use tenancy_core::{PermissionDef, PermissionKey, TenantCtx};

use crate::support::{
    NoAuditToday, PURGE, READ, Result, WRITE, World, definitions, name, role, user,
};

const V1: RoleTemplate =
    RoleTemplate::new("auditor", 1, "Auditor").with_grants(&["templates.read", "templates.write"]);
const V2: RoleTemplate = RoleTemplate::new("auditor", 2, "Inspector")
    .with_grants(&["templates.read", "roles.*"])
    .with_parents(&["viewer"]);

async fn sync(world: &World, templates: &[RoleTemplate]) -> Result<Synced> {
    Ok(sync_roles(&world.db.operator, &definitions(), templates).await?)
}

#[tokio::test]
async fn a_later_version_changes_what_nobody_edited_and_tells_who_did() -> Result {
    let world = World::new().await?;
    let (roles, plain, editor) = (&world.roles, &world.owner, &world.other_owner);
    let first = sync(&world, &[V1]).await?;
    assert_eq!((first.tenants, first.upgraded, first.edited), (2, 0, 0));
    for owner in [plain, editor] {
        let granted = roles.permissions_of_role(owner, &role("auditor")).await?;
        assert_eq!(granted, [READ, WRITE]);
    }
    roles.revoke(editor, &role("auditor"), &WRITE).await?;
    roles
        .rename(plain, &role("auditor"), name("Looker"))
        .await?;
    let member = world.member(&["auditor"]).await?;
    assert!(world.allowed(&member, &WRITE).await?);

    let second = sync(&world, &[V2]).await?;
    assert_eq!((second.tenants, second.upgraded, second.edited), (2, 1, 1));
    let granted = roles.permissions_of_role(plain, &role("auditor")).await?;
    let texts: Vec<_> = granted.iter().map(PermissionKey::as_str).collect();
    assert_eq!(
        texts,
        ["roles.manage", "roles.read", "templates.read"],
        "more, and less"
    );
    assert!(!world.allowed_by_sql(&member, &WRITE).await?);
    let kept = roles.permissions_of_role(editor, &role("auditor")).await?;
    assert_eq!(kept, [READ], "who edited it keeps his own");
    let told = edited_roles(&world.db.operator, None, 10).await?;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (
            told[0].tenant,
            told[0].role.as_str(),
            told[0].version,
            told[0].is_own
        ),
        (editor.tenant(), "auditor", 2, false)
    );
    let names = |list: Vec<tenancy_authz::Role>| {
        list.into_iter()
            .find(|found| found.key == role("auditor"))
            .map(|found| found.name)
    };
    let page = RolePage::default();
    assert_eq!(
        names(roles.list(plain, &page).await?).as_deref(),
        Some("Looker")
    );
    assert_eq!(
        names(roles.list(editor, &page).await?).as_deref(),
        Some("Inspector")
    );

    // Again, and from an older process: nothing.
    let before = world.dump().await?;
    for templates in [&[V2][..], &[V1], &[]] {
        assert_eq!(sync(&world, templates).await?, Synced::default());
    }
    assert_eq!(world.dump().await?, before);

    // What happened to a role is for its own tenant to read, with how it was and is.
    for (owner, outcome) in [(plain, "upgraded"), (editor, "edited")] {
        let mut tx = world.db.app.read(owner).await?;
        let (count, said, before, after): (i64, String, serde_json::Value, serde_json::Value) =
            sqlx::query_as(
                "SELECT count(*) OVER (), outcome, before, after FROM tenancy.role_upgrades WHERE role_key = 'auditor'",
            )
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!((count, said.as_str()), (1, outcome));
        assert_eq!(after != before, outcome == "upgraded", "{before} {after}");
    }
    Ok(())
}

#[tokio::test]
async fn a_version_says_one_thing_and_a_template_grants_what_is_registered() -> Result {
    let world = World::new().await?;
    sync(&world, &[V1]).await?;
    let before = world.dump().await?;
    let other = RoleTemplate::new("auditor", 1, "Auditor").with_grants(&["templates.read"]);
    let unheard = RoleTemplate::new("other", 1, "x").with_grants(&["no.such"]);
    for (template, code) in [(other, "template_changed"), (unheard, "template_invalid")] {
        let refused = sync_roles(&world.db.operator, &definitions(), &[template]).await;
        let refused = refused.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.code()),
            (ErrorKind::Misconfigured, code)
        );
    }
    assert_eq!(world.dump().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_new_permission_reaches_an_edited_role_once_and_what_was_taken_stays_away() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    roles.revoke(owner, &role("member"), &WRITE).await?;
    let late = PermissionDef::new("reports.read", "see reports", &["member"]);
    let known = [definitions(), vec![late]].concat();
    let done = sync_roles(&world.db.operator, &known, &[]).await?;
    assert_eq!(done.edited, 1);
    let reports = "reports.read".parse()?;
    let granted = roles.permissions_of_role(owner, &role("member")).await?;
    assert!(granted.contains(&reports) && !granted.contains(&WRITE));
    roles.revoke(owner, &role("member"), &reports).await?;
    // A later one comes, and does not bring the earlier ones back.
    let later = PermissionDef::new("reports.write", "write reports", &["member"]);
    sync_permissions(&world.db.operator, &[known, vec![later]].concat()).await?;
    let granted = roles.permissions_of_role(owner, &role("member")).await?;
    assert!(granted.contains(&"reports.write".parse()?));
    assert!(!granted.contains(&reports) && !granted.contains(&WRITE));
    // One that was registered long ago and that a default role gains reaches who did not edit it.
    let gains = PermissionDef::new("templates.purge", "delete templates for good", &["member"]);
    sync_permissions(&world.db.operator, &[gains]).await?;
    let other = &world.other_owner;
    assert!(
        roles
            .permissions_of_role(other, &role("member"))
            .await?
            .contains(&PURGE)
    );
    assert!(
        !roles
            .permissions_of_role(owner, &role("member"))
            .await?
            .contains(&PURGE)
    );
    Ok(())
}

#[tokio::test]
async fn a_tenants_own_role_of_that_key_is_let_be_and_a_deleted_one_does_not_come_back() -> Result {
    let world = World::new().await?;
    let (roles, own, gone) = (&world.roles, &world.owner, &world.other_owner);
    let auditor = || NewRole::new(role("auditor"), name("Mine"));
    roles.create(own, auditor().with_permission(PURGE)).await?;
    roles.create(gone, auditor()).await?;
    roles.delete(gone, &role("auditor")).await?;
    sync(&world, &[V1]).await?;
    sync(&world, &[V2]).await?;
    assert_eq!(
        roles.permissions_of_role(own, &role("auditor")).await?,
        [PURGE]
    );
    let refused = roles
        .permissions_of_role(gone, &role("auditor"))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::RoleUnknown);
    let told = edited_roles(&world.db.operator, None, 10).await?;
    assert_eq!(
        (told.len(), told[0].tenant, told[0].is_own),
        (1, own.tenant(), true)
    );
    let next = edited_roles(
        &world.db.operator,
        Some((told[0].tenant, told[0].role.clone())),
        10,
    );
    assert_eq!(next.await?, []);
    Ok(())
}

#[tokio::test]
async fn a_template_closes_no_circle_with_what_a_tenant_made() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    sync(&world, &[V1]).await?;
    // The tenant put the template's parent to be below the role.
    roles
        .add_parent(owner, &role("viewer"), &role("auditor"))
        .await?;
    sync(&world, &[V2]).await?;
    let policy = roles.export(owner).await?;
    assert!(policy.roles[&role("auditor")].parents.is_empty());
    let viewer = roles.permissions_of_role(owner, &role("viewer")).await?;
    assert_eq!(viewer.len(), 3, "it follows its parent: {viewer:?}");
    let other = roles.export(&world.other_owner).await?;
    assert!(
        other.roles[&role("auditor")]
            .parents
            .contains(&role("viewer"))
    );
    Ok(())
}

/// Three roles in a line, one over the other, and the line turned round, in a later version.
fn line(version: u16, order: [&'static str; 3]) -> Vec<RoleTemplate> {
    let parents: [&'static [&'static str]; 3] = [
        &[],
        Box::leak(Box::new([order[0]])),
        Box::leak(Box::new([order[1]])),
    ];
    let of = |(key, parents)| {
        RoleTemplate::new(key, version, "Line")
            .with_grants(&["templates.read"])
            .with_parents(parents)
    };
    order.into_iter().zip(parents).map(of).collect()
}

async fn parents(world: &World, of: &TenantCtx) -> Result<Vec<(String, Vec<String>)>> {
    let policy = world.roles.export(of).await?;
    let lines = policy
        .roles
        .iter()
        .filter(|(key, _)| key.as_str().starts_with("line"));
    Ok(lines
        .map(|(key, role)| {
            (
                key.to_string(),
                role.parents.iter().map(ToString::to_string).collect(),
            )
        })
        .collect())
}

#[tokio::test]
async fn parents_that_change_places_do_so_in_one_step() -> Result {
    let names = ["line_a", "line_b", "line_c"];
    for (from, to) in [
        ([0, 1, 2], [2, 1, 0]),
        ([2, 1, 0], [0, 1, 2]),
        ([0, 1, 2], [1, 2, 0]),
    ] {
        let world = World::new().await?;
        let order = |places: [usize; 3]| places.map(|at| names[at]);
        let first = sync(&world, &line(1, order(from))).await?;
        assert_eq!((first.tenants, first.edited), (2, 0));
        let second = sync(&world, &line(2, order(to))).await?;
        assert_eq!((second.upgraded, second.edited), (6, 0), "{to:?}");
        let mut expected: Vec<_> = (0..3_usize)
            .map(|at| {
                let above = at.checked_sub(1).map(|at| order(to)[at].to_owned());
                (
                    order(to)[at].to_owned(),
                    above.into_iter().collect::<Vec<_>>(),
                )
            })
            .collect();
        expected.sort();
        for owner in [&world.owner, &world.other_owner] {
            assert_eq!(parents(&world, owner).await?, expected);
        }
        assert_eq!(edited_roles(&world.db.operator, None, 10).await?, []);
    }
    Ok(())
}

#[tokio::test]
async fn a_role_that_can_not_have_all_its_template_says_is_told_as_edited() -> Result {
    let world = World::new().await?;
    sync(&world, &[V1]).await?;
    world
        .roles
        .add_parent(&world.owner, &role("viewer"), &role("auditor"))
        .await?;
    let done = sync(&world, &[V2]).await?;
    assert_eq!((done.upgraded, done.edited), (1, 1));
    let told = edited_roles(&world.db.operator, None, 10).await?;
    assert_eq!((told.len(), told[0].tenant), (1, world.owner.tenant()));
    Ok(())
}

#[tokio::test]
async fn upgrades_are_in_the_audit_log_once_with_before_and_after() -> Result {
    let world = World::new().await?;
    sync(&world, &[V1]).await?;
    world
        .roles
        .revoke(&world.other_owner, &role("auditor"), &WRITE)
        .await?;
    sync(&world, &[V2]).await?;
    let (operator, app, audit) = (&world.db.operator, &world.db.app, &world.audit);
    // What the log refuses is not taken for recorded.
    assert!(record_upgrades(operator, app, &NoAuditToday).await.is_err());
    assert!(audit.of("role.template_followed").is_empty());
    let (one, two) = tokio::join!(
        record_upgrades(operator, app, audit),
        record_upgrades(operator, app, audit),
    );
    let entries = audit.of("role.template_followed");
    assert_eq!(one? + two?, entries.len() as u64);
    assert_eq!(record_upgrades(operator, app, audit).await?, 0);
    let of = |owner: &TenantCtx| {
        let mut mine = entries
            .iter()
            .filter(|entry| entry.tenant == owner.tenant());
        let found = mine.find(|entry| entry.event.targets[0].id == "auditor");
        found.map(|entry| (entry.principal.actor.id(), entry.event.meta.clone()))
    };
    let content = |permissions: &[&str], wildcards: &[&str], parents: &[&str]| {
        json!({
            "permissions": permissions, "permission_count": permissions.len(),
            "wildcards": wildcards, "wildcard_count": wildcards.len(),
            "parents": parents, "parent_count": parents.len(),
        })
    };
    let (by, meta) = of(&world.owner).ok_or("no entry")?;
    assert_eq!(
        (by.as_str(), &meta["outcome"], &meta["version"]),
        ("role_templates", &json!("upgraded"), &json!(2))
    );
    assert_eq!(
        meta["before"],
        content(&["templates.read", "templates.write"], &[], &[])
    );
    assert_eq!(
        meta["after"],
        content(&["templates.read"], &["roles.*"], &["viewer"])
    );
    let (_, meta) = of(&world.other_owner).ok_or("no entry")?;
    assert_eq!(meta["outcome"], json!("edited"));
    assert_eq!(
        (&meta["before"], &meta["after"]),
        (
            &content(&["templates.read"], &[], &[]),
            &content(&["templates.read"], &[], &[])
        )
    );

    // A member of the app marks nothing as recorded, and a tenant that is closed waits.
    world
        .as_superuser("UPDATE tenancy.role_upgrades SET recorded = false")
        .await?;
    let mut tx = app.write(&world.owner).await?;
    let taken: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.take_upgrades(100)")
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    assert_eq!(taken, 0);
    world
        .as_superuser("UPDATE tenancy.tenants SET status = 'suspended_blocked'")
        .await?;
    assert_eq!(record_upgrades(operator, app, audit).await?, 0);
    world
        .as_superuser("UPDATE tenancy.tenants SET status = 'active'")
        .await?;
    assert_eq!(
        record_upgrades(operator, app, audit).await?,
        entries.len() as u64
    );
    Ok(())
}

/// Tenants as the core makes them, many at once.
async fn many(world: &World, tenants: i32) -> Result {
    sqlx::query(
        "WITH made AS (
            INSERT INTO tenancy.tenants (id, name) SELECT gen_random_uuid(), 'T' || n FROM generate_series(1, $1) n RETURNING id
         ), members AS (
            INSERT INTO tenancy.memberships (tenant_id, user_id, is_owner) SELECT id, gen_random_uuid(), true FROM made
         )
         INSERT INTO tenancy.tenant_epoch (tenant_id) SELECT id FROM made",
    )
    .bind(tenants)
    .execute(&world.db.superuser().await?)
    .await?;
    Ok(())
}

#[tokio::test]
async fn many_tenants_follow_in_batches_and_two_who_do_it_at_once_do_it_once() -> Result {
    let world = World::new().await?;
    many(&world, 250).await?;
    let operator = &world.db.operator;
    let (known, first, second) = (definitions(), [V1], [V2]);
    let (one, two) = tokio::join!(
        sync_roles(operator, &known, &first),
        sync_roles(operator, &known, &first),
    );
    let (one, two) = (one?, two?);
    assert!(one.tenants + two.tenants >= 252, "{one:?} {two:?}");
    let (one, two) = tokio::join!(
        sync_roles(operator, &known, &second),
        sync_roles(operator, &known, &second),
    );
    assert_eq!(one?.upgraded + two?.upgraded, 252, "each role once");
    let superuser = world.db.superuser().await?;
    let count = "SELECT count(*), count(DISTINCT (r.is_system, r.template_revision)),
            count(*) FILTER (WHERE g.grants <> 3)
        FROM tenancy.roles r, LATERAL (
            SELECT count(*) AS grants FROM tenancy.role_permissions p
            WHERE p.tenant_id = r.tenant_id AND p.role_key = r.key
        ) g WHERE r.key = 'auditor'";
    let counted: (i64, i64, i64) = sqlx::query_as(count).fetch_one(&superuser).await?;
    assert_eq!(counted, (252, 1, 0));
    assert_eq!(sync(&world, &[V2]).await?, Synced::default());

    // A tenant that somebody is changing is waited for; the others of its batch are not lost.
    let mut tx = world.db.app.write(&world.owner).await?;
    sqlx::query("SELECT tenancy.lock_policy()")
        .execute(&mut *tx)
        .await?;
    let third = [RoleTemplate::new("auditor", 3, "Auditor")];
    let waiting = {
        let (operator, known) = (operator.clone(), known.clone());
        tokio::spawn(async move { sync_roles(&operator, &known, &third).await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    tx.commit().await?;
    assert_eq!(waiting.await??.upgraded, 252);
    Ok(())
}

#[tokio::test]
async fn who_was_cut_off_goes_on_where_he_was() -> Result {
    let world = World::new().await?;
    sync(&world, &[V1]).await?;
    // Registered, and then the process died: its tenants are behind.
    let superuser = world.db.superuser().await?;
    let before = "UPDATE tenancy.role_state SET serial = serial - 1 WHERE tenant_id = $1";
    sqlx::query(before)
        .bind(world.owner.tenant())
        .execute(&superuser)
        .await?;
    let done = sync(&world, &[V1]).await?;
    assert_eq!((done.tenants, done.upgraded), (1, 0));
    let member = world.member(&["auditor"]).await?;
    assert!(world.allowed_by_sql(&member, &READ).await?);
    assert!(
        world
            .roles
            .why(&world.owner, user(&member), &READ)
            .await?
            .is_allowed()
    );
    Ok(())
}
