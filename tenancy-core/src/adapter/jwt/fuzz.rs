//! Lets the properties of `testing::fuzz` reach the parsers.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{JwtOptions, claims::Claims, keys::Keys, token::Token};

/// The public keys of the examples in RFC 7515 (A.3) and RFC 8037 (A.2).
const KEYS: &str = r#"{"keys":[
    {"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    {"kty":"OKP","crv":"Ed25519","kid":"b","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
]}"#;

/// Whether the token would be a login. Its claims are read whatever its signature is, so that a
/// fuzzer gets that far.
pub(crate) fn jwt_opens(token: &str) -> bool {
    let options = JwtOptions::new("joe", "us").with_tenant_claim("tenant");
    let Ok(token) = Token::parse(token, options.max_token_length) else {
        return false;
    };
    let claims = token
        .claims()
        .and_then(|claims| Claims::check(&claims, &options, SystemTime::now()));
    let keys = Keys::parse(KEYS.as_bytes()).unwrap_or_default();
    keys.verify(&token).is_ok() && claims.is_ok()
}

/// The same for a token whose claims are these bytes, and for one whose header they are: what is
/// signed arrives in base64, which a fuzzer seldom hits.
pub(crate) fn jwt_opens_with(part: &[u8]) -> bool {
    const HEADER: &[u8] = br#"{"alg":"EdDSA","kid":"b"}"#;
    let token = |header: &[u8], claims: &[u8]| {
        let text = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        let signature = URL_SAFE_NO_PAD.encode([7; 64]);
        format!("{}.{}.{signature}", text(header), text(claims))
    };
    jwt_opens(&token(HEADER, part)) || jwt_opens(&token(part, b"{}"))
}

pub(crate) fn jwks_parses(document: &[u8]) -> bool {
    Keys::parse(document).is_some()
}
