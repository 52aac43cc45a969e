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
    refers_to: Json<Vec<Reference>>,
}

/// A foreign key.
#[derive(Debug, Deserialize)]
struct Reference {
    to: u32,
    /// Whether the row goes by itself when the one it refers to goes.
    cascades: bool,
    columns: Vec<String>,
    to_columns: Vec<String>,
}

impl Table {
    fn refers(&self, other: &Self) -> bool {
        self.refers_to.0.iter().any(|key| key.to == other.rel.0)
    }

    /// The foreign keys to another table, or to itself, that keep rows there from going first.
    fn holds<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Reference> {
        let to = other.rel.0;
        let keys = self.refers_to.0.iter();
        keys.filter(move |key| key.to == to && !key.cascades)
    }
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

/// Puts tables before those they refer to, so that rows can be removed in this order. Tables that
/// refer to each other in a circle come together.
fn children_first(mut waiting: Vec<Table>) -> Vec<Vec<Table>> {
    let mut ordered = Vec::with_capacity(waiting.len());
    loop {
        let circle = (0..waiting.len())
            .map(|at| referring(&waiting, at))
            .min_by_key(Vec::len);
        let Some(circle) = circle else {
            return ordered;
        };
        // Whoever has the fewest that refer to him is referred to by nobody outside of his circle.
        let (mut group, mut rest) = (Vec::new(), Vec::new());
        for (at, table) in waiting.into_iter().enumerate() {
            if circle.contains(&at) {
                group.push(table);
            } else {
                rest.push(table);
            }
        }
        ordered.push(group);
        waiting = rest;
    }
}

/// A table, and all that refer to it, directly or by others.
fn referring(tables: &[Table], at: usize) -> Vec<usize> {
    let mut found = vec![at];
    let mut next = 0;
    while let Some(to) = found.get(next).and_then(|at| tables.get(*at)) {
        for (from, table) in tables.iter().enumerate() {
            if table.refers(to) && !found.contains(&from) {
                found.push(from);
            }
        }
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(to: u32) -> Reference {
        Reference {
            to,
            cascades: false,
            columns: Vec::new(),
            to_columns: Vec::new(),
        }
    }

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
            refers_to: Json(refers_to.iter().copied().map(key).collect()),
        }
    }

    #[test]
    fn who_refers_goes_first_and_who_refers_to_each_other_goes_together() {
        let tables = vec![
            table(1, &[]),
            table(2, &[1]),
            table(3, &[2, 1]),
            table(4, &[5, 1]),
            table(5, &[4]),
            table(6, &[6]),
            table(7, &[4]),
        ];
        let rels = |group: &Vec<Table>| group.iter().map(|t| t.rel.0).collect::<Vec<_>>();
        let order: Vec<_> = children_first(tables).iter().map(rels).collect();
        assert_eq!(
            order,
            [vec![3], vec![2], vec![6], vec![7], vec![4, 5], vec![1]]
        );
    }

    #[test]
    fn a_table_that_can_not_be_reached_is_named() {
        let error = require(&[table(1, &[])], "DELETE").unwrap_err();
        assert_eq!(error.code(), "table_not_protected");
        assert!(error.to_string().contains("public.t1"));
        require(&[table(1, &[])], "SELECT").unwrap();
    }
}
