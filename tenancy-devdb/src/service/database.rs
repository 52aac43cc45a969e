//! One database and the URLs of its logins.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::model::{DbName, Endpoint, Login};

/// One database on the development server, and a URL for each login.
///
/// Cheap to clone, connects to nothing by itself.
#[derive(Clone)]
pub struct Database {
    name: String,
    operator_url: String,
    app_url: String,
    worker_url: String,
    superuser_url: Option<String>,
}

impl Database {
    /// `None` names the database in the operator's own URL.
    pub(crate) fn new(endpoint: &Endpoint, name: Option<&DbName>) -> Self {
        let url = |login| endpoint.url(login, name);
        let own = endpoint.own_database().unwrap_or_default();
        Self {
            name: name.map_or(own, |n| n.as_str().to_owned()),
            operator_url: url(Login::Operator).unwrap_or_default(),
            app_url: url(Login::App).unwrap_or_default(),
            worker_url: url(Login::Worker).unwrap_or_default(),
            superuser_url: url(Login::Superuser),
        }
    }

    /// The database's name on its server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The login for migrations: `CREATEROLE` and `CREATEDB`, owns this database, no superuser.
    pub fn operator_url(&self) -> &str {
        &self.operator_url
    }

    /// The login of a host application: a member of `tenancy_app` once that role exists and
    /// [`DevDb::grant_logins`](crate::DevDb::grant_logins) has run.
    pub fn app_url(&self) -> &str {
        &self.app_url
    }

    /// The login of background work: a member of `tenancy_worker`, as above.
    pub fn worker_url(&self) -> &str {
        &self.worker_url
    }

    /// A superuser: only to plant faults, such as dropping a policy. Nothing that is to be proved
    /// about tenants is proved by this login.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotAllowed`] on a server given by `TENANCY_DATABASE_URL` whose login is none.
    pub fn superuser_url(&self) -> Result<&str, Error> {
        self.superuser_url.as_deref().ok_or_else(|| {
            Error::new(
                ErrorKind::NotAllowed,
                "the login in TENANCY_DATABASE_URL is no superuser, and this test needs one",
            )
        })
    }
}

impl fmt::Debug for Database {
    /// Without the URLs: those of a server that was there hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
