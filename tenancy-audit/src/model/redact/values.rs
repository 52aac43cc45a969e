//! Values that are secrets by their looks.

use super::{Found, keys};

/// Prefixes of tokens that providers made recognisable on purpose, with the least length behind.
const PREFIXES: &[(&str, usize)] = &[
    ("AIza", 30),
    ("AKIA", 16),
    ("ASIA", 16),
    ("EAAC", 20),
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

/// Everything in the text that is a secret.
pub(super) fn find(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    private_keys(text, &mut found);
    passwords_in_urls(text, &mut found);
    let mut before = "";
    for (from, run) in runs(text) {
        whole_run(from, run, before, &mut found);
        before = run;
    }
    found
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
        at += hit + SEPARATOR.len();
        let rest = text.get(at..).unwrap_or_default();
        let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'');
        let authority = rest.split(ends).next().unwrap_or_default();
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

/// One run of characters of which tokens are made.
fn whole_run(from: usize, run: &str, before: &str, found: &mut Vec<Found>) {
    let to = from + run.len();
    if is_jwt(run) {
        return found.push(Found {
            from,
            to,
            label: "[redacted:jwt]",
        });
    }
    if has_prefix(run) {
        return found.push(Found {
            from,
            to,
            label: "[redacted:token]",
        });
    }
    let has_digit = run.bytes().any(|byte| byte.is_ascii_digit());
    let scheme = before.eq_ignore_ascii_case("bearer") || before.eq_ignore_ascii_case("basic");
    if scheme && has_digit && run.len() >= 8 {
        return found.push(Found {
            from,
            to,
            label: "[redacted]",
        });
    }
    // `access_token=…` in a query string or a form.
    if let Some((key, value)) = run.split_once('=') {
        let from = from + key.len() + 1;
        if is_jwt(value) || has_prefix(value) {
            found.push(Found {
                from,
                to,
                label: "[redacted:token]",
            });
        } else if !value.trim_matches('=').is_empty()
            && keys::sensitivity(key) != keys::Sensitivity::None
        {
            found.push(Found {
                from,
                to,
                label: "[redacted]",
            });
        }
    }
}

/// Runs of token characters, without the full stops and equal signs at their ends.
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
fn is_jwt(run: &str) -> bool {
    let is_part = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let parts = run.split('.').count();
    run.starts_with("eyJ")
        && run.len() >= 24
        && (parts == 3 || parts == 5)
        && run.split('.').all(is_part)
        && run.split('.').next().is_some_and(|head| head.len() >= 8)
}

fn has_prefix(run: &str) -> bool {
    let matches = |(prefix, least): &(&str, usize)| {
        run.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() >= *least)
    };
    run.len() > 16 && PREFIXES.iter().any(matches)
}
