//! Keeps an issuer's keys, and asks for them again when it has to.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::Instrument as _;
use url::Url;

use super::{keys::Keys, token::Header};
use crate::{Error, ErrorKind, JwksHttp, Retry};

/// Where the keys are, and how long they may be used.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) issuer: String,
    /// `None`: the issuer's discovery document says.
    pub(super) jwks: Option<Url>,
    /// How long a set is used without asking.
    pub(super) fresh_for: Duration,
    /// How long it is used beyond that while the issuer can't be asked.
    pub(super) stale_for: Duration,
    /// The least time between two questions.
    pub(super) pause: Duration,
}

/// The least time between two questions while there are no keys at all.
const PAUSE_WITHOUT_KEYS: Duration = Duration::from_secs(1);

pub(super) struct KeyCache {
    source: Source,
    http: Arc<dyn JwksHttp>,
    state: RwLock<State>,
    /// Held while the issuer is asked, so that one asks for all.
    asking: Arc<Mutex<()>>,
}

#[derive(Clone, Default)]
struct State {
    keys: Arc<Keys>,
    /// When the keys came.
    came: Option<Instant>,
    /// When they were last asked for, with or without an answer.
    asked: Option<Instant>,
}

impl KeyCache {
    pub(super) fn new(source: Source, http: Arc<dyn JwksHttp>) -> Arc<Self> {
        Arc::new(Self {
            source,
            http,
            state: RwLock::default(),
            asking: Arc::default(),
        })
    }

    /// Keys that may be used, with the one of the header among them if the issuer has it.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if there are none, or if they are too old.
    pub(super) async fn keys_for(self: &Arc<Self>, header: &Header) -> Result<Arc<Keys>, Error> {
        if let Some(keys) = self.fresh_with(header) {
            return Ok(keys);
        }
        let Some(turn) = self.turn(header).await else {
            return self.usable();
        };
        // Somebody may have asked while this one was waiting.
        if self.fresh_with(header).is_some() || !self.may_ask() {
            return self.usable();
        }
        self.write(|state| state.asked = Some(Instant::now()));
        // In a task of its own, which others wait for: a caller who goes away does not cut it off.
        let cache = self.clone();
        let asking = async move {
            let asked = cache.ask().await;
            drop(turn);
            asked
        };
        let asked = tokio::spawn(asking.in_current_span()).await;
        if let Ok(Err(error)) = &asked {
            tracing::warn!(%error, code = error.code(), issuer = %self.source.issuer, "no keys");
            metrics::counter!("tenancy_jwks_failures_total").increment(1);
        }
        self.usable()
    }

    /// The right to ask. Who holds a key already does not wait for another to ask.
    async fn turn(&self, header: &Header) -> Option<OwnedMutexGuard<()>> {
        let held = self.usable().is_ok_and(|keys| keys.has(header));
        match self.asking.clone().try_lock_owned() {
            Ok(turn) => Some(turn),
            Err(_) if held => None,
            Err(_) => Some(self.asking.clone().lock_owned().await),
        }
    }

    async fn ask(&self) -> Result<(), Error> {
        let url = match &self.source.jwks {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let keys = Keys::parse(&self.http.get(&url).await?).ok_or_else(|| {
            unavailable("the identity provider's keys can't be read, or none can be used")
        })?;
        // All of the old ones go: a key that is no longer published is no longer good.
        self.write(|state| {
            state.keys = Arc::new(keys);
            state.came = Some(Instant::now());
        });
        Ok(())
    }

    /// `OpenID` Connect Discovery 1.0, 4: the document has to be the issuer's own.
    async fn discover(&self) -> Result<Url, Error> {
        #[derive(Deserialize)]
        struct Document {
            issuer: String,
            jwks_uri: Url,
        }

        let base = self.source.issuer.trim_end_matches('/');
        let unreadable = || unavailable("the identity provider's discovery document can't be read");
        let url = Url::parse(&format!("{base}/.well-known/openid-configuration"))
            .map_err(|_| unreadable())?;
        let body = self.http.get(&url).await?;
        let document: Document = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        if document.issuer != self.source.issuer {
            return Err(unavailable("the discovery document is another issuer's"));
        }
        Ok(document.jwks_uri)
    }

    fn fresh_with(&self, header: &Header) -> Option<Arc<Keys>> {
        let state = self.read();
        let fresh = state
            .came
            .is_some_and(|came| came.elapsed() < self.source.fresh_for);
        (fresh && state.keys.has(header)).then_some(state.keys)
    }

    fn may_ask(&self) -> bool {
        let pause = match self.usable() {
            Ok(_) => self.source.pause,
            Err(_) => PAUSE_WITHOUT_KEYS.min(self.source.pause),
        };
        self.read()
            .asked
            .is_none_or(|asked| asked.elapsed() >= pause)
    }

    fn usable(&self) -> Result<Arc<Keys>, Error> {
        let state = self.read();
        let limit = self.source.fresh_for + self.source.stale_for;
        let usable = state.came.is_some_and(|came| came.elapsed() < limit);
        usable.then_some(state.keys).ok_or_else(|| {
            unavailable("the identity provider's keys can't be had")
                .with_retry(Retry::After(PAUSE_WITHOUT_KEYS))
        })
    }

    fn read(&self) -> State {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn write(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "keys_unavailable", message)
}
