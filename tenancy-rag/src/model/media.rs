//! What kind of file an upload is.

use std::{fmt, path::Path, str::FromStr};

use tenancy_core::InvalidInput;

/// A media type without parameters, in lower case: `text/markdown`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct MediaType(String);

const BY_EXTENSION: &[(&str, &str)] = &[
    ("htm", "text/html"),
    ("html", "text/html"),
    ("markdown", "text/markdown"),
    ("md", "text/markdown"),
    ("pdf", "application/pdf"),
    ("text", "text/plain"),
    ("txt", "text/plain"),
    ("xhtml", "application/xhtml+xml"),
];

impl MediaType {
    /// Parses a `Content-Type`: parameters such as `charset` are dropped.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let essence = text
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let token = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
        };
        match essence.split_once('/') {
            Some((kind, sub)) if essence.len() <= 127 && token(kind) && token(sub) => {
                Ok(Self(essence))
            }
            _ => {
                let shown = InvalidInput::quote(text);
                let message = format!("`{shown}` is no media type such as `text/markdown`");
                Err(InvalidInput::new("media_type_invalid", message))
            }
        }
    }

    /// The type that a file's extension stands for, where it is known.
    pub fn of_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        let (_, essence) = BY_EXTENSION.iter().find(|(known, _)| *known == extension)?;
        Some(Self((*essence).to_owned()))
    }

    /// `text/plain`.
    pub fn plain() -> Self {
        Self("text/plain".to_owned())
    }

    /// `text/markdown`.
    pub fn markdown() -> Self {
        Self("text/markdown".to_owned())
    }

    /// `text/html`.
    pub fn html() -> Self {
        Self("text/html".to_owned())
    }

    /// `application/pdf`.
    pub fn pdf() -> Self {
        Self("application/pdf".to_owned())
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MediaType {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_loses_its_parameters_and_its_case() {
        let parsed = MediaType::parse("Text/HTML; charset=utf-8").unwrap();
        assert_eq!(parsed, MediaType::html());
        for bad in ["", "text", "text/", "/html", "te xt/html", "text/ht\nml"] {
            assert!(MediaType::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            MediaType::of_path(Path::new("a/B.MD")),
            Some(MediaType::markdown())
        );
        assert_eq!(MediaType::of_path(Path::new("a/b.exe")), None);
    }
}
