use std::ops::Range;

use pulldown_cmark::Event;
use text_splitter::{ChunkConfig, MarkdownSplitter, TextSplitter};

use super::{hash_embedder::fnv, markdown};
use crate::{Chunker, Error, Extracted, Markup};

/// Cuts at headings, paragraphs, sentences and words, in this order, by `text-splitter`.
///
/// Before that, the text is divided into sections at headings and at paragraphs that their own
/// words choose (one in four). A change in one section moves no cut in another, so that a changed
/// paragraph costs a few embeddings and not the rest of the document.
///
/// ```
/// use tenancy_rag::{Chunker, Extracted, Markup, SplitterChunker};
///
/// let text = Extracted::same("One.\n\nTwo.".to_owned(), Markup::Plain);
/// let ranges = SplitterChunker::new(5).chunk(&text).unwrap();
/// assert_eq!(ranges, [0..4, 6..10]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SplitterChunker {
    max_chars: usize,
}

/// A section that would be shorter than a chunk's `1 / SHORTEST` part is not begun.
const SHORTEST: usize = 3;
/// A section of more than so many chunks' bytes is divided.
const LONGEST: usize = 8;

impl SplitterChunker {
    /// Chunks of at most `max_chars` characters.
    pub fn new(max_chars: usize) -> Self {
        Self {
            max_chars: max_chars.max(1),
        }
    }

    fn sections(self, text: &Extracted) -> Vec<Range<usize>> {
        let shortest = self.max_chars / SHORTEST;
        let mut starts = vec![0];
        let mut last = 0;
        let blocks = match text.markup {
            Markup::Markdown => markdown_blocks(&text.text),
            Markup::Plain => plain_blocks(&text.text),
        };
        let headings: Vec<usize> = text.headings.iter().map(|heading| heading.at).collect();
        for block in blocks {
            let chosen = headings.binary_search(&block.start).is_ok()
                || text
                    .text
                    .get(block.clone())
                    .is_some_and(|words| fnv(words.as_bytes()).is_multiple_of(4));
            if chosen && block.start >= last + shortest {
                last = block.start;
                starts.push(last);
            }
        }
        starts.push(text.text.len());
        let mut sections = Vec::with_capacity(starts.len());
        for pair in starts.windows(2) {
            if let [start, end] = pair {
                self.bound(&text.text, *start..*end, &mut sections);
            }
        }
        sections
    }

    /// Divides a section that is too long: the splitter looks at all that is left for every chunk,
    /// and so takes hours for megabytes without a paragraph.
    fn bound(self, text: &str, mut section: Range<usize>, sections: &mut Vec<Range<usize>>) {
        let longest = self.max_chars.saturating_mul(LONGEST).max(4);
        while section.len() > longest {
            let to = text.floor_char_boundary(section.start + longest);
            let from = text.floor_char_boundary(section.start + longest / 2);
            let window = text.get(from..to).unwrap_or_default();
            let behind = |at: Option<usize>| at.map(|at| from + at + 1);
            let cut = behind(window.rfind('\n'))
                .or_else(|| behind(window.rfind(' ')))
                .unwrap_or(to);
            sections.push(section.start..cut);
            section.start = cut;
        }
        sections.push(section);
    }
}

impl Default for SplitterChunker {
    /// Chunks of at most 1,200 characters.
    fn default() -> Self {
        Self::new(1_200)
    }
}

impl Chunker for SplitterChunker {
    fn chunk(&self, text: &Extracted) -> Result<Vec<Range<usize>>, Error> {
        let config = || ChunkConfig::new(self.max_chars);
        let markdown = MarkdownSplitter::new(config());
        let plain = TextSplitter::new(config());
        let mut ranges = Vec::new();
        for section in self.sections(text) {
            let Some(words) = text.text.get(section.clone()) else {
                continue;
            };
            let place =
                |(at, chunk): (usize, &str)| section.start + at..section.start + at + chunk.len();
            match text.markup {
                Markup::Markdown => ranges.extend(markdown.chunk_indices(words).map(place)),
                Markup::Plain => ranges.extend(plain.chunk_indices(words).map(place)),
            }
        }
        ranges.retain(|range| {
            text.text
                .get(range.clone())
                .is_some_and(|words| !words.trim().is_empty())
        });
        Ok(ranges)
    }
}

