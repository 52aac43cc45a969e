//! A signed token as it arrives: RFC 7515 in its compact form, read strictly.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{JwtAlgorithm, refused};
use crate::Error;

/// A token whose signature is not checked yet. Nothing but its header may be believed, and that
/// only to find the key.
pub(super) struct Token<'a> {
    pub(super) header: Header,
    /// What is signed: header and payload as they were sent.
    pub(super) message: &'a [u8],
    pub(super) signature: Vec<u8>,
    payload: &'a str,
}

pub(super) struct Header {
    pub(super) algorithm: JwtAlgorithm,
    pub(super) key: Option<String>,
}

/// What a header may hold at most in the name of a key.
const MAX_KEY_ID: usize = 256;

impl<'a> Token<'a> {
    pub(super) fn parse(token: &'a str, max_length: usize) -> Result<Self, Error> {
        if token.len() > max_length {
            return Err(refused("token_too_long", "the token is too long"));
        }
        let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = message.split_once('.').ok_or_else(malformed)?;
        if payload.contains('.') {
            return Err(malformed());
        }
        Ok(Self {
            header: Header::read(&object(header)?)?,
            message: message.as_bytes(),
            signature: decoded(signature)?,
            payload,
        })
    }

    /// The payload. To be called when the signature is checked.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, Error> {
        object(self.payload)
    }
}

impl Header {
    /// Keys and addresses of keys that a token brings along (`jwk`, `jku`, `x5c`, `x5u`) are not
    /// looked at: whoever forged the token would have made them.
    fn read(header: &Map<String, Value>) -> Result<Self, Error> {
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(malformed()),
        };
        if header.contains_key("crit") {
            let message = "the token asks for an extension that is not known";
            return Err(refused("token_critical", message));
        }
        if !text("typ")?.is_none_or(is_access_or_id_token) {
            let message = "the token was made for something else than a login";
            return Err(refused("token_type", message));
        }
        let name = text("alg")?.ok_or_else(malformed)?;
        let algorithm = JwtAlgorithm::named(name).ok_or_else(algorithm_refused)?;
        let key = text("kid")?.map(ToOwned::to_owned);
        if key.as_ref().is_some_and(|key| key.len() > MAX_KEY_ID) {
            return Err(malformed());
        }
        Ok(Self { algorithm, key })
    }
}

/// Logout and security-event tokens have the same issuer, audience and keys (RFC 8725, 3.11).
fn is_access_or_id_token(kind: &str) -> bool {
    let lower = kind.to_ascii_lowercase();
    let kind = lower.strip_prefix("application/").unwrap_or(&lower);
    matches!(kind, "jwt" | "at+jwt")
}

fn malformed() -> Error {
    refused("token_malformed", "this is no signed token")
}

pub(super) fn algorithm_refused() -> Error {
    let message = "the token is signed in a way that is not accepted";
    refused("token_algorithm", message)
}

/// base64url without padding, in its one canonical form.
fn decoded(text: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed())
}

fn object(text: &str) -> Result<Map<String, Value>, Error> {
    let bytes = decoded(text)?;
    // serde_json bounds the depth, and the token's length bounds the rest.
    let Unambiguous(object) = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    Ok(object)
}

/// A JSON object without a name that stands twice. Of two, one reader takes the first and another
/// the last (RFC 8725, 2.4).
struct Unambiguous(Map<String, Value>);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Map<String, Value>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut object = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if object.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(Names).map(Self)
    }
}
