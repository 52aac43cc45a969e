//! Secrets in texts that name them: `password=…`, `"apiKey": "…"`, `Pwd='…';`, `Cookie: …`.

use super::{Found, is_label, keys};

const LABEL: &str = "[redacted]";

/// How far in front of its sign a key may begin.
const LONGEST_KEY: usize = 64;

/// Words after a key that say how the secret is written, and are none.
const SCHEMES: &[&str] = &["apikey", "basic", "bearer", "digest", "negotiate", "token"];

/// Words after a key that say that there is none.
const NOTHING: &[&str] = &["false", "none", "null", "true", "undefined"];

pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let mut behind = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if !matches!(byte, b'=' | b':') || at < behind {
            continue;
        }
        let key = key_before(text, at);
        if key.is_empty() || keys::sensitivity(key) == keys::Sensitivity::None {
            continue;
        }
        if let Some((from, to)) = value_after(text, at + 1, key, *byte == b'=') {
            found.push(Found {
                from,
                to,
                label: LABEL,
            });
            behind = to;
        }
    }
}

/// The words in front of the sign; quotes around them don't count.
fn key_before(text: &str, sign: usize) -> &str {
    let from = text.ceil_char_boundary(sign.saturating_sub(LONGEST_KEY));
    let before = text.get(from..sign).unwrap_or_default().trim_end();
    let before = before.trim_end_matches(['"', '\'', '\\', '`']);
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    let start = before
        .char_indices()
        .rev()
        .take_while(|(_, c)| part(*c))
        .last()
        .map_or(before.len(), |(at, _)| at);
    before.get(start..).unwrap_or_default()
}

/// Where the value behind the sign lies, if there is one.
fn value_after(text: &str, sign: usize, key: &str, is_equals: bool) -> Option<(usize, usize)> {
    let from = skip_blanks(text, sign);
    let rest = text.get(from..)?;
    // `https://…` is no assignment.
    if rest.starts_with("//") {
        return None;
    }
    let open = rest.trim_start_matches('\\');
    if let Some(quote) = open
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\'' | '`'))
    {
        let from = text.len() - open.len() + 1;
        let inside = text.get(from..)?;
        let len = quoted(inside, quote, rest.len() > open.len());
        return (len > 0).then_some((from, from + len));
    }
    if key.to_lowercase().contains("cookie") {
        let len = rest.find(['\r', '\n']).unwrap_or(rest.len());
        return (len > 0).then_some((from, from + len));
    }
    let len = word(rest, is_equals);
    let value = rest.get(..len)?;
    if is_label(value) || is_label(rest.get(..=len).unwrap_or_default()) {
        return None;
    }
    if SCHEMES
        .iter()
        .any(|scheme| value.eq_ignore_ascii_case(scheme))
    {
        let from = skip_blanks(text, from + len);
        let len = word(text.get(from..)?, true);
        return (len > 0).then_some((from, from + len));
    }
    let counts = keys::sensitivity(key) == keys::Sensitivity::UnlessNumber
        && value.bytes().all(|byte| byte.is_ascii_digit());
    let nothing = NOTHING.iter().any(|word| value.eq_ignore_ascii_case(word));
    let is_secret = !(value.trim_matches('=').is_empty() || counts || nothing);
    is_secret.then_some((from, from + len))
}

fn skip_blanks(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    text.len() - rest.trim_start_matches([' ', '\t']).len()
}

/// How long the quoted text is, up to its end or that of all.
fn quoted(text: &str, quote: char, is_escaped: bool) -> usize {
    let mut escaped = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            // In a text that was quoted twice the backslash belongs to the quote.
            '\\' if is_escaped && chars.peek().is_some_and(|(_, next)| *next == quote) => {
                return at;
            }
            '\\' if !is_escaped => {
                escaped = !escaped;
                continue;
            }
            // Written twice it stands for itself.
            c if c == quote && !escaped => match chars.next_if(|(_, next)| *next == quote) {
                Some(_) => {}
                None => return at,
            },
            _ => {}
        }
        escaped = false;
    }
    text.len()
}

/// How long the text is up to what ends a value of a connection string, a form or a sentence.
fn word(text: &str, is_equals: bool) -> usize {
    let ends = |c: char| {
        c.is_whitespace()
            || matches!(c, ';' | '&' | '"' | '\'')
            || (!is_equals && matches!(c, ',' | ')' | ']' | '}'))
    };
    text.find(ends).unwrap_or(text.len())
}
