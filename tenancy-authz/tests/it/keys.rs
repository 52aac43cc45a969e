//! Keys in the database: which texts the tables take, how they compare them, and what becomes of a row that
//! is none of them all the same.

use std::collections::BTreeSet;

use sqlx::PgPool;
use tenancy_authz::{AuthzOptions, ErrorKind, RolePage};
use tenancy_core::{Authorizer as _, migrate::CORE};
use tenancy_testkit::Db;

use crate::support::{PURGE, READ, Result, World, authorizer, role, user};

/// What is no key of a role: upper case, a blank, beyond ASCII, what a list or a pattern is made of, nothing, a
/// digit first, one character more than the longest, a line's end.
const NO_ROLE: &[&str] = &[
    "Clerk",
    "clerk ",
    "clérk",
    "clerk,owner",
    "clerk%",
    "",
    "1clerk",
    "a_role_whose_key_is_one_character_longer_than_it_could_ever_be_x",
    "clerk\n",
];

/// What is no key of a permission.
const NO_PERMISSION: &[&str] = &[
    "Templates.read",
    "templates",
    "templates.read ",
    "templates.réad",
    "templates..read",
    "templates.",
    ".read",
    "templates.*",
    "",
    "templates.read\n",
];

async fn code(superuser: &PgPool, statement: &'static str, key: &str) -> Result<String> {
    let refused = sqlx::query(statement)
        .bind(key)
        .execute(superuser)
        .await
        .err()
        .ok_or_else(|| format!("`{key}` is taken by {statement}"))?;
    let error = refused.as_database_error().ok_or("another error")?;
    Ok(error.code().unwrap_or_default().into_owned())
}

#[tokio::test]
async fn no_table_takes_a_text_that_is_no_key_also_not_from_a_superuser() -> Result {
    let world = World::new().await?;
    world.member(&["viewer"]).await?;
    let superuser = world.db.superuser().await?;
    let by_check = "23514";
    // These refer to a role or a permission, and there is none with such a key.
    let by_reference = "23503";
    for (statement, keys, expected) in [
        (
            "INSERT INTO tenancy.permissions (key, description, bit) VALUES ($1, 'x', 60000)",
            NO_PERMISSION,
            by_check,
        ),
        (
            "INSERT INTO tenancy.roles (tenant_id, key, name) SELECT id, $1, 'X' FROM tenancy.tenants",
            NO_ROLE,
            by_check,
        ),
        (
            "INSERT INTO tenancy.retired_roles (tenant_id, key) SELECT id, $1 FROM tenancy.tenants",
            NO_ROLE,
            by_check,
        ),
        (
            "INSERT INTO tenancy.role_templates (key, revision, version, name, permissions) VALUES ($1, 9, 9, 'X', '{}')",
            NO_ROLE,
            by_check,
        ),
        (
            "INSERT INTO tenancy.role_upgrades (tenant_id, role_key, revision, outcome, before, after)
             SELECT id, $1, 9, 'taken', '{}', '{}' FROM tenancy.tenants",
            NO_ROLE,
            by_check,
        ),
        (
            "UPDATE tenancy.roles SET key = $1 WHERE key = 'support'",
            NO_ROLE,
            by_check,
        ),
        (
            "INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
             SELECT id, 'viewer', $1 FROM tenancy.tenants",
            NO_PERMISSION,
            by_reference,
        ),
        (
            "INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
             SELECT id, $1, 'templates.read' FROM tenancy.tenants",
            NO_ROLE,
            by_reference,
        ),
        (
            "INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key) SELECT id, 'viewer', $1 FROM tenancy.tenants",
            NO_ROLE,
            by_reference,
        ),
        (
            "INSERT INTO tenancy.role_wildcards (tenant_id, role_key, pattern) SELECT id, $1, 'a.*' FROM tenancy.tenants",
            NO_ROLE,
            by_reference,
        ),
        (
            "INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key)
             SELECT tenant_id, user_id, $1 FROM tenancy.memberships",
            NO_ROLE,
            by_reference,
        ),
    ] {
        for key in keys {
            let code = code(&superuser, statement, key).await?;
            assert_eq!(code, expected, "`{key}`: {statement}");
        }
    }
    Ok(())
}

