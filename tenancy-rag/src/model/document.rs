//! Sources and documents.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenancy_core::{InvalidInput, RoleKey};

use crate::{DocId, MediaType, SourceId};

/// A named collection of a tenant's documents.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Source {
    /// Which one.
    pub id: SourceId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// Who may add, replace and remove its documents, whether he may read them or not.
    pub writer_roles: Vec<RoleKey>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Text with a bound on its length and no control characters.
fn checked(
    text: &str,
    max_bytes: usize,
    code: &'static str,
    what: &str,
) -> Result<String, InvalidInput> {
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidInput::new(code, format!("{what} must not be empty")));
    }
    if text.len() > max_bytes {
        let message = format!("{what} is longer than {max_bytes} bytes");
        return Err(InvalidInput::new(code, message));
    }
    if text.chars().any(char::is_control) {
        let shown = InvalidInput::quote(text);
        let message = format!("{what} `{shown}` holds control characters");
        return Err(InvalidInput::new(code, message));
    }
    Ok(text.to_owned())
}

/// The name of a source: 1 to 200 bytes without control characters.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct SourceName(String);

impl SourceName {
    /// Parses a name; the error says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        checked(text, 200, "source_name_invalid", "the name of a source").map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a document comes from, and what tells it from the others of its source: a path or a URL
/// of at most 2,000 bytes. It is never opened.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct DocUri(String);

impl DocUri {
    /// Parses a uri; the error says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        checked(text, 2_000, "uri_invalid", "a document's uri").map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A document's title for people: at most 500 bytes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Title(String);

impl Title {
    /// Parses a title; the error says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        checked(text, 500, "title_invalid", "a document's title").map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A document to be ingested: everything but its bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewDocument {
    /// The source it belongs to.
    pub source: SourceId,
    /// What tells it from the others of the source; a second upload replaces the first.
    pub uri: DocUri,
    /// Its title; the beginning of the uri, if not given.
    pub title: Title,
    /// What kind of file it is.
    pub media_type: MediaType,
    /// Who may read it: members with one of these roles. Never empty.
    pub allowed_roles: Vec<RoleKey>,
}

/// How many roles a document may name.
const MAX_ROLES: usize = 64;

impl NewDocument {
    /// Describes a document that members with one of these roles may read.
    ///
    /// # Errors
    /// `roles_missing` without a role, `roles_too_many` with more than 64.
    pub fn new(
        source: SourceId,
        uri: DocUri,
        media_type: MediaType,
        allowed_roles: impl IntoIterator<Item = RoleKey>,
    ) -> Result<Self, InvalidInput> {
        let allowed_roles = readers(allowed_roles)?;
        let title = Title(uri.as_str().chars().take(120).collect());
        Ok(Self {
            source,
            uri,
            title,
            media_type,
            allowed_roles,
        })
    }

    /// Sets the title.
    pub fn with_title(mut self, title: Title) -> Self {
        self.title = title;
        self
    }
}

/// A document's readers: sorted, each once, at least one.
pub(crate) fn readers(
    roles: impl IntoIterator<Item = RoleKey>,
) -> Result<Vec<RoleKey>, InvalidInput> {
    let roles = role_set(roles)?;
    if roles.is_empty() {
        return Err(InvalidInput::new(
            "roles_missing",
            "a document needs at least one role that may read it",
        ));
    }
    Ok(roles)
}

/// Roles sorted, each once, not too many.
pub(crate) fn role_set(
    roles: impl IntoIterator<Item = RoleKey>,
) -> Result<Vec<RoleKey>, InvalidInput> {
    let mut roles: Vec<RoleKey> = roles.into_iter().collect();
    roles.sort();
    roles.dedup();
    if roles.len() > MAX_ROLES {
        let message = format!("at most {MAX_ROLES} roles may be named");
        return Err(InvalidInput::new("roles_too_many", message));
    }
    Ok(roles)
}

/// A document as it is stored.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Document {
    /// Which one.
    pub id: DocId,
    /// Its source.
    pub source: SourceId,
    /// Where it comes from.
    pub uri: String,
    /// Its title.
    pub title: String,
    /// What kind of file it is.
    pub media_type: String,
    /// The version that is stored; counts up with every change of its text.
    pub version: i32,
    /// The size of the upload in bytes.
    pub bytes: i64,
    /// How many chunks it has.
    pub chunks: i32,
    /// Who may read it.
    pub allowed_roles: Vec<RoleKey>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_free_of_control_characters() {
        assert!(SourceName::parse(" handbook ").is_ok_and(|name| name.as_str() == "handbook"));
        for bad in ["", "  ", "a\nb", "a\0b", &"x".repeat(201)] {
            assert!(SourceName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(DocUri::parse(&"x".repeat(2001)).is_err());
    }

    #[test]
    fn a_document_without_a_reader_is_refused() {
        let uri = DocUri::parse("a.md").unwrap();
        let none = NewDocument::new(SourceId::new(), uri, MediaType::plain(), []);
        assert_eq!(none.unwrap_err().code(), "roles_missing");
    }
}
