//! What Postgres can keep: no NUL in text, and nothing without a bound.

use serde_json::{Value, json};

/// Longest message of a fault, in characters.
const MAX_TEXT: usize = 2_000;
/// Largest result of a job, in bytes of JSON.
const MAX_RESULT: usize = 262_144;

/// The text without NULs, cut to its bound.
pub(crate) fn text(text: String) -> String {
    let short = text.char_indices().nth(MAX_TEXT).is_none();
    if short && !text.contains('\0') {
        return text;
    }
    text.chars().filter(|c| *c != '\0').take(MAX_TEXT).collect()
}

/// The result, or a note in its place that says why it could not be kept.
pub(crate) fn result(value: Value) -> Value {
    let bytes = value.to_string().len();
    if bytes > MAX_RESULT {
        return json!({ "not_kept": "the result is too large", "bytes": bytes });
    }
    if has_nul(&value) {
        return json!({ "not_kept": "the result has a NUL character in it" });
    }
    value
}

/// Whether a string or a key in the value holds a NUL, which `jsonb` refuses.
pub(crate) fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_refuses_is_replaced_and_the_rest_is_left_alone() {
        assert_eq!(text("a\0b".to_owned()), "ab");
        assert_eq!(text("ä".repeat(3_000)).chars().count(), MAX_TEXT);
        assert_eq!(result(json!({"a": [1, "x"]})), json!({"a": [1, "x"]}));
        assert!(result(json!(["a\0"]))["not_kept"].is_string());
        assert!(result(json!("x".repeat(MAX_RESULT)))["not_kept"].is_string());
    }
}
