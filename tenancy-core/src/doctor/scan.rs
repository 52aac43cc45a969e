//! The rules over the catalog.

use sqlx::{Connection as _, PgConnection, PgPool, postgres::types::Oid};

use super::{
    Finding, Options, Rule,
    rule::Check,
    rules::{CROSSING, find, rules},
};
use crate::{Error, ErrorKind};

/// What the rules found, and what the attack has to know.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) server_version: String,
    pub(super) subjects: Vec<Subject>,
    pub(super) app_roles: Vec<Oid>,
    pub(super) findings: Vec<Finding>,
}

/// A table that holds tenants' rows.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Subject {
    pub(super) rel: Oid,
    pub(super) tenant_column: i16,
    pub(super) table_name: String,
    pub(super) column_name: String,
    pub(super) is_partition: bool,
}

#[derive(Debug, sqlx::FromRow)]
struct Offence {
    object: String,
    detail: String,
    fix: String,
}

impl Scan {
    /// How many tenant tables there are, partitions not counted.
    pub(super) fn tables(&self) -> usize {
        self.subjects
            .iter()
            .filter(|subject| !subject.is_partition)
            .count()
    }

    pub(super) fn rels(&self) -> Vec<Oid> {
        self.subjects.iter().map(|subject| subject.rel).collect()
    }

    pub(super) fn columns(&self) -> Vec<i16> {
        self.subjects
            .iter()
            .map(|subject| subject.tenant_column)
            .collect()
    }

    async fn check(&mut self, conn: &mut PgConnection, rule: &'static Rule) -> Result<(), Error> {
        let query = match rule.check {
            Check::Catalog(sql) => sqlx::query_as(sql),
            Check::Roles(sql) => sqlx::query_as(sql).bind(&self.app_roles),
            Check::Tables(sql) => sqlx::query_as(sql).bind(self.rels()).bind(self.columns()),
            Check::Reach(sql) => sqlx::query_as(sql)
                .bind(self.rels())
                .bind(self.columns())
                .bind(&self.app_roles),
            Check::Crossing(sql) => sqlx::query_as(sql).bind(CROSSING),
            Check::CrossingReach(sql) => sqlx::query_as(sql).bind(CROSSING).bind(&self.app_roles),
            Check::Attack(_) => return Ok(()),
        };
        let offences: Vec<Offence> = query
            .fetch_all(conn)
            .await
            .map_err(|error| failed(rule, error))?;
        let found = offences
            .into_iter()
            .map(|offence| Finding::new(rule, offence.object, offence.detail, offence.fix));
        self.findings.extend(found);
        Ok(())
    }
}

fn failed(rule: &Rule, error: sqlx::Error) -> Error {
    let message = format!("the doctor could not check `{}` ({})", rule.name, rule.id);
    Error::new(ErrorKind::Misconfigured, "doctor_failed", message).with_source(Error::from(error))
}

/// Runs every rule, in a transaction or savepoint of its own, which is undone.
pub(super) async fn run(conn: &mut PgConnection, options: &Options) -> Result<Scan, Error> {
    let mut tx = conn.begin().await?;
    // Expressions are compared as text: the search_path decides how Postgres writes names.
    sqlx::raw_sql("SET LOCAL search_path = pg_catalog, pg_temp")
        .execute(&mut *tx)
        .await?;
    let (migrated, server_version): (bool, String) = sqlx::query_as(include_str!("sql/ground.sql"))
        .fetch_one(&mut *tx)
        .await?;
    if !migrated {
        let message = "there is no schema `tenancy` to examine: run the migrations first";
        return Err(Error::new(
            ErrorKind::Misconfigured,
            "schema_missing",
            message,
        ));
    }
    let subjects = sqlx::query_as(include_str!("sql/subjects.sql"))
        .bind(&options.tenant_columns)
        .fetch_all(&mut *tx)
        .await?;
    let app_roles = sqlx::query_scalar(include_str!("sql/app_roles.sql"))
        .fetch_all(&mut *tx)
        .await?;
    let mut scan = Scan {
        server_version,
        subjects,
        app_roles,
        findings: Vec::new(),
    };
    for rule in rules() {
        scan.check(&mut tx, rule).await?;
    }
    tx.rollback().await?;
    Ok(scan)
}

/// How many of the app's connections are looked at for what another transaction left behind.
const CHECKOUTS: u32 = 4;

/// Whether the app's connections come with a context before anybody has entered a tenant. Several
/// are held at once, so that they are not one and the same, and then taken once more, when a
/// transaction-local setting of the first round would have stayed if anything keeps it.
pub(super) async fn residue(pool: &PgPool) -> Result<Vec<Finding>, Error> {
    let Some(rule) = find("TEN607") else {
        return Ok(Vec::new());
    };
    let Check::Catalog(sql) = rule.check else {
        return Ok(Vec::new());
    };
    let most = pool.options().get_max_connections().min(CHECKOUTS);
    let mut found = Vec::new();
    for _ in 0..2 {
        let mut held = Vec::new();
        for _ in 0..most {
            let mut tx = pool.begin().await?;
            let offences: Vec<Offence> = sqlx::query_as(sql).fetch_all(&mut *tx).await?;
            found.extend(offences);
            sqlx::raw_sql("SET LOCAL tenancy.roles = 'tenancy_doctor'")
                .execute(&mut *tx)
                .await?;
            held.push(tx);
        }
        for tx in held {
            tx.commit().await?;
        }
    }
    let finding =
        |offence: Offence| Finding::new(rule, offence.object, offence.detail, offence.fix);
    Ok(found.into_iter().map(finding).collect())
}
