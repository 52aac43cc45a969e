//! Statements that take no parameters. The one file where text becomes SQL: every name in it is a
//! [`DbName`] or goes through [`quoted`].

use sqlx::{AssertSqlSafe, PgConnection};

use super::admin::Copying;
use crate::model::DbName;

pub(super) async fn create_database(
    conn: &mut PgConnection,
    name: &DbName,
    template: &str,
    owner: &str,
    copy: Copying,
) -> Result<(), sqlx::Error> {
    let (template, owner) = (quoted(template), quoted(owner));
    let how = match copy {
        Copying::Files => "file_copy",
        Copying::Log => "wal_log",
    };
    let text = format!("CREATE DATABASE {name} TEMPLATE {template} OWNER {owner} STRATEGY {how}");
    run(conn, text).await
}

pub(super) async fn drop_database(
    conn: &mut PgConnection,
    name: &DbName,
) -> Result<(), sqlx::Error> {
    run(conn, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
}

pub(super) async fn close_database(
    conn: &mut PgConnection,
    name: &DbName,
) -> Result<(), sqlx::Error> {
    run(
        conn,
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
    )
    .await
}

pub(super) async fn set_template(
    conn: &mut PgConnection,
    name: &DbName,
    yes: bool,
) -> Result<(), sqlx::Error> {
    run(conn, format!("ALTER DATABASE {name} IS_TEMPLATE {yes}")).await
}

pub(super) async fn grant_membership(
    conn: &mut PgConnection,
    group: &str,
    login: &str,
) -> Result<(), sqlx::Error> {
    let (group, login) = (quoted(group), quoted(login));
    run(conn, format!("GRANT {group} TO {login}")).await
}

pub(super) async fn create_login(
    conn: &mut PgConnection,
    login: &str,
    password: &str,
) -> Result<(), sqlx::Error> {
    let (login, password) = (quoted(login), password.replace('\'', "''"));
    run(
        conn,
        format!("CREATE ROLE {login} LOGIN PASSWORD '{password}'"),
    )
    .await
}

/// A statement that the server itself wrote, with `format` and its quoting.
pub(super) async fn run_from_server(
    conn: &mut PgConnection,
    statement: String,
) -> Result<(), sqlx::Error> {
    run(conn, statement).await
}

async fn run(conn: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(conn)
        .await
        .map(|_| ())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
