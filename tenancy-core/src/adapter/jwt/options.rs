//! What a login by tokens expects.

use std::time::Duration;

use url::Url;

use super::key_cache::Source;
use crate::{Error, ErrorKind};

/// How a token may be signed. Shared secrets (HS256 and its like) and no signature (`none`) are not
/// to be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JwtAlgorithm {
    /// RSA with 2,048 to 8,192 bits, PKCS #1 v1.5 and SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519, by the name `EdDSA` (RFC 8037) or `Ed25519` (RFC 9864).
    EdDsa,
}

impl JwtAlgorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// How a token's subject becomes a [`UserId`](crate::UserId).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SubjectMapping {
    /// Issuer and subject are looked up, and get a user id at their first sight; see
    /// [`TenantDb::user_for`](crate::TenantDb::user_for).
    #[default]
    Mapped,
    /// The subject is the user's id. Only for an issuer that the host itself runs.
    Uuid,
}

/// What a [`JwtLogin`](super::JwtLogin) expects of a token, and how it keeps the issuer's keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JwtOptions {
    /// The claim `iss`, letter by letter.
    pub issuer: String,
    /// What the claim `aud` has to be or to contain: this service.
    pub audience: String,
    /// Where the issuer's keys are. By default its discovery document says.
    pub jwks_url: Option<String>,
    /// How a token may be signed; by default in any of the three ways.
    pub algorithms: Vec<JwtAlgorithm>,
    /// How far clocks may differ; 30 s by default, 5 min at most.
    pub leeway: Duration,
    /// The longest token that is read; 8 KiB by default, 64 KiB at most.
    pub max_token_length: usize,
    /// How the subject becomes a user id.
    pub subject: SubjectMapping,
    /// The claim that names the user's tenant, for
    /// [`TenantSource::Claim`](crate::http::TenantSource::Claim); by default none is read.
    pub tenant_claim: Option<String>,
    /// How long keys are used without asking again; 10 min by default, 1 day at most. A key that
    /// the issuer withdraws is refused after this time at the latest, if the issuer can be asked.
    pub fresh_for: Duration,
    /// How long the last keys are used beyond that while the issuer can't be asked; 1 h by
    /// default, 1 day at most. Then tokens are answered with 503.
    pub stale_for: Duration,
    /// The least time between two fetches, also when tokens name keys that are not known; 30 s by
    /// default, at least 1 s.
    pub refetch_pause: Duration,
}

const DAY: Duration = Duration::from_hours(24);

impl JwtOptions {
    /// The defaults, for tokens of this issuer for this audience.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            jwks_url: None,
            algorithms: vec![
                JwtAlgorithm::Rs256,
                JwtAlgorithm::Es256,
                JwtAlgorithm::EdDsa,
            ],
            leeway: Duration::from_secs(30),
            max_token_length: 8 * 1024,
            subject: SubjectMapping::default(),
            tenant_claim: None,
            fresh_for: Duration::from_mins(10),
            stale_for: Duration::from_hours(1),
            refetch_pause: Duration::from_secs(30),
        }
    }

    /// Says where the keys are.
    pub fn with_jwks_url(mut self, url: impl Into<String>) -> Self {
        self.jwks_url = Some(url.into());
        self
    }

    /// Accepts these ways of signing only.
    pub fn with_algorithms(mut self, algorithms: impl IntoIterator<Item = JwtAlgorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Says how far clocks may differ.
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Says how the subject becomes a user id.
    pub fn with_subject(mut self, subject: SubjectMapping) -> Self {
        self.subject = subject;
        self
    }

    /// Reads the user's tenant from this claim, which has to be a text.
    pub fn with_tenant_claim(mut self, name: impl Into<String>) -> Self {
        self.tenant_claim = Some(name.into());
        self
    }

    /// Says how long keys are used, and how long beyond that while the issuer can't be asked.
    pub fn with_key_life(mut self, fresh_for: Duration, stale_for: Duration) -> Self {
        (self.fresh_for, self.stale_for) = (fresh_for, stale_for);
        self
    }

    /// Sets the least time between two fetches.
    pub fn with_refetch_pause(mut self, pause: Duration) -> Self {
        self.refetch_pause = pause;
        self
    }

    pub(super) fn check(&self) -> Result<Source, Error> {
        let bounds = [
            (
                !self.issuer.is_empty() && self.issuer.chars().count() <= 512,
                "issuer",
            ),
            (!self.audience.is_empty(), "audience"),
            (!self.algorithms.is_empty(), "algorithms"),
            (self.leeway <= Duration::from_mins(5), "leeway"),
            (
                (64..=64 * 1024).contains(&self.max_token_length),
                "max_token_length",
            ),
            (self.fresh_for <= DAY, "fresh_for"),
            (self.stale_for <= DAY, "stale_for"),
            (
                self.refetch_pause >= Duration::from_secs(1),
                "refetch_pause",
            ),
        ];
        if let Some((_, name)) = bounds.into_iter().find(|(within, _)| !within) {
            return Err(misconfigured(name));
        }
        let jwks = self.jwks_url.as_deref().map(Url::parse).transpose();
        Ok(Source {
            issuer: self.issuer.clone(),
            jwks: jwks.map_err(|_| misconfigured("jwks_url"))?,
            fresh_for: self.fresh_for,
            stale_for: self.stale_for,
            pause: self.refetch_pause,
        })
    }
}

fn misconfigured(option: &str) -> Error {
    let message = format!("the option `{option}` of the login by tokens is out of its bounds");
    Error::new(ErrorKind::Misconfigured, "jwt_options", message)
}
