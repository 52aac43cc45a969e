//! Names of keys under which secrets lie.

use std::{cell::RefCell, collections::HashMap};

use super::{cards, values};

/// What a key says about its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sensitivity {
    None,
    UnlessNumber,
    Always,
}

/// What may be counted: a number under it says how many, or that something went well.
const COUNTED: &[&str] = &[
    "auth",
    "cookies",
    "credentials",
    "creds",
    "keys",
    "pass",
    "passwords",
    "secrets",
    "token",
    "tokens",
];

/// Short numbers that open something.
const NUMBERS: &[&str] = &["cvc", "cvc2", "cvv", "cvv2", "otp", "pin", "ssn", "totp"];

const WORDS: &[&str] = &[
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "creds",
    "dsn",
    "jwt",
    "mnemonic",
    "pass",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "pwd",
    "secret",
    "secrets",
    "sig",
    "token",
    "tokens",
];

/// Ends of keys whose words are written together or apart: `clientsecret`, `pass_word`, `XAPIKEY`.
const ENDS: &[&str] = &[
    "accesskey",
    "apikey",
    "authkey",
    "connectionstring",
    "connstr",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "sessionid",
    "sessionkey",
    "sessid",
    "signingkey",
    "token",
];

/// What makes a secret of a word that is none alone, with that word.
const PAIRS: &[(&str, &[&str])] = &[
    (
        "key",
        &[
            "access",
            "account",
            "api",
            "auth",
            "client",
            "encryption",
            "host",
            "master",
            "private",
            "secret",
            "session",
            "shared",
            "signing",
            "ssh",
        ],
    ),
    ("id", &["session"]),
    ("sid", &["session"]),
    ("string", &["connection"]),
    (
        "code",
        &[
            "access",
            "auth",
            "authorization",
            "backup",
            "mfa",
            "otp",
            "pin",
            "recovery",
            "security",
            "verification",
        ],
    ),
    ("phrase", &["pass", "recovery", "seed"]),
    ("signature", &["amz", "goog"]),
    ("assertion", &["client"]),
    ("verifier", &["code", "pkce"]),
];

/// Words after which it is still the secret: `password_confirmation`, `new_secret_value`.
const TAILS: &[&str] = &[
    "base64",
    "confirm",
    "confirmation",
    "hash",
    "hex",
    "pem",
    "plain",
    "plaintext",
    "raw",
    "text",
    "value",
];

/// Lower case, without anything but letters and digits.
pub(crate) fn folded(key: &str) -> String {
    key.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// What is known of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// What it says about its value.
    pub(super) sensitivity: Sensitivity,
    /// Whether it has a secret in itself, as maps by token or by connection string do.
    pub(super) has_secret: bool,
    /// Whether it has the number of a card in itself.
    pub(super) has_card: bool,
}

/// What is known of a key. A host has few keys and uses them all the time, so that the answers are kept, as many as
/// fit.
pub(super) fn look(key: &str) -> Key {
    const MOST_KEPT: usize = 512;
    const LONGEST_KEPT: usize = 64;
    thread_local! {
        static KEPT: RefCell<HashMap<Box<str>, Key>> = RefCell::default();
    }
    if key.len() > LONGEST_KEPT {
        return looked_at(key);
    }
    if let Some(known) = KEPT.with_borrow(|kept| kept.get(key).copied()) {
        return known;
    }
    let fresh = looked_at(key);
    // A key that is a secret is kept nowhere.
    if !fresh.has_secret && !fresh.has_card {
        KEPT.with_borrow_mut(|kept| {
            if kept.len() < MOST_KEPT {
                kept.insert(key.into(), fresh);
            }
        });
    }
    fresh
}

fn looked_at(key: &str) -> Key {
    let mut cards = Vec::new();
    cards::find(key, &mut cards);
    Key {
        sensitivity: judged(key),
        has_secret: !values::find(key).is_empty(),
        has_card: !cards.is_empty(),
    }
}

/// What a key says about its value.
pub(super) fn sensitivity(key: &str) -> Sensitivity {
    look(key).sensitivity
}