/// The tables of this crate, as the catalog has them.
async fn tables(world: &World) -> Result<BTreeSet<String>> {
    let all = "SELECT relname::text FROM pg_class WHERE relnamespace = 'tenancy'::regnamespace AND relkind = 'r'";
    let core = Db::new(&[&CORE]).await?;
    let of_core: BTreeSet<String> = sqlx::query_scalar(all)
        .fetch_all(&core.superuser().await?)
        .await?
        .into_iter()
        .collect();
    let found: Vec<String> = sqlx::query_scalar(all)
        .fetch_all(&world.db.superuser().await?)
        .await?;
    Ok(found
        .into_iter()
        .filter(|table| !of_core.contains(table))
        .collect())
}

#[tokio::test]
async fn a_row_of_no_tenant_is_impossible_in_every_table() -> Result {
    let world = World::new().await?;
    let superuser = world.db.superuser().await?;
    let mut seen = BTreeSet::new();
    for (table, insert) in [
        (
            "member_roles",
            "(tenant_id, user_id, role_key) VALUES (NULL, gen_random_uuid(), 'viewer')",
        ),
        ("retired_roles", "(tenant_id, key) VALUES (NULL, 'clerk')"),
        (
            "role_parents",
            "(tenant_id, role_key, parent_key) VALUES (NULL, 'viewer', 'support')",
        ),
        (
            "role_permissions",
            "(tenant_id, role_key, permission_key) VALUES (NULL, 'viewer', 'templates.read')",
        ),
        ("role_state", "(tenant_id, serial) VALUES (NULL, 1)"),
        (
            "role_upgrades",
            "(tenant_id, role_key, revision, outcome, before, after) VALUES (NULL, 'viewer', 9, 'taken', '{}', '{}')",
        ),
        (
            "role_wildcards",
            "(tenant_id, role_key, pattern) VALUES (NULL, 'viewer', 'templates.*')",
        ),
        (
            "roles",
            "(tenant_id, key, name) VALUES (NULL, 'clerk', 'Clerk')",
        ),
    ] {
        let insert = format!("INSERT INTO tenancy.{table} {insert}");
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(insert))
            .execute(&superuser)
            .await
            .unwrap_err();
        let refused = refused.as_database_error().ok_or("another error")?;
        assert_eq!(
            refused.code().as_deref(),
            Some("23502"),
            "{table}: {refused}"
        );
        assert!(refused.message().contains("\"tenant_id\""), "{refused}");
        seen.insert(table.to_owned());
    }
    // Those that belong to no tenant: the registry and what roles are made from.
    let of_all = ["permission_bits", "permissions", "role_templates"];
    seen.extend(of_all.map(ToOwned::to_owned));
    assert_eq!(
        seen,
        tables(&world).await?,
        "a table is new: where is its tenant?"
    );
    Ok(())
}

/// Texts that are for people, or one of a few words; they are no keys.
const NO_KEYS: &[&str] = &[
    "permissions.description",
    "role_templates.name",
    "role_upgrades.outcome",
    "roles.name",
];

