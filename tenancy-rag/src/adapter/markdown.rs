use async_trait::async_trait;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use tenancy_core::TenantCtx;

use super::utf8;
use crate::{Error, Extracted, Extractor, Heading, Markup, MediaType, Upload};

/// Markdown in UTF-8: the text is the upload, byte by byte, markup included, so that a citation
/// points into the file that somebody wrote. Headings become the chunks' headings.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct MarkdownExtractor;

impl MarkdownExtractor {
    /// Reads `text/markdown`.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Extractor for MarkdownExtractor {
    fn reads(&self, media_type: &MediaType) -> bool {
        matches!(media_type.as_str(), "text/markdown" | "text/x-markdown")
    }

    async fn extract(&self, _: &TenantCtx, upload: &Upload) -> Result<Extracted, Error> {
        let text = utf8(upload)?;
        let headings = headings(&text);
        Ok(Extracted::same(text, Markup::Markdown).with_headings(headings))
    }
}

/// What counts as Markdown here and for the chunker.
pub(super) fn parser(text: &str) -> Parser<'_> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    Parser::new_ext(text, options)
}

fn headings(text: &str) -> Vec<Heading> {
    let mut found = Vec::new();
    let mut open: Option<Heading> = None;
    for (event, range) in parser(text).into_offset_iter() {
        match (event, &mut open) {
            (Event::Start(Tag::Heading { level, .. }), _) => {
                open = Some(Heading::new(range.start, depth(level), ""));
            }
            (Event::End(TagEnd::Heading(_)), Some(_)) => found.extend(open.take()),
            (Event::Text(words) | Event::Code(words), Some(heading)) => {
                heading.title.push_str(&words);
            }
            (Event::SoftBreak | Event::HardBreak, Some(heading)) => heading.title.push(' '),
            _ => {}
        }
    }
    found
}

fn depth(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_found_where_they_stand_and_nowhere_else() {
        let text = "# One `two`\n\n```\n# no heading\n```\n\nSetext\n------\n\nwords\n";
        let found = headings(text);
        assert_eq!(
            found,
            [Heading::new(0, 1, "One two"), Heading::new(35, 2, "Setext")]
        );
        assert!(text[35..].starts_with("Setext"));
    }
}
