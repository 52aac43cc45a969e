//! What is wrong with a value that a user typed.

/// Says why a text could not become a value of the family's types.
///
/// The message repeats at most 64 characters of the input, with control characters escaped.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidInput {
    code: &'static str,
    message: String,
}

impl InvalidInput {
    /// Makes one from a stable code and a message that says what to do.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The stable code, such as `slug_invalid`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The input as it may be repeated in a message: shortened and escaped.
    pub fn quote(input: &str) -> String {
        const SHOWN: usize = 64;
        let mut shown: String = input
            .chars()
            .take(SHOWN)
            .flat_map(char::escape_debug)
            .collect();
        if input.chars().nth(SHOWN).is_some() {
            shown.push('…');
        }
        shown
    }

    #[doc(hidden)]
    pub fn not_a_uuid(input: &str) -> Self {
        Self::new(
            "id_invalid",
            format!("`{}` is not a uuid", Self::quote(input)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_repeats_hostile_input_escaped_and_shortened() {
        let input = format!("\u{202e}\n{}", "x".repeat(1_000));
        let quoted = InvalidInput::quote(&input);
        assert!(quoted.starts_with("\\u{202e}\\n"));
        assert!(quoted.len() < 100);
    }
}
