//! Reads the catalog, and puts the steps in their order.

use sqlx::{PgConnection, postgres::types::Oid};
use tenancy_core::{
    Error, OperatorDb,
    doctor::{self, Options},
};

use super::{Blocked, Plan, RULES, Step};

#[derive(Debug, sqlx::FromRow)]
struct Table {
    rel: Oid,
    name: String,
    /// The name as a text of SQL.
    literal: String,
    owner: String,
    tenant_column: Option<String>,
    /// Row-level security binds its owner.
    forced: bool,
    keys_of_family: Vec<String>,
    place: String,
}

#[derive(Debug, sqlx::FromRow)]
struct Key {
    table_name: String,
    owner: String,
    name: String,
    definition: String,
    kept: bool,
    untouched: bool,
    why: String,
    referred: String,
}

pub(super) async fn is_installed(operator: &OperatorDb) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus')";
    Ok(sqlx::query_scalar(sql).fetch_one(operator.pool()).await?)
}

pub(super) async fn plan(operator: &OperatorDb) -> Result<Plan, Error> {
    let mut tx = operator.pool().begin().await?;
    let findings = doctor::inspect(&mut tx, &Options::default()).await?;
    let tables: Vec<Table> = sqlx::query_as(include_str!("sql/tables.sql"))
        .fetch_all(&mut *tx)
        .await?;
    let places = (
        tables.iter().map(|table| table.rel).collect::<Vec<_>>(),
        tables
            .iter()
            .map(|table| table.place.as_str())
            .collect::<Vec<_>>(),
    );
    let keys: Vec<Key> = sqlx::query_as(include_str!("sql/keys.sql"))
        .bind(&places.0)
        .bind(&places.1)
        .fetch_all(&mut *tx)
        .await?;
    let functions: Vec<(String, String)> = sqlx::query_as(include_str!("sql/functions.sql"))
        .bind(&places.0)
        .bind(&places.1)
        .fetch_all(&mut *tx)
        .await?;
    // The family's own lookups are unique over all tenants on purpose.
    let lookups = tables.iter().filter(|table| table.place == "lookup");
    let meant: Vec<&String> = lookups.flat_map(|table| &table.keys_of_family).collect();
    let mut blocked: Vec<Blocked> = findings
        .iter()
        .filter(|finding| RULES.contains(&finding.rule) && !meant.contains(&&finding.object))
        .map(Blocked::from)
        .collect();
    blocked.extend(keys.iter().filter_map(in_the_way));
    let done = distributed(&mut tx).await?;
    Ok(Plan {
        steps: steps(&tables, &keys, functions, &done),
        blocked,
    })
}

/// What is distributed already.
async fn distributed(conn: &mut PgConnection) -> Result<Vec<Oid>, Error> {
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL")
            .fetch_one(&mut *conn)
            .await?;
    if !there {
        return Ok(Vec::new());
    }
    Ok(
        sqlx::query_scalar("SELECT logicalrelid::oid FROM pg_catalog.pg_dist_partition")
            .fetch_all(conn)
            .await?,
    )
}

/// A key of a tenant's rows to rows that are somewhere else. Where a lookup refers to the rows it
/// finds, it can do without: what it finds is gone, or it is not.
fn in_the_way(key: &Key) -> Option<Blocked> {
    let lookup = key.why.starts_with("a lookup");
    (!key.kept && !lookup).then(|| Blocked {
        rule: "reference".to_owned(),
        object: format!("{}.{}", key.table_name, key.name),
        why: key.why.clone(),
    })
}

/// Citus moves rows by COPY as the table's owner, which row-level security would stop.
fn unforced(table: &Table, sql: String) -> Vec<Step> {
    let (name, role) = (&table.name, &table.owner);
    let force = |no| format!("ALTER TABLE {name} {no}FORCE ROW LEVEL SECURITY");
    let statements = if table.forced {
        vec![force("NO "), sql, force("")]
    } else {
        vec![sql]
    };
    let step = |sql| Step {
        role: role.clone(),
        sql,
    };
    statements.into_iter().map(step).collect()
}

fn steps(
    tables: &[Table],
    keys: &[Key],
    functions: Vec<(String, String)>,
    done: &[Oid],
) -> Vec<Step> {
    let step = |role: &str, sql: String| Step {
        role: role.to_owned(),
        sql,
    };
    let left: Vec<&Table> = tables
        .iter()
        .filter(|table| table.place != "local" && !done.contains(&table.rel))
        .collect();
    let moved = |name: &str| left.iter().any(|table| table.name == name);
    let loose = |key: &&Key| !key.untouched && (moved(&key.table_name) || moved(&key.referred));
    let mut steps = Vec::new();
    for key in keys.iter().filter(loose) {
        let sql = format!(
            "ALTER TABLE {} DROP CONSTRAINT {}",
            key.table_name, key.name
        );
        steps.push(step(&key.owner, sql));
    }
    for table in left
        .iter()
        .filter(|table| table.tenant_column.is_none() || table.place == "lookup")
    {
        let sql = format!("SELECT create_reference_table({})", table.literal);
        steps.extend(unforced(table, sql));
    }
    let mut first: Option<&str> = None;
    for table in tables.iter().filter(|table| table.place == "distributed") {
        let beside = first.unwrap_or("'none'");
        if let (false, Some(column)) = (done.contains(&table.rel), &table.tenant_column) {
            let sql = format!(
                "SELECT create_distributed_table({}, {column}, colocate_with => {beside})",
                table.literal
            );
            steps.extend(unforced(table, sql));
        }
        first.get_or_insert(&table.literal);
    }
    for key in keys.iter().filter(|key| key.kept).filter(loose) {
        let sql = format!(
            "ALTER TABLE {} ADD CONSTRAINT {} {}",
            key.table_name, key.name, key.definition
        );
        steps.push(step(&key.owner, sql));
    }
    steps.extend(
        functions
            .into_iter()
            .map(|(statement, role)| step(&role, statement)),
    );
    steps
}
