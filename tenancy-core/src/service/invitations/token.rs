//! The secret that answers an invitation.

use sha2::{Digest as _, Sha256};

use crate::{Error, SecretText, model::random};

/// 32 random bytes as 64 hexadecimal digits, and the hash that is stored.
pub(super) fn new_token() -> Result<(SecretText, [u8; 32]), Error> {
    let token = hex::encode(*random::<32>()?);
    let hash = Sha256::digest(token.as_bytes()).into();
    Ok((SecretText::new(token), hash))
}

/// The hash of what somebody says is a token; `None` for what can't be one.
pub(crate) fn hash_of(token: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    (token.len() == 64 && token.bytes().all(digit)).then(|| Sha256::digest(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_64_digits_and_nothing_else() {
        let (token, hash) = new_token().unwrap();
        assert_eq!(hash_of(token.expose()), Some(hash));
        let upper = token.expose().to_uppercase();
        let long = "a".repeat(1_000_000);
        let signs = "g".repeat(64);
        for bad in ["", "a", &long, &signs, "\0", &format!("{upper}A")] {
            assert_eq!(hash_of(bad), None);
        }
    }
}
