//! A connection that makes and drops databases.

use std::{str::FromStr, time::Duration};

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::ddl;
use crate::error::{Error, ErrorKind};
use crate::model::DbName;

/// Who a connection is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The server's version, as in `server_version_num`.
    pub(crate) version: i32,
    /// The login's role.
    pub(crate) role: String,
    /// Whether it is a superuser.
    pub(crate) superuser: bool,
}

/// A connection to the database that exists on every server.
#[derive(Debug)]
pub(crate) struct Admin {
    conn: PgConnection,
    copy: Copying,
}

/// How a database is cloned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Copying {
    /// File by file, after a checkpoint: twice as fast where files lie in memory.
    Files,
    /// Through the write-ahead log: forces no checkpoint, steadier where there is a disk.
    Log,
}

/// Opens one connection. A failure is the driver's: the caller knows whether to wait.
pub(crate) async fn connect(url: &str) -> Result<Admin, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("tenancy-devdb");
    Ok(Admin {
        conn: options.connect().await?,
        copy: Copying::Log,
    })
}

/// Whether a server answered that it has no connection left.
pub(crate) fn is_full(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.as_deref() == Some("53300")
}

impl Admin {
    /// Chooses how [`create`](Self::create) copies; through the log unless told.
    pub(crate) fn copying(mut self, copy: Copying) -> Self {
        self.copy = copy;
        self
    }

    pub(crate) async fn identity(&mut self) -> Result<Identity, Error> {
        let (version, role, superuser) = sqlx::query_as(include_str!("sql/who_am_i.sql"))
            .fetch_one(&mut self.conn)
            .await
            .map_err(|e| Error::sql("ask the server who is connected", e))?;
        Ok(Identity {
            version,
            role,
            superuser,
        })
    }

    pub(crate) async fn make_logins(&mut self) -> Result<(), Error> {
        sqlx::raw_sql(include_str!("sql/make_logins.sql"))
            .execute(&mut self.conn)
            .await
            .map_err(|e| Error::sql("make the development logins", e))?;
        Ok(())
    }

    /// Makes a login with a password, unless it exists.
    pub(crate) async fn make_login(&mut self, login: &str, password: &str) -> Result<(), Error> {
        match ddl::create_login(&mut self.conn, login, password).await {
            Err(e) if is_code(&e, &[DUPLICATE_OBJECT, UNIQUE_VIOLATION]) => Ok(()),
            other => other.map_err(|e| Error::sql(format!("make the login `{login}`"), e)),
        }
    }

    /// Makes `vector` known in the database this connection is in.
    pub(crate) async fn create_vector(&mut self) -> Result<(), Error> {
        sqlx::raw_sql(include_str!("sql/create_vector.sql"))
            .execute(&mut self.conn)
            .await
            .map_err(|e| Error::sql("make the extension `vector`: ask a superuser for it", e))?;
        Ok(())
    }

    /// Names of all databases and whether each is a finished template, oldest first.
    pub(crate) async fn databases(&mut self) -> Result<Vec<(String, bool)>, Error> {
        sqlx::query_as(include_str!("sql/databases.sql"))
            .fetch_all(&mut self.conn)
            .await
            .map_err(|e| Error::sql("list the databases", e))
    }

    /// Whether `name` is a finished template; `None` when it does not exist.
    pub(crate) async fn state(&mut self, name: &DbName) -> Result<Option<bool>, Error> {
        sqlx::query_scalar(include_str!("sql/database_state.sql"))
            .bind(name.as_str())
            .fetch_optional(&mut self.conn)
            .await
            .map_err(|e| Error::sql(format!("look for the database `{name}`"), e))
    }

    /// Copies `template` into the new database `name`. False when the template is gone.
    pub(crate) async fn create(
        &mut self,
        name: &DbName,
        template: &str,
        owner: &str,
    ) -> Result<bool, Error> {
        match ddl::create_database(&mut self.conn, name, template, owner, self.copy).await {
            Ok(()) => Ok(true),
            Err(e) if is_code(&e, &[NO_SUCH_DATABASE]) => Ok(false),
            Err(e) => Err(Error::sql(format!("create the database `{name}`"), e)),
        }
    }

    /// Gives the clone `name` the grants and settings of its template, which a copy leaves out.
    pub(crate) async fn copy_extras(&mut self, from: &DbName, name: &DbName) -> Result<(), Error> {
        let fail = |e| Error::sql(format!("copy the grants on `{from}`"), e);
        let statements: Vec<String> = sqlx::query_scalar(include_str!("sql/database_extras.sql"))
            .bind(from.as_str())
            .bind(name.as_str())
            .fetch_all(&mut self.conn)
            .await
            .map_err(fail)?;
        for statement in statements {
            ddl::run_from_server(&mut self.conn, statement)
                .await
                .map_err(fail)?;
        }
        Ok(())
    }

