//! An issuer in this process, with keys of every kind and control over what it publishes.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tenancy_core::{Error, ErrorKind, Identity, JwksHttp, JwtLogin, JwtOptions, migrate::CORE};
use tenancy_testkit::Db;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub(crate) const ISSUER: &str = "https://login.example";
pub(crate) const AUDIENCE: &str = "https://api.example";
pub(crate) const JWKS: &str = "https://login.example/jwks";

pub(crate) enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

pub(crate) struct Signer {
    pub(crate) kid: String,
    pair: Pair,
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub(crate) fn rsa(kid: &str) -> Result<Self> {
        Ok(Self::new(
            kid,
            Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?),
        ))
    }

    pub(crate) fn p256(kid: &str) -> Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self::new(kid, Pair::P256(pair)))
    }

    pub(crate) fn ed25519(kid: &str) -> Result<Self> {
        Ok(Self::new(kid, Pair::Ed25519(Ed25519KeyPair::generate()?)))
    }

    fn new(kid: &str, pair: Pair) -> Self {
        Self {
            kid: kid.to_owned(),
            pair,
        }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key as the issuer publishes it.
    pub(crate) fn jwk(&self) -> Value {
        let mut key = match &self.pair {
            Pair::Rsa(pair) => {
                // PKCS #1 in DER: a sequence of the modulus, with a leading zero, and the exponent.
                let der = pair.public_key().as_ref();
                json!({"kty": "RSA", "n": b64(&der[9..265]), "e": b64(&der[267..])})
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])})
            }
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key())})
            }
        };
        key["kid"] = json!(self.kid);
        key["use"] = json!("sig");
        key
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> Result<String> {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// Signs what `serde_json` would not write, such as a name that stands twice.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> Result<String> {
        let message = format!("{}.{}", b64(header), b64(claims));
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &random,
                    message.as_bytes(),
                    &mut signature,
                )?;
                signature
            }
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message.as_bytes())?;
                signature.as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        Ok(format!("{message}.{}", b64(signature)))
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "kid": self.kid, "typ": "JWT"})
    }

    /// A token that is good.
    pub(crate) fn token(&self) -> Result<String> {
        self.sign(&self.header(), &claims())
    }
}

/// Signs with a shared secret, which is never accepted.
pub(crate) fn sign_hmac(header: &Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", b64(header.to_string()), b64(claims().to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("{message}.{}", b64(hmac::sign(&key, message.as_bytes())))
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

pub(crate) fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now() + 300, "iat": now()})
}

/// What the issuer publishes, and how often it was asked.
#[derive(Clone, Default)]
pub(crate) struct Published(Arc<Inner>);

#[derive(Default)]
struct Inner {
    document: Mutex<Option<Vec<u8>>>,
    asked: AtomicU32,
}

impl Inner {
    fn document(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.document.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Published {
    pub(crate) fn keys(&self, signers: &[&Signer]) {
        self.raw(&json!({"keys": signers.iter().map(|s| s.jwk()).collect::<Vec<_>>()}).to_string());
    }

    pub(crate) fn raw(&self, document: &str) {
        *self.0.document() = Some(document.as_bytes().to_vec());
    }

    pub(crate) fn nothing(&self) {
        *self.0.document() = None;
    }

    pub(crate) fn asked(&self) -> u32 {
        self.0.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl JwksHttp for Published {
    async fn get(&self, url: &url::Url) -> std::result::Result<Vec<u8>, Error> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        // Long enough that others arrive meanwhile.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(url.as_str(), JWKS);
        let document = self.0.document().clone();
        document.ok_or_else(|| Error::new(ErrorKind::Unavailable, "provider_unavailable", "down"))
    }
}

/// A login for one issuer, with keys of every kind.
pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) login: JwtLogin,
    pub(crate) published: Published,
    pub(crate) rsa: Signer,
    pub(crate) p256: Signer,
    pub(crate) ed25519: Signer,
}

pub(crate) fn options() -> JwtOptions {
    JwtOptions::new(ISSUER, AUDIENCE).with_jwks_url(JWKS)
}

impl World {
    pub(crate) async fn new(options: JwtOptions) -> Result<Self> {
        let db = Db::new(&[&CORE]).await?;
        let published = Published::default();
        let (rsa, p256) = (Signer::rsa("rsa")?, Signer::p256("p256")?);
        let ed25519 = Signer::ed25519("ed")?;
        published.keys(&[&rsa, &p256, &ed25519]);
        let login = JwtLogin::new(db.app.clone(), options, Arc::new(published.clone()))?;
        Ok(Self {
            db,
            login,
            published,
            rsa,
            p256,
            ed25519,
        })
    }

    pub(crate) async fn code(&self, token: &str) -> &'static str {
        code(&self.login.identify(token).await)
    }
}

/// The code of a refusal; everything but a refusal stands out.
pub(crate) fn code(result: &std::result::Result<Identity, Error>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(error) if error.kind() == ErrorKind::Unauthenticated => error.code(),
        Err(error) if error.kind() == ErrorKind::Unavailable => "unavailable",
        Err(_) => "another error",
    }
}