#[tokio::test]
async fn every_key_is_compared_byte_by_byte_and_checked_where_it_stands_or_where_it_leads() -> Result
{
    let world = World::new().await?;
    let tables: Vec<String> = tables(&world).await?.into_iter().collect();
    // The foreign keys lead to columns that are looked at here too.
    let columns: Vec<(String, String, bool, bool)> = sqlx::query_as(
        r"SELECT c.relname || '.' || a.attname, l.collname::text,
            EXISTS (
                SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.convalidated
                  AND k.conkey = ARRAY[a.attnum] AND pg_get_constraintdef(k.oid) ~ (a.attname || ' ~ ''\^\[a-z\]\[a-z0-9_\]\*.*\$''')
            ),
            EXISTS (
                SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.convalidated
                  AND a.attnum = ANY (k.conkey)
            )
         FROM pg_class c
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         JOIN pg_collation l ON l.oid = a.attcollation
         WHERE c.relnamespace = 'tenancy'::regnamespace AND c.relname = ANY ($1) AND a.atttypid = 'text'::regtype
         ORDER BY 1",
    )
    .bind(&tables)
    .fetch_all(&world.db.superuser().await?)
    .await?;
    let mut keys = 0;
    for (column, collation, checked, leads_on) in columns {
        if NO_KEYS.contains(&column.as_str()) {
            continue;
        }
        assert_eq!(collation, "C", "{column}");
        assert!(checked || leads_on, "{column} takes any text");
        keys += 1;
    }
    assert!(keys >= 12, "{keys}");
    Ok(())
}

/// What a table holds whose CHECKs somebody took away.
const MALFORMED: &str = "
    ALTER TABLE tenancy.roles DROP CONSTRAINT roles_key_check;
    ALTER TABLE tenancy.permissions DROP CONSTRAINT permissions_key_check, DROP CONSTRAINT permissions_bit_check;
    INSERT INTO tenancy.permissions (key, description, bit) VALUES ('BAD', 'x', 60000), ('bad.bit', 'x', 70000);
    INSERT INTO tenancy.roles (tenant_id, key, name) SELECT id, 'Bad, owner', 'X' FROM tenancy.tenants;
    INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
        SELECT id, 'Bad, owner', k FROM tenancy.tenants, unnest(ARRAY['BAD', 'bad.bit']) k;
    INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key)
        SELECT tenant_id, user_id, 'Bad, owner' FROM tenancy.memberships WHERE NOT is_owner";

#[tokio::test]
async fn a_row_that_is_no_key_breaks_no_check_and_is_named_to_whoever_looks_at_it() -> Result {
    let world = World::new().await?;
    let member = world.member(&["viewer"]).await?;
    world.as_superuser(MALFORMED).await?;
    let fresh = authorizer(&world.db.app, &world.audit, AuthzOptions::default());
    for (ctx, permission, expected) in [
        (&member, &READ, true),
        (&member, &PURGE, false),
        (&world.owner, &PURGE, true),
        (&world.other_owner, &PURGE, true),
    ] {
        assert_eq!(fresh.check(ctx, permission).await?.is_allowed(), expected);
        let mut tx = world.db.app.read(ctx).await?;
        let inside = fresh.check_in(&mut tx, permission).await?;
        assert_eq!(inside.is_allowed(), expected);
    }
    // What is none is no role of his: a list of roles would be another list with it.
    let mut tx = world.db.app.read(&member).await?;
    assert_eq!(fresh.roles_in(&mut tx).await?, [role("viewer")]);
    drop(tx);

    let (roles, owner) = (&world.roles, &world.owner);
    let page = RolePage::default();
    let refused = [
        roles.list(owner, &page).await.err(),
        roles.matrix(owner, &page).await.err(),
        roles.why(owner, user(&member), &READ).await.err(),
        roles
            .permissions_of_member(owner, user(&member))
            .await
            .err(),
        roles.export(owner).await.err(),
    ];
    for (place, error) in refused.into_iter().enumerate() {
        let error = error.ok_or_else(|| format!("{place} looked away"))?;
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{place}: {error}");
        let named = ["Bad, owner", "BAD"];
        assert!(
            named.iter().any(|key| error.to_string().contains(key)),
            "{place}: {error}"
        );
    }
    let holders = roles.who_can(owner, &READ, None, 10).await?;
    assert_eq!(holders.len(), 2, "where no such row is, all is as ever");
    Ok(())
}
