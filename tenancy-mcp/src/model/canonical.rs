//! One text for each JSON value, so that values can be compared by their hashes.

use serde_json::{Number, Value};
use sha2::{Digest as _, Sha256};

/// Writes a value with its keys sorted (by UTF-16 code units, as RFC 8785) and without spaces.
///
/// Unlike RFC 8785, integers are never rounded to doubles: two long ids that differ in the last
/// digit stay two. A double without a fraction equals the integer.
pub(crate) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

/// SHA-256 over length-prefixed parts, so that no two lists of parts give the same bytes.
pub(crate) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// How deep a value is nested; a scalar is 1.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}

/// Whether a text or a key in a value holds NUL, which no column can store.
pub(crate) fn has_nul(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map
            .iter()
            .any(|(key, item)| key.contains('\0') || has_nul(item)),
        Value::String(text) => text.contains('\0'),
        _ => false,
    }
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                comma(out, at);
                write(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (at, (key, item)) in entries.into_iter().enumerate() {
                comma(out, at);
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(out, item);
            }
            out.push('}');
        }
        Value::Number(number) => out.push_str(&number_text(number)),
        other => out.push_str(&other.to_string()),
    }
}

fn comma(out: &mut String, at: usize) {
    if at > 0 {
        out.push(',');
    }
}

fn number_text(number: &Number) -> String {
    /// Beyond this a double no longer tells neighbouring integers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(double) if number.is_f64() && double.fract() == 0.0 && double.abs() < EXACT => {
            integral(double)
        }
        _ => number.to_string(),
    }
}

fn integral(double: f64) -> String {
    // Adding zero makes the negative zero a plain one.
    format!("{:.0}", double + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_and_a_trailing_zero_make_no_difference() {
        let one: Value = serde_json::from_str(r#"{"b":1.0,"a":{"y":[1,2],"x":null}}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"a":{"x":null,"y":[1,2]},"b":1}"#).unwrap();
        assert_eq!(canonical(&one), canonical(&two));
        assert_eq!(canonical(&two), r#"{"a":{"x":null,"y":[1,2]},"b":1}"#);
    }

    #[test]
    fn long_integers_that_differ_in_the_last_digit_stay_different() {
        let text = |n: u64| canonical(&Value::from(n));
        assert_ne!(text(9_007_199_254_740_993), text(9_007_199_254_740_992));
    }

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }

    #[test]
    fn depth_counts_the_deepest_branch() {
        assert_eq!(depth(&serde_json::json!({"a": [1, {"b": 2}]})), 4);
    }
}