/// The blocks at the top of a Markdown document: headings, paragraphs, lists, fences, tables.
fn markdown_blocks(text: &str) -> Vec<Range<usize>> {
    let mut depth = 0_u32;
    let mut blocks = Vec::new();
    for (event, range) in markdown::parser(text).into_offset_iter() {
        match event {
            Event::Start(_) => {
                if depth == 0 {
                    blocks.push(range);
                }
                depth += 1;
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    blocks
}

/// Paragraphs between empty lines.
fn plain_blocks(text: &str) -> Vec<Range<usize>> {
    let mut blocks: Vec<Range<usize>> = Vec::new();
    let (mut at, mut open) = (0, false);
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        let blank = line.trim().is_empty();
        match (blank, open, blocks.last_mut()) {
            (false, true, Some(block)) => block.end = end,
            (false, _, _) => blocks.push(at..end),
            _ => {}
        }
        open = !blank;
        at = end;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &Extracted, chunker: SplitterChunker) -> Vec<String> {
        let ranges = chunker.chunk(text).unwrap();
        ranges
            .into_iter()
            .map(|range| text.text[range].to_owned())
            .collect()
    }

    #[test]
    fn a_changed_paragraph_changes_few_chunks() {
        let paragraph = |n: usize| {
            format!(
                "Paragraph {n} says {} things.\n\n",
                "many ".repeat(20 + n % 7)
            )
        };
        let old: String = (0..500).map(paragraph).collect();
        for changed in [0, 3, 77, 250, 498] {
            let new: String = (0..500)
                .map(|n| {
                    if n == changed {
                        "Something else, and longer.\n\n".repeat(5)
                    } else {
                        paragraph(n)
                    }
                })
                .collect();
            let chunks = |text: &str| {
                texts(
                    &Extracted::same(text.to_owned(), Markup::Plain),
                    SplitterChunker::new(600),
                )
            };
            let before: std::collections::HashSet<String> = chunks(&old).into_iter().collect();
            let fresh = chunks(&new)
                .into_iter()
                .filter(|chunk| !before.contains(chunk))
                .count();
            assert!(
                (1..=3).contains(&fresh),
                "{fresh} new chunks after a change in {changed}"
            );
        }
    }

    #[test]
    fn megabytes_without_a_paragraph_are_cut_in_time() {
        for unit in ["x", "漢", "word ", "| cell ", "> "] {
            let text = Extracted::same(unit.repeat(400_000 / unit.len()), Markup::Markdown);
            let begun = std::time::Instant::now();
            assert!(texts(&text, SplitterChunker::default()).len() > 10);
            assert!(
                begun.elapsed().as_secs() < 20,
                "{unit}: {:?}",
                begun.elapsed()
            );
        }
    }

    proptest! {
        #[test]
        fn every_range_is_a_part_of_the_text_and_no_word_is_lost(
            text in "([a-zäß漢🦀é\\-#*`>|\\[\\] ]{0,40}(\n|\r\n|\n\n|\n```\n)?){0,30}",
            max in 1_usize..80,
            markdown in any::<bool>(),
        ) {
            let markup = if markdown { Markup::Markdown } else { Markup::Plain };
            let extracted = Extracted::same(text.clone(), markup);
            let chunks = texts(&extracted, SplitterChunker::new(max));
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&chunks.concat()), letters(&text));
            prop_assert!(chunks.iter().all(|chunk| chunk.chars().count() <= max));
        }
    }
}