/// What the last words of a key say: `client_secret` names a secret, `secret_id` does not.
fn judged(key: &str) -> Sensitivity {
    let words = words(key);
    let mut words: &[String] = &words;
    while let [head @ .., last] = words {
        if !TAILS.contains(&last.as_str()) {
            break;
        }
        words = head;
    }
    let Some(last) = words.last().map(String::as_str) else {
        return Sensitivity::None;
    };
    let before = words
        .len()
        .checked_sub(2)
        .and_then(|at| words.get(at))
        .map_or("", String::as_str);
    if NUMBERS.contains(&last) {
        return Sensitivity::Always;
    }
    let one = singular(last);
    let paired = |(word, with): &(&str, &[&str])| *word == one && with.contains(&before);
    let secret = WORDS.contains(&last) || PAIRS.iter().any(paired) || ends_as_secret(words);
    match (secret, COUNTED.contains(&last)) {
        (false, _) => Sensitivity::None,
        (true, true) => Sensitivity::UnlessNumber,
        (true, false) => Sensitivity::Always,
    }
}

/// Whether the words, put together, end as a secret's name. Only the last few can matter.
fn ends_as_secret(words: &[String]) -> bool {
    const LETTERS: usize = 16;
    let mut together = String::new();
    for word in words.iter().rev() {
        together.insert_str(0, word);
        if together.len() >= LETTERS {
            break;
        }
    }
    let together = singular(&together);
    ENDS.iter().any(|end| together.ends_with(end))
}

/// Without the `s` of a plural; `pass` is none.
fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(one) if !one.ends_with('s') => one,
        _ => word,
    }
}

/// The words of `snake_case`, `kebab-case`, `dotted.keys` and `camelCase`, in lower case and
/// without numbers behind them.
fn words(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in key.chars().map(narrow) {
        if !c.is_alphanumeric() || (c.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        after_lower = c.is_lowercase() || c.is_numeric();
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    let no_number = |word: String| {
        let short = word.trim_end_matches(|c: char| c.is_ascii_digit());
        if NUMBERS.contains(&word.as_str()) || word == "base64" {
            word
        } else {
            short.to_owned()
        }
    };
    words
        .into_iter()
        .map(no_number)
        .filter(|word| !word.is_empty())
        .collect()
}

/// A full-width letter as its ordinary form.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_secrets_are_known_in_every_spelling() {
        for key in [
            "password",
            "Password",
            "new_password",
            "passwordConfirmation",
            "PASSWORD2",
            "passwd",
            "client_secret",
            "clientSecret",
            "clientsecret",
            "secretKey",
            "api-key",
            "apiKey",
            "APIKEY",
            "x-api-key",
            "refresh_token",
            "refreshToken",
            "access.token",
            "set-cookie",
            "Authorization",
            "private_key",
            "session_id",
            "connectionString",
            "webhookSecret",
            "secret_value",
            "code_verifier",
            "tokens",
            "pass_word",
            "PassWord",
            "pass\u{200b}word",
            "ｐａｓｓｗｏｒｄ",
            "p a s s w o r d",
            "X_API_KEYS",
            "XAPIKEY",
            "a.p.i.k.e.y",
            "apikeys",
            "access_keys",
            "private_key_pem",
            "seed-phrase",
            "PHPSESSID",
            "X-Amz-Signature",
            "otp_code",
            "db.connStr",
        ] {
            assert_ne!(sensitivity(key), Sensitivity::None, "{key}");
        }
        for key in ["tokens", "max_tokens", "secrets", "apiKeys"] {
            assert_eq!(sensitivity(key), Sensitivity::UnlessNumber, "{key}");
        }
        for key in [
            "pin", "cvv", "cvv2", "otp", "ssn", "cardCvc", "password", "apiKey",
        ] {
            assert_eq!(sensitivity(key), Sensitivity::Always, "{key}");
        }
    }

    #[test]
    fn keys_about_secrets_name_none() {
        for key in [
            "secret_id",
            "secretName",
            "token_count",
            "tokens_used",
            "password_changed_at",
            "key",
            "keys",
            "primary_key",
            "keyboard",
            "secretary",
            "pinned",
            "spinner",
            "author",
            "credential_id",
            "code",
            "id",
            "name",
            "assignment",
            "author_id",
            "tokenizer",
            "foreign_key",
            "authored_by",
            "",
            "___",
            "ключ",
        ] {
            assert_eq!(sensitivity(key), Sensitivity::None, "{key}");
        }
    }
}
