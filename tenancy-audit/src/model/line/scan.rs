//! Bytes of a line, taken from the front.

use std::borrow::Cow;

/// What is left of a line. Everything that is taken is checked; `None` is no more than "not as an export
/// writes it", and says nothing about the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    rest: &'a str,
}

impl<'a> Scan<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte, without taking it.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    pub(super) fn literal(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    pub(super) fn takes(&mut self, text: &str) -> bool {
        self.literal(text).is_some()
    }

    /// Up to the first byte that does not fit.
    pub(super) fn while_(&mut self, fits: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|byte| !fits(byte));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// So many bytes.
    pub(super) fn exactly(&mut self, len: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    /// A JSON string with its quotes, without what would have to be escaped by its code point.
    pub(super) fn string(&mut self) -> Option<Cow<'a, str>> {
        self.literal("\"")?;
        let plain = self.while_(|byte| byte != b'"' && byte != b'\\' && byte >= 0x20);
        if self.takes("\"") {
            return Some(plain.into());
        }
        let mut text = plain.to_owned();
        loop {
            self.literal("\\")?;
            text.push(match self.exactly(1)? {
                "\"" => '"',
                "\\" => '\\',
                "/" => '/',
                "b" => '\u{8}',
                "f" => '\u{c}',
                "n" => '\n',
                "r" => '\r',
                "t" => '\t',
                _ => return None,
            });
            text.push_str(self.while_(|byte| byte != b'"' && byte != b'\\' && byte >= 0x20));
            if self.takes("\"") {
                return Some(text.into());
            }
        }
    }

    /// `null`, or a JSON string.
    #[expect(
        clippy::option_option,
        reason = "`null` in the line is something else than no such line"
    )]
    pub(super) fn string_or_null(&mut self) -> Option<Option<Cow<'a, str>>> {
        if self.takes("null") {
            return Some(None);
        }
        self.string().map(Some)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        if self.takes("true") {
            return Some(true);
        }
        self.literal("false").map(|()| false)
    }
}
