//! All rows of one tenant, in whatever tables they are: the family's and the host's.

mod export;
mod purge;
mod sql;

use serde::Deserialize;
use sqlx::{PgConnection, postgres::types::Oid, types::Json};

pub(crate) use export::export;
pub(crate) use purge::{begin, can_remove_rows, finish, remove_rows};

use crate::{Error, ErrorKind, doctor::Options};

/// A table that holds tenants' rows.
#[derive(Debug, sqlx::FromRow)]
struct Table {
    rel: Oid,
    /// With its schema, quoted where needed, as everything here.
    name: String,
    tenant_column: String,
    partitioned: bool,
    of_the_family: bool,
    key_columns: Vec<String>,
    columns: Json<Vec<Column>>,
    admitted: Vec<String>,
    refers_to: Vec<Oid>,
    refers_to_itself: bool,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    quoted: String,
    #[serde(rename = "type")]
    data_type: String,
    /// Whether the app itself may read it.
    open: bool,
}

#[derive(Debug, sqlx::FromRow)]
struct Subject {
    rel: Oid,
    tenant_column: i16,
    is_partition: bool,
}

/// Every table that holds tenants' rows, by name; found as the doctor finds them.
async fn tables(conn: &mut PgConnection) -> Result<Vec<Table>, Error> {
    let subjects: Vec<Subject> = sqlx::query_as(include_str!("../../doctor/sql/subjects.sql"))
        .bind(Options::default().tenant_columns)
        .fetch_all(&mut *conn)
        .await?;
    let whole = subjects.iter().filter(|subject| !subject.is_partition);
    let (rels, columns): (Vec<Oid>, Vec<i16>) = whole
        .map(|subject| (subject.rel, subject.tenant_column))
        .unzip();
    Ok(sqlx::query_as(include_str!("../sql/tenant_tables.sql"))
        .bind(rels)
        .bind(columns)
        .fetch_all(conn)
        .await?)
}

/// Refuses to go on where rows would be left out silently.
fn require(tables: &[Table], command: &str) -> Result<(), Error> {
    let closed: Vec<&str> = tables
        .iter()
        .filter(|table| !table.admitted.iter().any(|admitted| admitted == command))
        .map(|table| table.name.as_str())
        .collect();
    let Some(first) = closed.first() else {
        return Ok(());
    };
    let message = format!(
        "rows of {} can't be reached by the owner: SELECT tenancy.protect_table('{first}') as the table's owner",
        closed.join(", ")
    );
    Err(Error::new(
        ErrorKind::Misconfigured,
        "table_not_protected",
        message,
    ))
}

/// Puts tables before those they refer to, so that rows can be removed in this order.
///
/// A circle has no such order: its tables come last, by name.
fn children_first(mut waiting: Vec<Table>) -> Vec<Table> {
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let free = waiting.iter().position(|table| {
            !waiting
                .iter()
                .any(|other| other.refers_to.contains(&table.rel))
        });
        ordered.push(waiting.remove(free.unwrap_or_default()));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rel: u32, refers_to: &[u32]) -> Table {
        Table {
            rel: Oid(rel),
            name: format!("public.t{rel}"),
            tenant_column: "tenant_id".to_owned(),
            partitioned: false,
            of_the_family: false,
            key_columns: Vec::new(),
            columns: Json(Vec::new()),
            admitted: vec!["SELECT".to_owned()],
            refers_to: refers_to.iter().copied().map(Oid).collect(),
            refers_to_itself: false,
        }
    }

    #[test]
    fn who_refers_goes_first_and_a_circle_does_not_hang() {
        let tables = vec![
            table(1, &[]),
            table(2, &[1]),
            table(3, &[2, 1]),
            table(4, &[5]),
            table(5, &[4]),
        ];
        let order: Vec<u32> = children_first(tables).iter().map(|t| t.rel.0).collect();
        assert_eq!(order, [3, 2, 1, 4, 5]);
    }

    #[test]
    fn a_table_that_can_not_be_reached_is_named() {
        let error = require(&[table(1, &[])], "DELETE").unwrap_err();
        assert_eq!(error.code(), "table_not_protected");
        assert!(error.to_string().contains("public.t1"));
        require(&[table(1, &[])], "SELECT").unwrap();
    }
}
