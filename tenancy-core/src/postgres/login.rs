//! Whether a login is fit for its handle.

use sqlx::PgConnection;

use crate::{Error, ErrorKind};

#[derive(Debug, sqlx::FromRow)]
struct Login {
    name: String,
    superuser: bool,
    bypass: Option<String>,
    powerful: Option<String>,
    owned_table: Option<String>,
    is_app: Option<bool>,
    is_worker: Option<bool>,
}

impl Login {
    async fn of(conn: &mut PgConnection) -> Result<Self, Error> {
        Ok(sqlx::query_as(include_str!("sql/login.sql"))
            .fetch_one(conn)
            .await?)
    }

    /// The reason why row-level security would not bind this login, with the way out.
    fn unbound(&self) -> Option<String> {
        let name = &self.name;
        if self.superuser {
            return Some(format!(
                "login `{name}` is a superuser, and superusers see every tenant's rows"
            ));
        }
        if let Some(role) = &self.bypass {
            return Some(format!("login `{name}` has BYPASSRLS by role `{role}`"));
        }
        if let Some(role) = &self.powerful {
            return Some(format!(
                "login `{name}` is a member of `{role}`, which owns tenant tables or crosses tenants"
            ));
        }
        self.owned_table
            .as_ref()
            .map(|table| format!("login `{name}` owns the protected table `{table}`"))
    }
}

fn refuse(code: &'static str, message: String) -> Error {
    Error::new(ErrorKind::Misconfigured, code, message)
}

/// Accepts only a login that sees what its tenant context shows.
pub(crate) async fn check_app(conn: &mut PgConnection) -> Result<(), Error> {
    let login = Login::of(conn).await?;
    let advice = "use a login of its own: CREATE ROLE my_app LOGIN PASSWORD '…'; GRANT tenancy_app TO my_app";
    if let Some(reason) = login.unbound() {
        return Err(refuse("login_not_bound", format!("{reason}: {advice}")));
    }
    match login.is_app {
        None => Err(refuse(
            "schema_missing",
            "role `tenancy_app` does not exist: run the migrations first".to_owned(),
        )),
        Some(false) => Err(refuse(
            "login_without_role",
            format!(
                "login `{0}` is not a member of `tenancy_app`: GRANT tenancy_app TO {0}",
                login.name
            ),
        )),
        Some(true) => Ok(()),
    }
}

/// Accepts only a login that reaches across tenants by the closed list of functions alone.
pub(crate) async fn check_worker(conn: &mut PgConnection) -> Result<(), Error> {
    let login = Login::of(conn).await?;
    if login.superuser || login.bypass.is_some() || login.is_app == Some(true) {
        return Err(refuse(
            "login_not_bound",
            format!(
                "login `{}` must be a member of `tenancy_worker` and nothing else: use a login of its own",
                login.name
            ),
        ));
    }
    match login.is_worker {
        None => Err(refuse(
            "schema_missing",
            "role `tenancy_worker` does not exist: run the migrations first".to_owned(),
        )),
        Some(false) => Err(refuse(
            "login_without_role",
            format!(
                "login `{0}` is not a member of `tenancy_worker`: GRANT tenancy_worker TO {0}",
                login.name
            ),
        )),
        Some(true) => Ok(()),
    }
}
