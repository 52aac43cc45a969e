//! The record of a call that is made once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    DefinitionHash, EffectClass, IdempotencyKey, ToolId,
    canonical::{canonical, digest},
};

/// SHA-256 over a tool and its parameters: tells a repeated call from another one under the
/// same key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a call. The tool's definition is no part of it, so that a key still
    /// finds its result after a new definition was approved.
    pub fn of(tool: ToolId, params: &Map<String, Value>) -> Self {
        let params = canonical(&Value::Object(params.clone()));
        Self(digest(&[
            b"tenancy-mcp/call/1",
            tool.as_uuid().as_bytes(),
            params.as_bytes(),
        ]))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// Where a recorded call stands.
///
/// ```text
/// (none) ──claim──> dispatched ──answer──────────> succeeded, failed
///                     │  │ └──proof that nothing was done──> retryable ──claim──> dispatched
///                     │  └──no answer, may be repeated────────┘
///                     └──no answer, must not be repeated──> unknown ──late answer, resolve──> succeeded, failed
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvocationState {
    /// Somebody holds it and may have sent it.
    Dispatched,
    /// The tool, or the server, said no for good; that is replayed.
    Failed,
    /// Nothing was done, or doing it again does no harm: the next call with the key goes on.
    Retryable,
    /// It was done; its result is replayed.
    Succeeded,
    /// It may have been done and must not be done twice: somebody has to look.
    Unknown,
}

impl InvocationState {
    /// The text the database stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dispatched => "dispatched",
            Self::Failed => "failed",
            Self::Retryable => "retryable",
            Self::Succeeded => "succeeded",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it stays as it is.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Failed | Self::Succeeded)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [
            Self::Dispatched,
            Self::Failed,
            Self::Retryable,
            Self::Succeeded,
            Self::Unknown,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// The result as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoredResponse {
    /// The result's JSON text, byte for byte as it was given out first; `None` if it was larger
    /// than the limit and only its hash was kept.
    pub text: Option<String>,
    /// SHA-256 of the text.
    pub hash: [u8; 32],
    /// The text's length in bytes.
    pub size: u64,
}

impl StoredResponse {
    /// Keeps a result, or only its hash if it is longer than `limit` bytes.
    pub fn new(text: &str, limit: usize) -> Self {
        Self {
            hash: Sha256::digest(text.as_bytes()).into(),
            size: text.len() as u64,
            text: (text.len() <= limit).then(|| text.to_owned()),
        }
    }
}

/// Why a call has no result, as it is stored and replayed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StoredError {
    /// Stable text, such as `timeout`.
    pub code: String,
    /// What to tell a person.
    pub message: String,
}

impl StoredError {
    /// An error to be stored. A NUL, which can't be, is replaced.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: storable(&code.into()),
            message: storable(&message.into()),
        }
    }
}

/// A recorded call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invocation {
    /// The tool.
    pub tool: ToolId,
    /// The key.
    pub key: IdempotencyKey,
    /// Tool and parameters.
    pub fingerprint: Fingerprint,
    /// Where it stands.
    pub state: InvocationState,
    /// Counts the claims; only the holder of the newest may complete it.
    pub fence: i64,
    /// How often it was dispatched.
    pub attempt: i32,
    /// How long until it may be claimed: the rest of the lease, or of the wait before the next
    /// try. Zero where that is over or does not apply.
    pub wait: Duration,
    /// The result.
    pub response: Option<StoredResponse>,
    /// Why there is none.
    pub error: Option<StoredError>,
    /// When the key was first used, by the database's clock.
    pub created_at: DateTime<Utc>,
}

/// Asks for the right to send a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// The tool.
    pub tool: ToolId,
    /// The key.
    pub key: IdempotencyKey,
    /// Tool and parameters.
    pub fingerprint: Fingerprint,
    /// The definition the parameters were checked against; it must still be the approved one.
    pub definition: DefinitionHash,
    /// What repeating does, as the registry says now. The first claim of a key fixes it.
    pub effect: EffectClass,
    /// Names the claimer in the row.
    pub owner: Uuid,
    /// How long the claimer may hold it. Longer than the call may take.
    pub lease: Duration,
}

impl Claim {
    /// A claim by a new owner.
    pub fn new(
        tool: ToolId,
        key: IdempotencyKey,
        fingerprint: Fingerprint,
        definition: DefinitionHash,
        lease: Duration,
    ) -> Self {
        Self {
            tool,
            key,
            fingerprint,
            definition,
            effect: EffectClass::Unsafe,
            owner: Uuid::now_v7(),
            lease,
        }
    }

    /// Says what repeating does.
    pub fn with_effect(mut self, effect: EffectClass) -> Self {
        self.effect = effect;
        self
    }
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Claimed {
    /// The tool, its connection or its provider is no longer as the caller saw it.
    Blocked,
    /// The key belongs to a call with other parameters.
    Conflict,
    /// Send it. It is on record that it may have been sent.
    Execute {
        /// To be given back on completion.
        fence: i64,
        /// 1 at the first try.
        attempt: i32,
        /// Whether the call may be repeated, as fixed by the first claim.
        may_repeat: bool,
    },
    /// Somebody else holds it for this long, unless he completes it earlier.
    InFlight(Duration),
    /// It waits this long for its next try.
    NotDue(Duration),
    /// It is settled: read it.
    Settled,
    /// The tenant is suspended: nothing may be called.
    Suspended,
    /// It may have been done and must not be done twice.
    Unknown,
}

/// How a dispatched call ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// No answer. Becomes unknown, or retryable after this wait if it may be repeated.
    Ambiguous(StoredError, Duration),
    /// A definite no, with the tool's own words if it was the tool that said it.
    Failed(StoredError, Option<StoredResponse>),
    /// Proof that nothing was done. Becomes retryable after this wait.
    NotExecuted(StoredError, Duration),
    /// The result.
    Succeeded(StoredResponse),
}

/// Ends a dispatched call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Completion {
    /// The tool.
    pub tool: ToolId,
    /// The key.
    pub key: IdempotencyKey,
    /// The claim's fence.
    pub fence: i64,
    /// How it ended.
    pub outcome: Outcome,
}

impl Completion {
    /// Ends the call of a claim.
    pub fn new(claim: &Claim, fence: i64, outcome: Outcome) -> Self {
        Self {
            tool: claim.tool,
            key: claim.key.clone(),
            fence,
            outcome,
        }
    }
}

/// The answer to a completion.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Completed {
    /// It is recorded, and so is the event.
    Recorded(InvocationState),
    /// Another owner took over, or it is settled: this outcome was discarded.
    Stale,
}

/// What somebody found out about a call whose outcome was unknown.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Resolution {
    /// It was done; this is its result.
    Succeeded(Value),
    /// It was not done, for this reason. The key stays used: a new call needs a new key.
    Failed(String),
}

/// A text as a column can hold it.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