    /// Drops a database with all its sessions; one that is not there is no error.
    ///
    /// A login that is no superuser may not end the sessions of others. Those of a test are closed
    /// already and only end a little late, so they are waited for, for two seconds at most.
    pub(crate) async fn drop(&mut self, name: &DbName) -> Result<(), Error> {
        let mut left = 40_u32;
        loop {
            match ddl::drop_database(&mut self.conn, name).await {
                Err(error)
                    if left > 0 && is_code(&error, &[INSUFFICIENT_PRIVILEGE, OBJECT_IN_USE]) =>
                {
                    left -= 1;
                }
                answer => {
                    return answer
                        .map_err(|e| Error::sql(format!("drop the database `{name}`"), e));
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Closes a migrated database for good and lets it be cloned.
    pub(crate) async fn finish_template(&mut self, name: &DbName) -> Result<(), Error> {
        let fail = |e| Error::sql(format!("close the template `{name}`"), e);
        ddl::close_database(&mut self.conn, name)
            .await
            .map_err(fail)?;
        // A clone fails while anybody is connected, and a pool's connections end a little late.
        sqlx::query(include_str!("sql/disconnect.sql"))
            .bind(name.as_str())
            .execute(&mut self.conn)
            .await
            .map_err(fail)?;
        ddl::set_template(&mut self.conn, name, true)
            .await
            .map_err(fail)
    }

    /// Drops a template, finished or not.
    pub(crate) async fn drop_template(&mut self, name: &DbName) -> Result<(), Error> {
        match self.state(name).await? {
            None => return Ok(()),
            Some(true) => ddl::set_template(&mut self.conn, name, false)
                .await
                .map_err(|e| Error::sql(format!("drop the template `{name}`"), e))?,
            Some(false) => {}
        }
        self.drop(name).await
    }

    /// Makes `login` a member of `group`, once both exist. Postgres itself lets those who grant the
    /// same membership wait for each other.
    pub(crate) async fn join_group(&mut self, login: &str, group: &str) -> Result<(), Error> {
        let fail = |e| Error::sql(format!("make `{login}` a member of `{group}`"), e);
        let missing: bool = sqlx::query_scalar(include_str!("sql/is_member_missing.sql"))
            .bind(login)
            .bind(group)
            .fetch_one(&mut self.conn)
            .await
            .map_err(fail)?;
        if missing {
            ddl::grant_membership(&mut self.conn, group, login)
                .await
                .map_err(fail)?;
        }
        Ok(())
    }

    /// Waits for a lock among all processes that use this server.
    pub(crate) async fn lock(&mut self, what: Locked) -> Result<(), Error> {
        sqlx::query(include_str!("sql/lock.sql"))
            .bind(what.key())
            .execute(&mut self.conn)
            .await
            .map_err(|e| Error::sql("take the server's lock", e))?;
        Ok(())
    }

    pub(crate) async fn unlock(&mut self, what: Locked) -> Result<(), Error> {
        sqlx::query(include_str!("sql/unlock.sql"))
            .bind(what.key())
            .execute(&mut self.conn)
            .await
            .map_err(|e| Error::sql("release the server's lock", e))?;
        Ok(())
    }

    pub(crate) async fn close(self) {
        // The answer is already there: a failure to say good-bye changes nothing.
        let _ = self.conn.close().await;
    }
}

/// What one process at a time does on a server. `Templates` may be held while another is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Locked {
    /// Making a named database.
    Names,
    /// Making a template.
    Templates,
}

impl Locked {
    const fn key(self) -> i64 {
        // "devdb" in ASCII, and a number.
        const BASE: i64 = 0x6465_7664_6200;
        match self {
            Self::Names => BASE,
            Self::Templates => BASE + 1,
        }
    }
}

/// Fails on a server that is too old.
pub(crate) fn check_version(version: i32) -> Result<(), Error> {
    if version >= VERSION_MIN {
        return Ok(());
    }
    let major = version / 10_000;
    let text = format!("the server is Postgres {major}, at least 16 is needed");
    Err(Error::new(ErrorKind::Config, text))
}

fn is_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|c| codes.contains(&c.as_ref()))
}

const VERSION_MIN: i32 = 160_000;
const DUPLICATE_OBJECT: &str = "42710";
const UNIQUE_VIOLATION: &str = "23505";
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const NO_SUCH_DATABASE: &str = "3D000";
const OBJECT_IN_USE: &str = "55006";
