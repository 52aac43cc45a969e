//! Where a server listens, and URLs for logins on it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use url::Url;

use crate::error::{Error, ErrorKind};
use crate::model::{DbName, Login, Settings, hash_hex};

/// Where a server of ours listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Address {
    /// The directory of its Unix socket.
    pub(crate) socket_dir: PathBuf,
}

impl Address {
    /// The socket itself.
    #[cfg(unix)]
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{PORT}"))
    }

    /// A URL that sqlx, libpq and tokio-postgres read alike: the directory stands percent-encoded
    /// in the place of the host.
    pub(crate) fn url(&self, login: &str, database: &str) -> String {
        format!(
            "postgres://{login}@{}:{PORT}/{database}",
            encode(&self.socket_dir)
        )
    }
}

/// How the logins of a server are reached.
#[derive(Clone)]
pub(crate) enum Endpoint {
    /// A server of ours: every login, no passwords, a socket only its user can reach.
    Local(Address),
    /// A server that was there: one URL a login, with passwords.
    External(Box<External>),
}

/// The URLs of the logins on a server that was there.
#[derive(Clone)]
pub(crate) struct External {
    operator: Url,
    app: Url,
    worker: Url,
    /// The operator's role; a URL may leave it to the driver's defaults.
    role: String,
    superuser: bool,
}

impl Endpoint {
    /// Reads the URLs in `settings`. The app's and the worker's are derived from the operator's
    /// where they are not given: see [`derived_password`].
    pub(crate) fn external(settings: &Settings, operator: &str) -> Result<Self, Error> {
        let operator = parse("TENANCY_DATABASE_URL", operator)?;
        let login = |given: Option<&String>, name: &str, login: Login| match given {
            Some(text) => parse(name, text),
            None => derive(&operator, login),
        };
        let app = login(
            settings.app_url.as_ref(),
            "TENANCY_APP_DATABASE_URL",
            Login::App,
        )?;
        let worker = login(
            settings.worker_url.as_ref(),
            "TENANCY_WORKER_DATABASE_URL",
            Login::Worker,
        )?;
        let role = user_of(&operator);
        let urls = External {
            operator,
            app,
            worker,
            role,
            superuser: false,
        };
        Ok(Self::External(Box::new(urls)))
    }

    /// Notes who the operator's login on a server that was there turned out to be.
    pub(crate) fn of(mut self, operator: String, superuser: bool) -> Self {
        if let Self::External(urls) = &mut self {
            urls.role = operator;
            urls.superuser = superuser;
        }
        self
    }

    /// The URL of `login` for `database`; `None` when there is no such login.
    pub(crate) fn url(&self, login: Login, database: Option<&DbName>) -> Option<String> {
        let urls = match self {
            Self::Local(address) => {
                return Some(match database {
                    Some(name) => address.url(login.role(), name.as_str()),
                    None => address.url(login.role(), MAINTENANCE),
                });
            }
            Self::External(urls) => urls,
        };
        let mut url = match login {
            Login::Operator => urls.operator.clone(),
            Login::App => urls.app.clone(),
            Login::Worker => urls.worker.clone(),
            Login::Superuser if urls.superuser => urls.operator.clone(),
            Login::Superuser => return None,
        };
        if let Some(name) = database {
            set_database(&mut url, name);
        }
        Some(url.into())
    }

    /// The role name behind `login`.
    pub(crate) fn role(&self, login: Login) -> String {
        let url = match (self, login) {
            (Self::Local(_), _) => return login.role().to_owned(),
            (Self::External(urls), Login::App) => &urls.app,
            (Self::External(urls), Login::Worker) => &urls.worker,
            (Self::External(urls), _) => return urls.role.clone(),
        };
        user_of(url)
    }

    /// The database in the operator's URL.
    pub(crate) fn own_database(&self) -> Option<String> {
        match self {
            Self::Local(_) => None,
            Self::External(urls) => Some(urls.operator.path().trim_start_matches('/').to_owned()),
        }
    }
}

/// The password of a login that is made on a server that was there: every process that has the
/// operator's URL can compute it, nobody else can.
pub(crate) fn derived_password(operator: &str, login: Login) -> String {
    hash_hex(&["tenancy-devdb login", operator, login.role()], 16)
}

fn derive(operator: &Url, login: Login) -> Result<Url, Error> {
    let mut url = operator.clone();
    let keep: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(k, _)| k != "user" && k != "password")
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    url.set_query(None);
    if !keep.is_empty() {
        url.query_pairs_mut().extend_pairs(keep);
    }
    let password = derived_password(operator.as_str(), login);
    let set = url
        .set_username(login.role())
        .and_then(|()| url.set_password(Some(&password)));
    set.map_err(|()| bad_url("TENANCY_DATABASE_URL", "it has no host"))?;
    Ok(url)
}

fn set_database(url: &mut Url, name: &DbName) {
    url.set_path(name.as_str());
    let keep: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(k, _)| k != "dbname")
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    url.set_query(None);
    if !keep.is_empty() {
        url.query_pairs_mut().extend_pairs(keep);
    }
}

fn user_of(url: &Url) -> String {
    let in_query = url
        .query_pairs()
        .find(|(k, _)| k == "user")
        .map(|(_, v)| v.into_owned());
    in_query.unwrap_or_else(|| decode(url.username()))
}

fn decode(text: &str) -> String {
    // The query syntax is the one decoder the URL crate offers; `+` means itself in a user's name.
    let escaped = text.replace('+', "%2B");
    url::form_urlencoded::parse(format!("u={escaped}").as_bytes())
        .next()
        .map(|(_, v)| v.into_owned())
        .unwrap_or_default()
}

fn parse(variable: &str, text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(|e| bad_url(variable, &e.to_string()))?;
    match url.scheme() {
        "postgres" | "postgresql" => Ok(url),
        other => Err(bad_url(variable, &format!("its scheme is `{other}`"))),
    }
}

/// Never with the URL itself: it holds a password.
fn bad_url(variable: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("{variable} is no `postgres://user:password@host/database`: {why}"),
    )
}

/// Exists in every cluster; what concerns the whole server is done from here.
const MAINTENANCE: &str = "postgres";

/// Names the socket; nothing listens on a network port.
pub(crate) const PORT: u16 = 5432;

fn encode(path: &Path) -> String {
    let mut out = String::new();
    for byte in path.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use sqlx::postgres::PgConnectOptions;

    use super::*;

    #[test]
    fn sqlx_reads_a_socket_directory_with_spaces_and_umlauts_back() {
        let dir = PathBuf::from("/tmp/a b%/ä@:?#");
        let at = Address {
            socket_dir: dir.clone(),
        };
        let options = PgConnectOptions::from_str(&at.url("me", "d")).unwrap();
        assert_eq!(options.get_socket(), Some(&dir));
        assert_eq!(options.get_username(), "me");
        assert_eq!(options.get_database(), Some("d"));
        assert_eq!(options.get_port(), PORT);
    }
}
