//! What a caller gets.

use serde_json::Value;

use super::ToolReply;
use crate::Error;

/// The answer of a tool.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ToolOutcome {
    /// The result's JSON text. A replay gives the same bytes.
    pub text: String,
    /// The same, parsed.
    pub body: Value,
    /// Whether the tool says that it failed.
    pub is_error: bool,
    /// Whether it comes from the record and nothing was called.
    pub replayed: bool,
    /// How often the call was sent, over all who used its key; 0 if that was not recorded.
    pub attempts: u32,
}

impl ToolOutcome {
    pub(crate) fn fresh(reply: ToolReply, text: String, attempts: u32) -> Self {
        Self {
            text,
            body: reply.body,
            is_error: reply.is_error,
            replayed: false,
            attempts,
        }
    }

    pub(crate) fn replayed(text: String, attempts: u32) -> Result<Self, Error> {
        let body = serde_json::from_str(&text).map_err(|_| {
            Error::internal("stored_result_unreadable", "a stored result is no JSON")
        })?;
        let reply = ToolReply::new(body);
        Ok(Self {
            replayed: true,
            ..Self::fresh(reply, text, attempts)
        })
    }

    /// The structured result, if there is one.
    pub fn structured(&self) -> Option<&Value> {
        self.body.get("structuredContent")
    }

    /// The text blocks of the result, joined by line breaks.
    pub fn text_content(&self) -> String {
        let blocks = self.body.get("content").and_then(Value::as_array);
        let texts = blocks
            .into_iter()
            .flatten()
            .filter_map(|block| block.get("text").and_then(Value::as_str));
        texts.collect::<Vec<_>>().join("\n")
    }
}
