//! A query's text as terms.

use std::{iter::Peekable, str::Chars};

use super::{error::QueryError, field::Field};

/// `value`, `field:value`, or either behind a `-`. Positions count characters.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) at: usize,
    pub(super) negated: bool,
    pub(super) field: Option<(Field, usize)>,
    pub(super) value: Value,
}

#[derive(Debug, Default)]
pub(super) struct Value {
    pub(super) at: usize,
    pub(super) text: String,
    /// Whether it ends with a `*` that does not stand in quotes, and is not part of the text.
    pub(super) open: bool,
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    at: usize,
}

pub(super) fn terms(text: &str) -> Result<Vec<Term>, QueryError> {
    let mut lexer = Lexer {
        chars: text.chars().peekable(),
        at: 0,
    };
    let mut terms = Vec::new();
    while lexer.skip_spaces() {
        terms.push(lexer.term()?);
    }
    Ok(terms)
}

impl Lexer<'_> {
    fn peek(&mut self) -> Option<char> {
        self.chars.peek().copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.at += 1;
        Some(c)
    }

    /// Whether anything is left.
    fn skip_spaces(&mut self) -> bool {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
        self.peek().is_some()
    }

    fn term(&mut self) -> Result<Term, QueryError> {
        let at = self.at;
        let negated = self.peek() == Some('-');
        if negated {
            self.next();
        }
        let start = self.at;
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_lowercase() || *c == '_') {
            name.push(c);
            self.next();
        }
        let field = if self.peek() == Some(':') {
            self.next();
            let field = Field::parse(&name)
                .ok_or_else(|| QueryError::new("audit_query_field", start, Field::all()))?;
            Some((field, start))
        } else {
            None
        };
        let mut value = Value {
            at: if field.is_some() { self.at } else { start },
            ..Value::default()
        };
        if field.is_none() {
            value.text = name;
        }
        self.value(&mut value, field.is_none())?;
        if value.text.is_empty() && !value.open {
            return Err(QueryError::value(&value, "a value"));
        }
        Ok(Term {
            at,
            negated,
            field,
            value,
        })
    }

    /// Up to the next space that stands in no quotes. A word of free text holds no colon outside of
    /// quotes: it would be a field that nobody knows.
    fn value(&mut self, value: &mut Value, is_word: bool) -> Result<(), QueryError> {
        while let Some(c) = self.peek().filter(|c| !c.is_whitespace()) {
            let at = self.at;
            self.next();
            if std::mem::take(&mut value.open) {
                value.text.push('*');
            }
            match c {
                '"' => self.quoted(at, &mut value.text)?,
                ':' if is_word => {
                    return Err(QueryError::new("audit_query_field", value.at, Field::all()));
                }
                '*' if !is_word => value.open = true,
                _ => value.text.push(c),
            }
        }
        Ok(())
    }

    fn quoted(&mut self, from: usize, text: &mut String) -> Result<(), QueryError> {
        while let Some(c) = self.next() {
            match c {
                '"' => return Ok(()),
                '\\' => text.extend(self.next()),
                _ => text.push(c),
            }
        }
        let expected = "a `\"` that ends what this one begins";
        Err(QueryError::new("audit_query_quote", from, expected))
    }
}
