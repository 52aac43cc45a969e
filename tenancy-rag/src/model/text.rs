//! A document's text, and what is known about places in it.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::{Error, ErrorKind};

/// What an extractor took out of an upload.
///
/// The text is what chunks are cut from and what citations count bytes in. Where it is the upload
/// itself, byte by byte, [`Origins::Same`] says so.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Extracted {
    /// The text.
    pub text: String,
    /// How to read the text.
    pub markup: Markup,
    /// The headings, in the order of the text.
    pub headings: Vec<Heading>,
    /// Where pages 1, 2, … begin in the text; empty without pages.
    pub pages: Vec<usize>,
    /// Where the text stands in the upload.
    pub origins: Origins,
}

/// How a text is to be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Markup {
    /// Paragraphs between empty lines.
    Plain,
    /// Markdown as `CommonMark` has it.
    Markdown,
}

/// A heading of a text.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Heading {
    /// The byte of the text where it begins.
    pub at: usize,
    /// 1 for the outermost.
    pub level: u8,
    /// Its words.
    pub title: String,
}

impl Heading {
    /// A heading at a byte of the text.
    pub fn new(at: usize, level: u8, title: impl Into<String>) -> Self {
        Self {
            at,
            level,
            title: title.into(),
        }
    }
}

/// Where a text stands in its upload.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Origins {
    /// The text is the upload.
    Same,
    /// Runs of the text, in order, and the bytes of the upload that each was taken from.
    Runs(Vec<Run>),
    /// Bytes of the upload mean nothing to a reader: PDF.
    Unknown,
}

/// A run of text and the part of the upload that it was taken from.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// Bytes of the text.
    pub text: Range<usize>,
    /// Bytes of the upload.
    pub upload: Range<usize>,
}

impl Run {
    /// Maps a run of text to a part of the upload.
    pub fn new(text: Range<usize>, upload: Range<usize>) -> Self {
        Self { text, upload }
    }
}

impl Extracted {
    /// A text that is the upload itself.
    pub fn same(text: String, markup: Markup) -> Self {
        Self {
            text,
            markup,
            headings: Vec::new(),
            pages: Vec::new(),
            origins: Origins::Same,
        }
    }

    /// Adds the headings.
    pub fn with_headings(mut self, headings: Vec<Heading>) -> Self {
        self.headings = headings;
        self
    }

    /// Says where pages begin.
    pub fn with_pages(mut self, pages: Vec<usize>) -> Self {
        self.pages = pages;
        self
    }

    /// Says where the text stands in the upload.
    pub fn with_origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// The headings that a byte stands under, outermost first, joined by ` > `.
    fn heading_at(&self, at: usize) -> Option<String> {
        let before = self.headings.partition_point(|heading| heading.at <= at);
        let mut path: Vec<&str> = Vec::new();
        let mut level = u8::MAX;
        for heading in self.headings.get(..before)?.iter().rev() {
            if heading.level < level {
                level = heading.level;
                path.push(&heading.title);
            }
        }
        path.reverse();
        (!path.is_empty()).then(|| path.join(" > ").chars().take(400).collect())
    }

    fn page_at(&self, at: usize) -> Option<i32> {
        let page = self.pages.partition_point(|start| *start <= at);
        i32::try_from(page).ok().filter(|page| *page > 0)
    }

    /// The smallest part of the upload that is known to hold a part of the text. Inside a run that
    /// was copied byte by byte it is exact.
    fn origin_of(&self, part: &Range<usize>) -> Option<Range<usize>> {
        let Origins::Runs(runs) = &self.origins else {
            return None;
        };
        let from = runs.partition_point(|run| run.text.end <= part.start);
        let to = runs.partition_point(|run| run.text.start < part.end);
        let (first, last) = (runs.get(from)?, runs.get(to.checked_sub(1)?)?);
        let copied = |run: &Run| run.text.len() == run.upload.len();
        let (mut start, mut end) = (first.upload.start, last.upload.end);
        if copied(first) {
            start += part.start.saturating_sub(first.text.start);
        }
        if copied(last) {
            end -= last.text.end.saturating_sub(part.end);
        }
        (start <= end).then_some(start..end)
    }
}

