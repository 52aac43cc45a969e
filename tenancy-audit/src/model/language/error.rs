use std::{error::Error as StdError, fmt};

use super::lexer::Value;
use crate::{Error, ErrorKind};

/// What is wrong with a query that somebody typed, and where.
///
/// Shows nothing of the query itself. Converts into [`Error`]; trying again does not help.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueryError {
    code: &'static str,
    at: usize,
    expected: String,
}

impl QueryError {
    pub(super) fn new(code: &'static str, at: usize, expected: impl Into<String>) -> Self {
        let expected = expected.into();
        Self { code, at, expected }
    }

    pub(super) fn value(value: &Value, expected: impl Into<String>) -> Self {
        Self::new("audit_query_value", value.at, expected)
    }

    /// The stable code: `audit_query_field`, `audit_query_negation`, `audit_query_quote`,
    /// `audit_query_too_long`, `audit_query_twice` or `audit_query_value`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Where: so many characters stand before it.
    pub fn position(&self) -> usize {
        self.at
    }

    /// What should stand there.
    pub fn expected(&self) -> &str {
        &self.expected
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, expected, .. } = self;
        write!(
            f,
            "the query is wrong at character {}: expected {expected}",
            at + 1
        )
    }
}

impl StdError for QueryError {}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        Self::new(ErrorKind::InvalidInput, error.code, error.to_string())
    }
}
