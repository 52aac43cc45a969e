//! Ten thousand of everything in one tenant: slower, and still right.

use tenancy_authz::{ImportOptions, RolePage, sync_permissions};
use tenancy_core::{PermissionDef, PermissionKey};

use crate::support::{READ, Result, World, definitions, role, role_named, user, wildcard};

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
