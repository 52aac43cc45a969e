//! Values that are secrets by their looks.

use super::{Found, assignments};

/// Prefixes of tokens that providers made recognisable on purpose, with the least length behind.
const PREFIXES: &[(&str, usize)] = &[
    ("AIza", 30),
    ("AKIA", 16),
    ("ASIA", 16),
    ("EAAC", 20),
    ("GOCSPX-", 20),
    ("SG.", 30),
    ("dop_v1_", 32),
    ("dckr_pat_", 20),
    ("github_pat_", 20),
    ("gho_", 30),
    ("ghp_", 30),
    ("ghr_", 30),
    ("ghs_", 30),
    ("ghu_", 30),
    ("glpat-", 16),
    ("hf_", 30),
    ("npm_", 30),
    ("pypi-", 30),
    ("rk_live_", 16),
    ("rk_test_", 16),
    ("shpat_", 24),
    ("sk-ant-", 20),
    ("sk-proj-", 20),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("whsec_", 16),
    ("xapp-", 20),
    ("xoxa-", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xoxs-", 16),
    ("ya29.", 20),
];

/// What no shorter text can hold: `pwd=x`.
const SHORTEST: usize = 5;

/// How far behind `://` a password in a URL may lie.
const LONGEST_LOGIN: usize = 1_024;

/// Everything in the text that is a secret.
pub(super) fn find(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    if text.len() < SHORTEST {
        return found;
    }
    private_keys(text, &mut found);
    passwords_in_urls(text, &mut found);
    assignments::find(text, &mut found);
    let mut before = "";
    for (from, run) in runs(text) {
        credential(from, run, before, &mut found);
        tokens(from, run, &mut found);
        before = run;
    }
    found
}

/// What begins as a JWT does and goes on to the end of the text, which is not the end of the JWT.
pub(super) fn cut_off(text: &str) -> Option<Found> {
    let (from, run) = runs(text).last()?;
    let reaches = text
        .get(from + run.len()..)?
        .bytes()
        .all(|byte| byte == b'.');
    let begins = |at: &usize| {
        let before = at.checked_sub(1).and_then(|at| run.as_bytes().get(at));
        before.is_none_or(|before| !before.is_ascii_alphanumeric())
    };
    let at = run.match_indices("eyJ").map(|(at, _)| at).find(begins);
    at.filter(|_| reaches).map(|at| Found {
        from: from + at,
        to: text.len(),
        label: "[redacted:jwt]",
    })
}

fn private_keys(text: &str, found: &mut Vec<Found>) {
    const BEGIN: &str = "-----BEGIN ";
    const CLOSE: &str = "-----";
    let mut at = 0;
    while let Some(from) = text
        .get(at..)
        .and_then(|rest| rest.find(BEGIN))
        .map(|hit| at + hit)
    {
        let behind = from + BEGIN.len();
        at = behind;
        let rest = text.get(behind..).unwrap_or_default();
        let Some(name) = rest.find(CLOSE).and_then(|end| rest.get(..end)) else {
            continue;
        };
        if !name.ends_with("PRIVATE KEY") && !name.ends_with("PRIVATE KEY BLOCK") {
            continue;
        }
        let end = rest.find("-----END ").and_then(|end| {
            let close = end + "-----END ".len();
            let hit = rest.get(close..)?.find(CLOSE)?;
            Some(behind + close + hit + CLOSE.len())
        });
        at = end.unwrap_or(text.len());
        found.push(Found {
            from,
            to: at,
            label: "[redacted:private_key]",
        });
    }
}

/// `scheme://user:password@host`
fn passwords_in_urls(text: &str, found: &mut Vec<Found>) {
    const SEPARATOR: &str = "://";
    let mut at = 0;
    while let Some(hit) = text.get(at..).and_then(|rest| rest.find(SEPARATOR)) {
        let is_web = text
            .get(..at + hit)
            .is_some_and(|before| before.ends_with("http") || before.ends_with("https"));
        at += hit + SEPARATOR.len();
        let rest = text.get(at..).unwrap_or_default();
        // A password that nobody encoded may hold a slash; in the address of a page `@` is a name's.
        let ends = |c: char| {
            c.is_whitespace() || matches!(c, '"' | '\'') || (is_web && matches!(c, '/' | '?' | '#'))
        };
        let within = rest.get(..rest.floor_char_boundary(LONGEST_LOGIN));
        let authority = within
            .and_then(|rest| rest.split(ends).next())
            .unwrap_or_default();
        let Some((login, _)) = authority.rsplit_once('@') else {
            continue;
        };
        let Some((user, password)) = login.split_once(':') else {
            continue;
        };
        if !password.is_empty() {
            let from = at + user.len() + 1;
            found.push(Found {
                from,
                to: from + password.len(),
                label: "[redacted]",
            });
        }
    }
}

/// What follows `Bearer` or `Basic`.
fn credential(from: usize, run: &str, before: &str, found: &mut Vec<Found>) {
    let has_digit = run.bytes().any(|byte| byte.is_ascii_digit());
    let scheme = before.eq_ignore_ascii_case("bearer") || before.eq_ignore_ascii_case("basic");
    if scheme && has_digit && run.len() >= 8 {
        found.push(Found {
            from,
            to: from + run.len(),
            label: "[redacted]",
        });
    }
}

/// Tokens that begin anywhere a word can begin in the run: also behind a slash or an encoded character.
fn tokens(from: usize, run: &str, found: &mut Vec<Found>) {
    const LEAST: usize = 17;
    if run.len() < LEAST {
        return;
    }
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut at = 0;
    for stretch in run.split(|c| !part(c)) {
        let encoded = at > 0 && run.as_bytes().get(at - 1) == Some(&b'%');
        let behind = run.get(at..).unwrap_or_default();
        if let Some((begins, len, label)) = token(behind, stretch.len(), encoded) {
            let from = from + at + begins;
            found.push(Found {
                from,
                to: from + len,
                label,
            });
        }
        at += stretch.len() + 1;
    }
}

/// The first token that begins in so many bytes: where, how long, and what it is. One that is known by its
/// prefix goes on to the end of the run.
fn token(run: &str, stretch: usize, encoded: bool) -> Option<(usize, usize, &'static str)> {
    let bytes = run.as_bytes().get(..stretch)?;
    let mut parts = run.get(..stretch)?.split('.').count();
    for (at, byte) in bytes.iter().enumerate() {
        parts -= usize::from(*byte == b'.');
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let begins = before.is_none_or(|before| !before.is_ascii_alphanumeric());
        if !(begins || encoded && at == 2) {
            continue;
        }
        if is_jwt(run.get(at..stretch)?, parts) {
            return Some((at, stretch - at, "[redacted:jwt]"));
        }
        let rest = run.get(at..)?;
        if has_prefix(rest) {
            return Some((at, rest.len(), "[redacted:token]"));
        }
    }
    None
}

/// Runs of token characters, without the full stops at their ends.
fn runs(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let breaks = |c: char| {
        !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+' | '/' | '=' | '%'))
    };
    text.split(breaks).filter(|run| !run.is_empty()).map(|run| {
        let run = run.trim_end_matches('.');
        // Both come from `text`, so the difference of their addresses is an offset in it.
        (run.as_ptr().addr() - text.as_ptr().addr(), run)
    })
}

/// Three parts (signed) or five (encrypted) in base64url, the first of which is a JSON object.
fn is_jwt(rest: &str, parts: usize) -> bool {
    rest.starts_with("eyJ")
        && rest.len() >= 24
        && (parts == 3 || parts == 5)
        && !rest.bytes().take(8).any(|byte| byte == b'.')
}

fn has_prefix(rest: &str) -> bool {
    let matches = |(prefix, least): &(&str, usize)| {
        rest.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() >= *least)
    };
    PREFIXES.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Limits, Place, Redaction, Sanitizer};

    /// So many characters as they stand in tokens.
    fn random(len: usize) -> String {
        "a1Bc2D".chars().cycle().take(len).collect()
    }

    #[test]
    fn every_prefix_that_is_known_makes_a_token_wherever_it_stands() {
        let redaction = Redaction::new();
        let scrub = |text: &str| redaction.scrub(text, Place::Text);
        for (prefix, least) in PREFIXES {
            let token = format!("{prefix}{}", random(*least));
            for (before, behind) in [
                ("", ""),
                ("is ", " it?"),
                ("(", ")"),
                ("\"", "\""),
                ("/v1/", ""),
                ("next%3D", ""),
                ("é", "é"),
            ] {
                let text = format!("{before}{token}{behind}");
                let clean = format!("{before}[redacted:token]{behind}");
                assert_eq!(scrub(&text), Some(clean), "{text}");
            }
            let short = format!("{prefix}{}", random(least - 1));
            assert_eq!(scrub(&short), None, "{short}");
            // In the middle of a word it is none.
            assert_eq!(scrub(&format!("x{token}")), None, "{token}");
            let other = redaction.scrub(&token, Place::Identifier);
            assert_eq!(other.as_deref(), Some("[redacted:token]"), "{token}");
        }
    }

    #[test]
    fn no_token_of_a_known_prefix_is_left_in_an_event() {
        let (limits, redaction) = (Limits::default(), Redaction::new());
        for (prefix, least) in PREFIXES {
            let token = format!("{prefix}{}", random(*least));
            let meta =
                json!({ "plain": token, "in": [{ "a": format!("x {token}") }], token.clone(): 1 });
            let mut sanitizer = Sanitizer::new(&limits, &redaction);
            let map = meta.as_object().cloned().unwrap_or_default();
            let clean = json!(sanitizer.object(map).unwrap()).to_string();
            assert!(sanitizer.redacted && !clean.contains(&token), "{clean}");
            assert_eq!(clean.matches("[redacted").count(), 3, "{clean}");
        }
    }
}
