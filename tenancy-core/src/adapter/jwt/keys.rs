//! The public keys of an issuer (RFC 7517, 7518, 8037).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    JwtAlgorithm, refused,
    token::{Header, Token},
};
use crate::Error;

/// How many keys of a set are read.
const MAX_KEYS: usize = 64;
/// How many keys of one name a token is tried with.
const MAX_TRIES: usize = 4;

/// The keys of a set that can check a signature. Symmetric keys are never among them, so that
/// nobody can sign with what is public.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The only algorithm it may be used with, where the set says so.
    only: Option<String>,
    public: Public,
}

#[derive(Debug)]
enum Public {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Keys {
    /// Reads a set. Keys that are of another kind, or not for signatures, are left out; `None` for
    /// what is no set, or one without a usable key.
    pub(super) fn parse(set: &[u8]) -> Option<Self> {
        let set: Value = serde_json::from_slice(set).ok()?;
        let keys = set.get("keys")?.as_array()?;
        let usable = |key: &Value| key.as_object().and_then(Key::parse);
        let keys: Vec<Key> = keys.iter().take(MAX_KEYS).filter_map(usable).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Whether there is a key that the header could mean.
    pub(super) fn has(&self, header: &Header) -> bool {
        self.meant(header).next().is_some()
    }

    /// Checks the signature with the key that the header means.
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), Error> {
        let mut tried = false;
        for key in self.meant(&token.header).take(MAX_TRIES) {
            tried = true;
            if key.public.verifies(token.message, &token.signature) {
                return Ok(());
            }
        }
        Err(if tried {
            refused("token_signature", "the token's signature is not valid")
        } else {
            refused(
                "token_key_unknown",
                "the token is signed with a key that is not known",
            )
        })
    }

    /// The keys with the header's name that are made for its algorithm. A token without a name can
    /// mean only the one key of its kind.
    fn meant<'a>(&'a self, header: &'a Header) -> impl Iterator<Item = &'a Key> {
        let fits = |key: &&Key| key.fits(header);
        let alone = self.0.iter().filter(fits).count() == 1;
        self.0
            .iter()
            .filter(fits)
            .filter(move |key| match &header.key {
                Some(id) => key.id.as_ref() == Some(id),
                None => alone,
            })
    }
}

impl Key {
    fn parse(key: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let signs = text("use").is_none_or(|purpose| purpose == "sig");
        let verifies = |ops: &Vec<Value>| ops.iter().any(|op| op == "verify");
        let may_verify = key
            .get("key_ops")
            .is_none_or(|ops| ops.as_array().is_some_and(verifies));
        if !signs || !may_verify {
            return None;
        }
        let sized = |name, size| bytes(name).filter(|bytes| bytes.len() == size);
        let public = match (text("kty")?, text("crv")) {
            ("RSA", _) => Public::Rsa {
                n: bytes("n")?,
                e: bytes("e")?,
            },
            ("EC", Some("P-256")) => {
                Public::P256([vec![4], sized("x", 32)?, sized("y", 32)?].concat())
            }
            ("OKP", Some("Ed25519")) => Public::Ed25519(sized("x", 32)?),
            _ => return None,
        };
        Some(Self {
            id: text("kid").map(ToOwned::to_owned),
            only: text("alg").map(ToOwned::to_owned),
            public,
        })
    }

    fn fits(&self, header: &Header) -> bool {
        let made_for = match self.public {
            Public::Rsa { .. } => JwtAlgorithm::Rs256,
            Public::P256(_) => JwtAlgorithm::Es256,
            Public::Ed25519(_) => JwtAlgorithm::EdDsa,
        };
        let named = |only: &String| JwtAlgorithm::named(only) == Some(header.algorithm);
        made_for == header.algorithm && self.only.as_ref().is_none_or(named)
    }
}

impl Public {
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            // Less than 2,048 bits are refused.
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            Self::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok(),
            Self::Ed25519(bytes) => UnparsedPublicKey::new(&ED25519, bytes)
                .verify(message, signature)
                .is_ok(),
        }
    }
}
