//! A transaction that attacks, and that never commits.

use serde_json::Value;
use sqlx::{PgConnection, Postgres, Transaction, types::Json};

use crate::{Error, OperatorDb, TenantDb};

/// How many tables are attacked by one statement.
const BATCH: usize = 40;

/// A role that the attacker can take on for a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// The app: `tenancy_app`, or the app's own login.
    App,
    /// The owner of the definer functions, who may write the family's tenant tables.
    Definer,
    /// The owner of the family's tables, who may write those that are shared.
    Owner,
    /// The operator's login, who may write the host's shared tables.
    Operator,
}

/// Who attacks, on a connection of its own.
#[derive(Debug)]
pub(super) struct Attacker {
    tx: Transaction<'static, Postgres>,
    name: String,
    roles: Vec<Role>,
    /// Whether roles are changed by SET ROLE; the app's own login stays what it is.
    changes_roles: bool,
}

#[derive(Debug, sqlx::FromRow)]
struct Reach {
    login: String,
    becomes: Vec<String>,
    may_grant_app: bool,
}

impl Reach {
    fn may_become(&self, role: &str) -> bool {
        self.becomes.iter().any(|name| name == role)
    }
}

impl Attacker {
    /// On the operator's connection, as `tenancy_app`.
    ///
    /// # Errors
    /// The reason why it can't.
    pub(super) async fn operator(operator: &OperatorDb) -> Result<Self, String> {
        let mut tx = operator.pool().begin().await.map_err(reason)?;
        let reach: Reach = sqlx::query_as(include_str!("../sql/attack_reach.sql"))
            .fetch_one(&mut *tx)
            .await
            .map_err(reason)?;
        if !reach.may_become("tenancy_app") {
            if !reach.may_grant_app {
                return Err(format!(
                    "`{0}` can't act as the app: GRANT tenancy_app TO {0} WITH INHERIT FALSE, SET TRUE",
                    reach.login
                ));
            }
            let grant = "GRANT tenancy_app TO CURRENT_USER WITH INHERIT FALSE, SET TRUE";
            plain(&mut tx, grant).await.map_err(reason)?;
        }
        limit(&mut tx).await.map_err(reason)?;
        let mut roles = vec![Role::App];
        if reach.may_become("tenancy_definer") {
            roles.push(Role::Definer);
        }
        if reach.may_become("tenancy_owner") {
            roles.push(Role::Owner);
        }
        roles.push(Role::Operator);
        Ok(Self {
            tx,
            name: "tenancy_app".to_owned(),
            roles,
            changes_roles: true,
        })
    }

    /// On the app's connection, as its login.
    ///
    /// # Errors
    /// The reason why it can't.
    pub(super) async fn login(app: &TenantDb) -> Result<Self, String> {
        let mut tx = app.without_tenant().begin().await.map_err(reason)?;
        limit(&mut tx).await.map_err(reason)?;
        let name = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut *tx);
        let name = name.await.map_err(reason)?;
        Ok(Self {
            tx,
            name,
            roles: vec![Role::App],
            changes_roles: false,
        })
    }

    /// The role whose reach it proves.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The roles it can take on, the app first.
    pub(super) fn roles(&self) -> Vec<Role> {
        self.roles.clone()
    }

    /// Runs a block over some jobs, and keeps what it did for the time of the attack. Answers one
    /// result a job.
    ///
    /// # Errors
    /// Outside: the connection is of no more use. Inside: the block failed on this job, and what
    /// it did is undone.
    pub(super) async fn kept(
        &mut self,
        role: Role,
        block: &'static str,
        jobs: &[Value],
    ) -> Result<Vec<Result<Value, String>>, String> {
        self.each(role, block, jobs, "RELEASE SAVEPOINT tenancy_doctor")
            .await
    }

    /// Runs a block over some jobs, and undoes what it did.
    ///
    /// # Errors
    /// As [`kept`](Self::kept).
    pub(super) async fn undone(
        &mut self,
        role: Role,
        block: &'static str,
        jobs: &[Value],
    ) -> Result<Vec<Result<Value, String>>, String> {
        self.each(role, block, jobs, "ROLLBACK TO SAVEPOINT tenancy_doctor")
            .await
    }

    /// Rolls everything back.
    pub(super) async fn leave(self) -> Result<(), String> {
        self.tx.rollback().await.map_err(reason)
    }

    /// Many jobs at a time, since a block is compiled and planned anew for each call; one by one
    /// where a batch fails, so that one table does not speak for others.
    async fn each(
        &mut self,
        role: Role,
        block: &'static str,
        jobs: &[Value],
        end: &'static str,
    ) -> Result<Vec<Result<Value, String>>, String> {
        let mut results = Vec::with_capacity(jobs.len());
        for batch in jobs.chunks(BATCH) {
            match self.step(role, block, batch, end).await? {
                Ok(answers) => results.extend(answers.into_iter().map(Ok)),
                Err(reason) if batch.len() == 1 => results.push(Err(reason)),
                Err(_) => {
                    for job in batch {
                        let one = self
                            .step(role, block, std::slice::from_ref(job), end)
                            .await?;
                        results.push(one.map(|mut answers| answers.pop().unwrap_or_default()));
                    }
                }
            }
        }
        Ok(results)
    }

    async fn step(
        &mut self,
        role: Role,
        block: &'static str,
        jobs: &[Value],
        end: &'static str,
    ) -> Result<Result<Vec<Value>, String>, String> {
        let enter = match role {
            _ if !self.changes_roles => "SAVEPOINT tenancy_doctor",
            Role::App => "SAVEPOINT tenancy_doctor; SET LOCAL ROLE tenancy_app",
            Role::Definer => "SAVEPOINT tenancy_doctor; SET LOCAL ROLE tenancy_definer",
            Role::Owner => "SAVEPOINT tenancy_doctor; SET LOCAL ROLE tenancy_owner",
            Role::Operator => "SAVEPOINT tenancy_doctor; SET LOCAL ROLE NONE",
        };
        plain(&mut self.tx, enter).await.map_err(reason)?;
        match answers(&mut self.tx, block, jobs).await {
            Ok(answers) => {
                plain(&mut self.tx, end).await.map_err(reason)?;
                Ok(Ok(answers))
            }
            Err(error) => {
                plain(&mut self.tx, "ROLLBACK TO SAVEPOINT tenancy_doctor")
                    .await
                    .map_err(reason)?;
                Ok(Err(reason(error)))
            }
        }
    }
}

/// Hands a block its jobs by a setting, and reads its answers from another: a block has no
/// parameters and no result.
async fn answers(
    conn: &mut PgConnection,
    block: &'static str,
    jobs: &[Value],
) -> Result<Vec<Value>, sqlx::Error> {
    sqlx::query("SELECT set_config('tenancy_doctor.input', $1::jsonb::text, true)")
        .bind(Json(jobs))
        .execute(&mut *conn)
        .await?;
    plain(conn, block).await?;
    let Json(answers) =
        sqlx::query_scalar("SELECT current_setting('tenancy_doctor.output')::jsonb")
            .fetch_one(conn)
            .await?;
    Ok(answers)
}

/// What nobody waits for: a lock that somebody holds, a table so large that a leak takes long.
async fn limit(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    plain(
        conn,
        "SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '2s'",
    )
    .await
}

async fn plain(conn: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(conn).await.map(|_| ())
}

/// The server's words, without the rows that its details may hold.
pub(super) fn reason(error: sqlx::Error) -> String {
    match error.as_database_error() {
        Some(fault) => fault.message().to_owned(),
        None => Error::from(error).to_string(),
    }
}