/// A chunk before it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Chunk {
    /// Bytes of the text.
    pub bytes: Range<i32>,
    /// Bytes of the upload that it was taken from, where that is known and not the same.
    pub origin: Option<Range<i32>>,
    /// The page it begins on, counted from 1.
    pub page: Option<i32>,
    /// The headings it stands under.
    pub heading: Option<String>,
    /// Its text.
    pub content: String,
    /// SHA-256 of its text.
    pub hash: [u8; 32],
}

/// Cuts the text where a chunker says, after checking that it makes sense: ranges inside the text,
/// at boundaries of characters, not empty, in order.
pub(crate) fn cut(extracted: &Extracted, ranges: Vec<Range<usize>>) -> Result<Vec<Chunk>, Error> {
    let mut last = 0;
    ranges
        .into_iter()
        .map(|range| {
            let content = extracted
                .text
                .get(range.clone())
                .filter(|_| range.start >= last);
            let Some(content) = content.filter(|content| !content.is_empty()) else {
                let message = format!("the chunker's range {range:?} is not one of the text");
                return Err(Error::new(
                    ErrorKind::Internal,
                    "chunk_range_invalid",
                    message,
                ));
            };
            last = range.start;
            Ok(Chunk {
                hash: Sha256::digest(content.as_bytes()).into(),
                content: content.to_owned(),
                origin: extracted
                    .origin_of(&range)
                    .map(|origin| narrow(&origin))
                    .transpose()?,
                page: extracted.page_at(range.start),
                heading: extracted.heading_at(range.start),
                bytes: narrow(&range)?,
            })
        })
        .collect()
}

fn narrow(range: &Range<usize>) -> Result<Range<i32>, Error> {
    match (i32::try_from(range.start), i32::try_from(range.end)) {
        (Ok(start), Ok(end)) => Ok(start..end),
        _ => Err(Error::new(
            ErrorKind::Limit,
            "document_too_large",
            "the text is longer than 2 GiB",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_knows_its_headings_and_its_page() {
        let headings = vec![
            Heading::new(0, 1, "A"),
            Heading::new(10, 2, "B"),
            Heading::new(20, 1, "C"),
        ];
        let text = Extracted::same("x".repeat(30), Markup::Plain)
            .with_headings(headings)
            .with_pages(vec![0, 15]);
        let at = |at| (text.heading_at(at), text.page_at(at));
        assert_eq!(at(12), (Some("A > B".to_owned()), Some(1)));
        assert_eq!(at(25), (Some("C".to_owned()), Some(2)));
    }

    #[test]
    fn the_origin_is_exact_in_copied_runs_and_covers_the_others() {
        let runs = vec![Run::new(0..5, 10..15), Run::new(6..8, 20..26)];
        let text =
            Extracted::same("abcde fg".to_owned(), Markup::Plain).with_origins(Origins::Runs(runs));
        assert_eq!(text.origin_of(&(1..4)), Some(11..14));
        assert_eq!(text.origin_of(&(1..7)), Some(11..26));
        assert_eq!(text.origin_of(&(5..6)), None);
    }

    #[test]
    fn a_chunkers_nonsense_is_refused() {
        let text = Extracted::same("äb".to_owned(), Markup::Plain);
        let bad = [(0..1, 2..3), (0..2, 2..9), (0..2, 2..2), (2..3, 0..2)];
        for (first, second) in bad {
            let code = cut(&text, vec![first, second]).unwrap_err().code();
            assert_eq!(code, "chunk_range_invalid");
        }
        assert_eq!(cut(&text, vec![0..2, 2..3]).unwrap().len(), 2);
    }
}
