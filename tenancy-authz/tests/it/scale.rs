//! Ten thousand of everything in one tenant: slower, and still right.

use tenancy_authz::{
    ErrorKind, GrantKey, ImportOptions, PolicyDocument, RoleDocument, RolePage, sync_permissions,
};
use tenancy_core::{PermissionDef, PermissionKey, UserId};

use crate::support::{READ, Result, World, definitions, name, role, role_named, user, wildcard};

const MANY: usize = 10_000;

#[tokio::test]
async fn ten_thousand_permissions_and_roles_in_a_tenant_stay_right() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let made: Vec<PermissionDef> = (0..MANY)
        .map(|at| {
            let key: &'static str = format!("bulk.p{at}").leak();
            PermissionDef::new(key, "one of many", &[])
        })
        .collect();
    let known = [definitions(), made].concat();
    let added = sync_permissions(&world.db.operator, &known).await?;
    assert_eq!(added.len(), MANY);
    assert_eq!(sync_permissions(&world.db.operator, &known).await?, []);

    // Behind the functions, which make one at a time.
    let tenant = owner.tenant();
    let superuser = world.db.superuser().await?;
    sqlx::query(
        "INSERT INTO tenancy.roles (tenant_id, key, name) SELECT $1, 'r' || n, 'R' FROM generate_series(1, 10000) n",
    )
    .bind(tenant)
    .execute(&superuser)
    .await?;
    let last = role_named("r10000");
    roles
        .grant_wildcard(owner, &last, &wildcard("bulk.*"))
        .await?;
    assert_eq!(roles.permissions_of_role(owner, &last).await?.len(), MANY);
    // A parent of many: each heir follows.
    sqlx::query(
        "INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key)
         SELECT $1, 'r' || n, 'support' FROM generate_series(1, 9999) n",
    )
    .bind(tenant)
    .execute(&superuser)
    .await?;
    let before = roles.permissions_of_role(owner, &role("support")).await?;
    roles
        .grant(owner, &role("support"), &"bulk.p7".parse()?)
        .await?;
    for at in [1, 5_000, 9_999] {
        let granted = roles
            .permissions_of_role(owner, &role_named(&format!("r{at}")))
            .await?;
        assert_eq!(granted.len(), before.len() + 1, "r{at}");
    }
    let member = world.member(&["viewer"]).await?;
    roles.assign(owner, user(&member), &last, None).await?;
    for at in [0, 63, 64, 4_999, 9_999] {
        let key = PermissionKey::parse(format!("bulk.p{at}"))?;
        assert!(world.allowed(&member, &key).await?, "{key}");
        assert!(world.allowed_by_sql(&member, &key).await?, "{key}");
        assert!(
            !world
                .allowed(
                    &world.other_owner,
                    &PermissionKey::parse(format!("bulk.q{at}"))?
                )
                .await?
        );
    }
    assert!(world.allowed(&member, &READ).await?);
    assert!(!world.allowed(&member, &"roles.manage".parse()?).await?);
    let mut mine = 0;
    let mut page = RolePage::default();
    loop {
        let listed = roles.list(owner, &page).await?;
        mine += listed.len();
        match listed.last() {
            Some(end) => page = RolePage::default().after(end.key.clone()),
            None => break,
        }
    }
    assert_eq!(mine, MANY + 5);
    assert_eq!(
        roles
            .list(&world.other_owner, &RolePage::default())
            .await?
            .len(),
        5
    );
    let policy = roles.export(owner).await?;
    assert_eq!(policy.roles.len(), MANY + 4);
    let again = tenancy_authz::PolicyDocument::parse(&policy.to_yaml()?)?;
    let prune = ImportOptions::default().with_prune(true);
    assert!(roles.import(owner, &again, &prune).await?.is_empty());
    Ok(())
}

/// 5,000 roles of three changes each, and 2,500 members with two of them.
fn large(roles: usize, members: &[UserId]) -> Result<PolicyDocument> {
    let mut policy = PolicyDocument::parse("version: 1\n")?;
    for at in 0..roles {
        let mut made = RoleDocument::new(name("Made"));
        made.grants.insert(GrantKey::Permission(READ));
        made.parents.insert(role("support"));
        policy.roles.insert(role_named(&format!("m{at}")), made);
    }
    for (at, member) in members.iter().enumerate() {
        let has = [at, at + 1].map(|at| (role_named(&format!("m{at}")), None));
        policy.members.insert(*member, has.into());
    }
    Ok(policy)
}

/// As many changes as one import takes end within the time that a statement has, in both directions; one more
/// is refused before anything is asked.
#[tokio::test]
async fn an_import_of_twenty_thousand_changes_is_made_and_one_of_more_is_refused() -> Result {
    let world = World::new().await?;
    let (roles, owner) = (&world.roles, &world.owner);
    let members: Vec<UserId> = sqlx::query_scalar(
        "INSERT INTO tenancy.memberships (tenant_id, user_id)
         SELECT $1, gen_random_uuid() FROM generate_series(1, 2500) RETURNING user_id",
    )
    .bind(owner.tenant())
    .fetch_all(&world.db.superuser().await?)
    .await?;
    let keep = ImportOptions::default();
    let mut before = roles.export(owner).await?;
    before.epoch = None;
    for (policy, options) in [
        (large(5_000, &members)?, keep.clone()),
        (before.clone(), keep.clone().with_prune(true)),
    ] {
        let begun = std::time::Instant::now();
        let made = roles.import(owner, &policy, &options).await?;
        println!("{} changes in {:?}", made.changes.len(), begun.elapsed());
        assert!(made.changes.len() >= 10_000);
    }
    let mut after = roles.export(owner).await?;
    after.epoch = None;
    assert_eq!(after, before);

    let too_many = roles.import(owner, &large(5_001, &members)?, &keep).await;
    let refused = too_many.err().ok_or("it has to be refused")?;
    assert_eq!(
        (refused.kind(), refused.code()),
        (ErrorKind::Limit, "too_many_changes")
    );
    Ok(())
}
