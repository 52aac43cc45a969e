//! Reads what `Debug` prints of a value: the only way in which axum tells of a router's routes.

use std::{iter::Peekable, str::Chars};

/// A value as the derived form of `Debug` writes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    /// `Name`, `Name { field: … }` or `Name(…)`; a tuple's fields are named by their number.
    Struct(String, Vec<(String, Shown)>),
    /// `{key: value, …}`.
    Map(Vec<(Shown, Shown)>),
    /// `"text"`.
    Text(String),
}

impl Shown {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader(text.chars().peekable());
        let value = reader.value()?;
        reader.skip_spaces();
        reader.0.next().is_none().then_some(value)
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Struct(name, _) => name,
            Self::Map(_) | Self::Text(_) => "",
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        let Self::Struct(_, fields) = self else {
            return None;
        };
        let found = fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value)
    }

    pub(super) fn entries(&self) -> Option<&[(Self, Self)]> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

struct Reader<'a>(Peekable<Chars<'a>>);

impl Reader<'_> {
    fn value(&mut self) -> Option<Shown> {
        self.skip_spaces();
        match self.0.peek()? {
            '"' => self.text().map(Shown::Text),
            '{' => self.map(),
            _ => self.structure(),
        }
    }

    fn map(&mut self) -> Option<Shown> {
        self.take('{')?;
        let mut entries = Vec::new();
        while !self.at('}') {
            let key = self.value()?;
            self.take(':')?;
            entries.push((key, self.value()?));
            self.at(',');
        }
        Some(Shown::Map(entries))
    }

    fn structure(&mut self) -> Option<Shown> {
        let name = self.word();
        // What stands before a text that is bytes.
        if name == "b" && self.0.peek() == Some(&'"') {
            return self.text().map(Shown::Text);
        }
        if name.is_empty() {
            return None;
        }
        let mut fields = Vec::new();
        if self.at('(') {
            while !self.at(')') {
                let number = fields.len().to_string();
                fields.push((number, self.value()?));
                self.at(',');
            }
        } else if self.at('{') {
            while !self.at('}') {
                self.skip_spaces();
                let field = self.word();
                self.take(':')?;
                fields.push((field, self.value()?));
                self.at(',');
            }
        }
        Some(Shown::Struct(name, fields))
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(next) = self
            .0
            .next_if(|next| next.is_alphanumeric() || matches!(next, '_' | '-' | '.'))
        {
            word.push(next);
        }
        word
    }

    fn text(&mut self) -> Option<String> {
        self.take('"')?;
        let mut text = String::new();
        loop {
            match self.0.next()? {
                '"' => return Some(text),
                '\\' => match self.0.next()? {
                    'u' => text.push(self.code_point()?),
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
    }

    /// `{1f600}`, behind `\u`.
    fn code_point(&mut self) -> Option<char> {
        self.take('{')?;
        let digits = self.word();
        self.take('}')?;
        char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
    }

    fn take(&mut self, expected: char) -> Option<()> {
        self.at(expected).then_some(())
    }

    fn at(&mut self, expected: char) -> bool {
        self.skip_spaces();
        self.0.next_if_eq(&expected).is_some()
    }

    fn skip_spaces(&mut self) {
        while self.0.next_if(|next| next.is_whitespace()).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "they are printed")]
    struct Sample {
        unit: Option<u8>,
        number: i32,
        map: BTreeMap<(u8,), String>,
        bytes: Raw,
    }

    struct Raw;

    impl std::fmt::Debug for Raw {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(r#"Bytes(b"GET,HEAD")"#)
        }
    }

    #[test]
    fn what_debug_prints_is_read_back() {
        let map = [((7,), "a \"{quoted}\" \u{301}, text".to_owned())].into();
        let sample = Sample {
            unit: None,
            number: -4,
            map,
            bytes: Raw,
        };
        // A tuple without a name is no part of what a router prints.
        let printed = format!("{sample:?}").replace("{(7,):", "{Id(7):");
        let shown = Shown::parse(&printed).expect(&printed);
        assert_eq!(shown.name(), "Sample");
        assert_eq!(shown.field("unit").map(Shown::name), Some("None"));
        assert_eq!(shown.field("number").map(Shown::name), Some("-4"));
        let (id, text) = &shown.field("map").and_then(Shown::entries).unwrap()[0];
        assert_eq!(id.field("0").map(Shown::name), Some("7"));
        assert_eq!(text.text(), Some("a \"{quoted}\" \u{301}, text"));
        let bytes = shown.field("bytes").and_then(|bytes| bytes.field("0"));
        assert_eq!(bytes.and_then(Shown::text), Some("GET,HEAD"));
        for broken in ["", "A {", "A(", "{a: }", "\"a", "A } "] {
            assert_eq!(Shown::parse(broken), None, "{broken}");
        }
    }
}
