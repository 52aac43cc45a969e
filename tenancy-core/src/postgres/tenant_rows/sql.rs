//! Statements over tables that only the catalog knows.
//!
//! What goes in are names that Postgres itself has quoted, uuids and numbers.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use super::{Reference, Table};
use crate::TenantId;

/// Each row as a JSON object, in an order that depends on the rows alone.
pub(super) fn rows(table: &Table, columns: &[&str], tenant: TenantId) -> AssertSqlSafe<String> {
    let Table {
        name,
        tenant_column,
        key_columns,
        ..
    } = table;
    let columns = columns.join(", ");
    let order = if key_columns.is_empty() {
        "tenancy_row::text COLLATE \"C\"".to_owned()
    } else {
        key_columns.join(", ")
    };
    // A `json` column keeps its line ends, and each row is to be one line. In JSON they stand between tokens
    // only: in a string they are escaped.
    AssertSqlSafe(format!(
        "SELECT translate(row_to_json(x)::text, E'\\n\\r', '  ') FROM (SELECT {columns} FROM {name} AS tenancy_row \
         WHERE {tenant_column} = '{tenant}' ORDER BY {order}) AS x"
    ))
}

/// Removes some rows that no row of these tables stands in the way of.
pub(super) fn remove_some(
    table: &Table,
    among: &[Table],
    tenant: TenantId,
    batch: u16,
) -> AssertSqlSafe<String> {
    let Table {
        name,
        tenant_column,
        ..
    } = table;
    let mut free = format!("doomed.{tenant_column} = '{tenant}'");
    for child in among {
        for key in child.holds(table) {
            // Writing to a String can't fail.
            let _ = write!(free, " AND NOT EXISTS ({})", held_by(table, child, key));
        }
    }
    let some = if table.partitioned {
        format!(
            "(tableoid, ctid) IN (SELECT tableoid, ctid FROM {name} AS doomed WHERE {free} LIMIT {batch})"
        )
    } else {
        format!("ctid = ANY (ARRAY(SELECT ctid FROM {name} AS doomed WHERE {free} LIMIT {batch}))")
    };
    AssertSqlSafe(format!(
        "DELETE FROM {name} WHERE {tenant_column} = '{tenant}' AND {some}"
    ))
}

/// The rows that refer to a doomed one by this key; one that refers to itself goes with itself.
fn held_by(table: &Table, child: &Table, key: &Reference) -> String {
    let pairs: Vec<String> = key
        .columns
        .iter()
        .zip(&key.to_columns)
        .map(|(from, to)| format!("child.{from} = doomed.{to}"))
        .collect();
    let another = if table.rel == child.rel {
        " AND (child.tableoid, child.ctid) <> (doomed.tableoid, doomed.ctid)"
    } else {
        ""
    };
    let (name, pairs) = (&child.name, pairs.join(" AND "));
    format!("SELECT FROM {name} AS child WHERE {pairs}{another}")
}

/// Removes all rows of these tables. Within one statement they may go in any order. Answers how many
/// of each went.
pub(super) fn remove_all(tables: &[Table], tenant: TenantId) -> AssertSqlSafe<String> {
    let mut removals = Vec::with_capacity(tables.len());
    let mut counts = Vec::with_capacity(tables.len());
    for (at, table) in tables.iter().enumerate() {
        let Table {
            name,
            tenant_column,
            ..
        } = table;
        removals.push(format!(
            "gone{at} AS (DELETE FROM {name} WHERE {tenant_column} = '{tenant}' RETURNING 1)"
        ));
        counts.push(format!("(SELECT count(*) FROM gone{at})"));
    }
    let (removals, counts) = (removals.join(", "), counts.join(", "));
    AssertSqlSafe(format!("WITH {removals} SELECT ARRAY[{counts}]"))
}
