//! A provider that answers what a test says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::{Error, ErrorKind, NO_ANSWER, NOT_SENT, OAuthHttp, OAuthRequest, OAuthResponse};

/// One answer of a [`ScriptedHttp`].
enum Answer {
    Status(u16, String),
    Nothing(&'static str),
}

/// Gives out answers in the order in which a test put them in, and keeps what was asked.
#[derive(Clone, Default)]
pub struct ScriptedHttp(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    asked: Vec<(String, String)>,
}

impl ScriptedHttp {
    /// Without an answer; a request is then not answered at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an answer.
    pub fn answer(&self, status: u16, body: impl std::fmt::Display) {
        self.script()
            .answers
            .push_back(Answer::Status(status, body.to_string()));
    }

    /// Adds a request that the provider does not answer, seen or not.
    pub fn no_answer(&self, seen: bool) {
        let code = if seen { NO_ANSWER } else { NOT_SENT };
        self.script().answers.push_back(Answer::Nothing(code));
    }

    /// What was asked: URL and body.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.script().asked.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OAuthHttp for ScriptedHttp {
    async fn send(&self, request: OAuthRequest) -> Result<OAuthResponse, Error> {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let mut script = self.script();
        script.asked.push((request.url.to_string(), body));
        match script.answers.pop_front() {
            Some(Answer::Status(status, body)) => Ok(OAuthResponse::new(status, body)),
            Some(Answer::Nothing(code)) => {
                Err(Error::new(ErrorKind::Unavailable, code, "no answer"))
            }
            None => Err(Error::new(
                ErrorKind::Unavailable,
                NO_ANSWER,
                "the script is over",
            )),
        }
    }
}

impl std::fmt::Debug for ScriptedHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedHttp").finish_non_exhaustive()
    }
}
