//! JSON as Postgres writes a `jsonb`, so that a text is found in memory where the database finds it.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

/// The text of an object.
pub(crate) fn object(map: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_object(map, &mut out);
    out
}

/// A text as it stands in JSON, without its quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    write_escaped(text, &mut out);
    out
}

fn write_object(map: &Map<String, Value>, out: &mut String) {
    // Shorter keys come first, and then the smaller bytes.
    let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
    pairs.sort_unstable_by_key(|(key, _)| (key.len(), key.as_bytes()));
    out.push('{');
    for (at, (key, value)) in pairs.into_iter().enumerate() {
        separate(at, out);
        write_text(key, out);
        out.push_str(": ");
        write_value(value, out);
    }
    out.push('}');
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                separate(at, out);
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => write_object(map, out),
    }
}

fn separate(at: usize, out: &mut String) {
    if at > 0 {
        out.push_str(", ");
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    write_escaped(text, out);
    out.push('"');
}

fn write_escaped(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// A number as `numeric` shows it: no exponent, no zero with a sign, and as many digits behind the point as there
/// were.
fn write_number(number: &Number, out: &mut String) {
    let text = number.to_string();
    match plain(&text) {
        Some(plain) => out.push_str(&plain),
        None => out.push_str(&text),
    }
}

fn plain(text: &str) -> Option<String> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let (whole, fraction) = match usize::try_from(point) {
        Ok(point) if point > 0 => {
            let padded = format!("{digits:0<point$}");
            let (whole, fraction) = padded.split_at_checked(point)?;
            (whole.to_owned(), fraction.to_owned())
        }
        _ => {
            let zeros = usize::try_from(point.unsigned_abs()).ok()?;
            ("0".to_owned(), format!("{}{digits}", "0".repeat(zeros)))
        }
    };
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let is_zero = digits.bytes().all(|digit| digit == b'0');
    let sign = if is_zero { "" } else { sign };
    Some(match fraction.as_str() {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_written_as_the_database_writes_them() {
        let value = json!({
            "bb": [1, 2.5, null, true], "a": { "z": "\u{1f}\u{7f}\"\\\n/é" }, "c": {}, "": [],
            "n": [1e16, 1e-7, -0.0, 1.0, 12.5e3, u64::MAX, -3],
        });
        let expected = concat!(
            r#"{"": [], "a": {"z": "\u001f"#,
            "\u{7f}",
            r#"\"\\\n/é"}, "c": {}, "n": [10000000000000000, 0.0000001, 0.0, 1.0, 12500.0, "#,
            r#"18446744073709551615, -3], "bb": [1, 2.5, null, true]}"#
        );
        assert_eq!(object(value.as_object().unwrap()), expected);
    }
}
