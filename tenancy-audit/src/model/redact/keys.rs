//! Names of keys under which secrets lie.

/// What a key says about its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sensitivity {
    None,
    UnlessNumber,
    Always,
}

/// Short numbers that open something: also secret as a number.
const NUMBERS: &[&str] = &["cvc", "cvc2", "cvv", "cvv2", "otp", "pin", "ssn", "totp"];

const WORDS: &[&str] = &[
    "authorization",
    "bearer",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "jwt",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "pwd",
    "secret",
    "secrets",
    "token",
    "tokens",
];

/// Ends of words written together: `clientsecret`, `accesstoken`.
const ENDS: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "apikey",
    "accesskey",
    "privatekey",
    "secretkey",
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
            "auth",
            "authorization",
            "backup",
            "recovery",
            "verification",
        ],
    ),
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

/// What the last words of a key say: `client_secret` names a secret, `secret_id` does not.
pub(crate) fn sensitivity(key: &str) -> Sensitivity {
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
    let paired = |(word, with): &(&str, &[&str])| *word == last && with.contains(&before);
    let secret = WORDS.contains(&last)
        || ENDS.iter().any(|end| last.ends_with(end))
        || PAIRS.iter().any(paired);
    if secret {
        Sensitivity::UnlessNumber
    } else {
        Sensitivity::None
    }
}

/// The words of `snake_case`, `kebab-case`, `dotted.keys` and `camelCase`, in lower case and
/// without numbers behind them.
fn words(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in key.chars() {
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
        ] {
            assert_eq!(sensitivity(key), Sensitivity::UnlessNumber, "{key}");
        }
        for key in ["pin", "cvv", "cvv2", "otp", "ssn", "cardCvc"] {
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
            "",
            "___",
            "ключ",
        ] {
            assert_eq!(sensitivity(key), Sensitivity::None, "{key}");
        }
    }
}
