//! Connections, and the truth about why there is none.
//!
//! sqlx's pool asks a server that refuses connections again and again until its time is up, and
//! then says what it also says when all connections are in use.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _, Connection as _, PgPool, Postgres, pool::PoolConnection,
    postgres::PgConnectOptions,
};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

use super::{fault, tls};
use crate::{Error, ErrorKind, SecretText};

/// A pool that tells a server that is away from connections that are all in use.
///
/// Whoever has waited for a moment looks whether the server lets anybody in: one look at a time,
/// at most one a second, and each a connection beside the pool's for that moment.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    pool: PgPool,
    last: Arc<Mutex<Option<(Instant, Door)>>>,
}

/// What a connection of one's own meets.
#[derive(Clone, Debug)]
enum Door {
    Open,
    /// The server has no connection to spare.
    Full,
    /// The login has all that it may have.
    LoginFull,
    /// Nobody is there, or the server is on its way up or down; with what was heard.
    Shut(String),
}

impl Connections {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            last: Arc::default(),
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection of the pool.
    ///
    /// # Errors
    /// `database_unavailable` after a moment if the server can't be reached or is starting;
    /// `pool_exhausted`, `too_many_connections` or `login_connections_used` after the pool's time; at once whatever else
    /// keeps this login out.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        let limit = self.pool.options().get_acquire_timeout();
        let mut acquiring = pin!(self.pool.acquire());
        tokio::select! {
            biased;
            acquired = &mut acquiring => return self.told(acquired),
            () = sleep(PATIENCE.min(limit / 4)) => {}
        }
        // Large, and seldom needed.
        let mut looking = Box::pin(self.look());
        let mut door = None;
        loop {
            tokio::select! {
                biased;
                acquired = &mut acquiring => {
                    let timed_out = matches!(acquired, Err(sqlx::Error::PoolTimedOut));
                    if timed_out && door.is_none() {
                        door = timeout(PATIENCE, looking).await.ok();
                    }
                    return if timed_out { Err(none_in_time(door)) } else { self.told(acquired) };
                }
                found = &mut looking, if door.is_none() => {
                    if let Door::Shut(cause) = found {
                        return Err(fault::unreachable(&cause));
                    }
                    door = Some(found);
                }
            }
        }
    }

    /// How many openings are worth a try where idle connections may turn out to be dead: the
    /// server closed them meanwhile, which only their use finds out.
    pub(crate) fn tries(&self) -> u32 {
        self.pool.size() + 1
    }

    /// Uses another password for connections that are made from here on.
    pub(crate) fn set_password(&self, password: &SecretText) {
        let options = PgConnectOptions::clone(&self.pool.connect_options());
        self.pool
            .set_connect_options(options.password(password.expose()));
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    fn told(
        &self,
        acquired: Result<PoolConnection<Postgres>, sqlx::Error>,
    ) -> Result<PoolConnection<Postgres>, Error> {
        acquired.map_err(|error| {
            tls::refusal(&error, &self.pool.connect_options()).unwrap_or_else(|| Error::from(error))
        })
    }

    async fn look(&self) -> Door {
        let mut last = self.last.lock().await;
        if let Some((at, door)) = &*last
            && at.elapsed() < FRESH
        {
            return door.clone();
        }
        let door = self.knock().await;
        *last = Some((Instant::now(), door.clone()));
        door
    }

    async fn knock(&self) -> Door {
        let options = PgConnectOptions::clone(&self.pool.connect_options());
        let longest = LONGEST_LOOK.min(self.pool.options().get_acquire_timeout() / 2);
        let Ok(connected) = timeout(longest, options.connect()).await else {
            return Door::Shut("the server does not answer".to_owned());
        };
        match connected {
            Ok(conn) => {
                // It was only to be seen that there is one.
                let _ = conn.close().await;
                Door::Open
            }
            Err(error) if tls::refusal(&error, &options).is_some() => Door::Open,
            Err(error) if fault::lost_connection(&error) => Door::Shut(error.to_string()),
            Err(error) => match Error::from(error) {
                full if full.code() == fault::TOO_MANY => Door::Full,
                full if full.code() == fault::LOGIN_FULL => Door::LoginFull,
                // It answers, if not to this login: those who connect hear of it at once.
                _ => Door::Open,
            },
        }
    }
}

fn none_in_time(door: Option<Door>) -> Error {
    match door {
        Some(Door::Open) => Error::new(
            ErrorKind::Unavailable,
            "pool_exhausted",
            "all connections of the pool are in use, and none became free in time",
        ),
        Some(Door::Full) => fault::too_many(),
        Some(Door::LoginFull) => fault::login_full(),
        Some(Door::Shut(cause)) => fault::unreachable(&cause),
        None => fault::unreachable(&"the server does not answer"),
    }
}

/// How long to wait before looking. A connection to a server at hand is made in less.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long what was seen is taken for true.
const FRESH: Duration = Duration::from_secs(1);
/// How long a look takes at most: a network that drops packets says nothing at all.
const LONGEST_LOOK: Duration = Duration::from_secs(2);
