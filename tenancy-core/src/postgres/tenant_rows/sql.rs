//! Statements over tables that only the catalog knows.
//!
//! What goes in are names that Postgres itself has quoted, uuids and numbers.

use sqlx::AssertSqlSafe;

use super::Table;
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
    AssertSqlSafe(format!(
        "SELECT row_to_json(x)::text FROM (SELECT {columns} FROM {name} AS tenancy_row \
         WHERE {tenant_column} = '{tenant}' ORDER BY {order}) AS x"
    ))
}

/// Removes some rows. A table that refers to itself is emptied at once: within one statement its
/// rows may go in any order.
pub(super) fn remove(table: &Table, tenant: TenantId, batch: u16) -> AssertSqlSafe<String> {
    let Table {
        name,
        tenant_column,
        ..
    } = table;
    let mine = format!("{tenant_column} = '{tenant}'");
    let some = if table.refers_to_itself {
        String::new()
    } else if table.partitioned {
        format!(
            " AND (tableoid, ctid) IN (SELECT tableoid, ctid FROM {name} WHERE {mine} LIMIT {batch})"
        )
    } else {
        format!(" AND ctid = ANY (ARRAY(SELECT ctid FROM {name} WHERE {mine} LIMIT {batch}))")
    };
    AssertSqlSafe(format!("DELETE FROM {name} WHERE {mine}{some}"))
}
