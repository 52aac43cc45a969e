use std::ops::Range;

use async_trait::async_trait;
use html5gum::{DefaultEmitter, Token, Tokenizer};
use tenancy_core::TenantCtx;

use super::{blocking, utf8};
use crate::{Error, Extracted, Extractor, Heading, Markup, MediaType, Origins, Run, Upload};

/// HTML in UTF-8, by the WHATWG tokenizer `html5gum`.
///
/// The text is what a reader sees, with an empty line between blocks; scripts, styles and the head
/// are left out. Every run of it knows the bytes of the upload that it was taken from: exactly,
/// where it was copied, and as the smallest known part, where entities were decoded.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HtmlExtractor;

impl HtmlExtractor {
    /// Reads `text/html` and `application/xhtml+xml`.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Extractor for HtmlExtractor {
    fn reads(&self, media_type: &MediaType) -> bool {
        matches!(media_type.as_str(), "text/html" | "application/xhtml+xml")
    }

    async fn extract(&self, _: &TenantCtx, upload: &Upload) -> Result<Extracted, Error> {
        let html = utf8(upload)?;
        blocking(move || Ok(read(&html))).await
    }
}

const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "ul",
];
const LINES: &[&str] = &["br", "caption", "li", "option", "summary", "tr"];
const CELLS: &[&str] = &["td", "th"];
/// What a reader does not see. None of them nests in itself, so a flag will do.
const HIDDEN: &[&str] = &["head", "noscript", "script", "style", "svg", "template"];

fn read(html: &str) -> Extracted {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    emitter.naively_switch_states(true);
    let mut reader = Reader::new(html);
    for token in Tokenizer::new_with_emitter(html, emitter) {
        match token {
            Ok(Token::StartTag(tag)) => reader.open(&tag.name),
            Ok(Token::EndTag(tag)) => reader.close(&tag.name),
            Ok(Token::String(words)) => {
                let words_text = String::from_utf8_lossy(&words.value);
                reader.words(&words_text, words.span.start..words.span.end);
            }
            Ok(_) | Err(_) => {}
        }
    }
    reader.finish()
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Gap {
    None,
    Space,
    Line,
    Block,
}

struct Reader<'a> {
    html: &'a str,
    text: String,
    runs: Vec<Run>,
    headings: Vec<Heading>,
    /// The level of the heading that is open, and where its words begin.
    heading: Option<(u8, usize)>,
    hidden: Option<Vec<u8>>,
    verbatim: bool,
    gap: Gap,
}

impl<'a> Reader<'a> {
    fn new(html: &'a str) -> Self {
        Self {
            html,
            text: String::new(),
            runs: Vec::new(),
            headings: Vec::new(),
            heading: None,
            hidden: None,
            verbatim: false,
            gap: Gap::None,
        }
    }

    fn open(&mut self, name: &[u8]) {
        if self.hidden.is_some() {
            return;
        }
        if is(name, HIDDEN) {
            self.hidden = Some(name.to_vec());
            return;
        }
        self.widen(name);
        if name == b"pre" {
            self.verbatim = true;
        }
        if let Some(level) = heading_level(name) {
            self.heading = Some((level, self.text.len()));
        }
    }

    fn close(&mut self, name: &[u8]) {
        if let Some(hidden) = &self.hidden {
            if hidden == name {
                self.hidden = None;
            }
            return;
        }
        if heading_level(name).is_some() {
            self.end_heading();
        }
        if name == b"pre" {
            self.verbatim = false;
        }
        self.widen(name);
    }

    fn end_heading(&mut self) {
        let Some((level, from)) = self.heading.take() else {
            return;
        };
        let words = self.text.get(from..).unwrap_or_default();
        let at = from + (words.len() - words.trim_start().len());
        let title = words.split_whitespace().collect::<Vec<_>>().join(" ");
        if !title.is_empty() {
            self.headings.push(Heading::new(at, level, title));
        }
    }

    fn widen(&mut self, name: &[u8]) {
        let gap = if is(name, BLOCKS) {
            Gap::Block
        } else if is(name, LINES) {
            Gap::Line
        } else if is(name, CELLS) {
            Gap::Space
        } else {
            Gap::None
        };
        self.gap = self.gap.max(gap);
    }

    fn words(&mut self, words: &str, span: Range<usize>) {
        if self.hidden.is_some() {
            return;
        }
        let copied = self.html.get(span.clone()) == Some(words);
        if self.verbatim {
            if !words.is_empty() {
                self.push(words, span);
            }
            return;
        }
        for (at, word) in word_indices(words) {
            if at > 0
                && words
                    .get(..at)
                    .is_some_and(|before| before.ends_with(char::is_whitespace))
            {
                self.gap = self.gap.max(Gap::Space);
            }
            let from = if copied {
                span.start + at..span.start + at + word.len()
            } else {
                span.clone()
            };
            self.push(word, from);
        }
        if words.ends_with(char::is_whitespace) {
            self.gap = self.gap.max(Gap::Space);
        }
    }

    fn push(&mut self, words: &str, upload: Range<usize>) {
        if !self.text.is_empty() {
            self.text.push_str(match self.gap {
                Gap::None => "",
                Gap::Space => " ",
                Gap::Line => "\n",
                Gap::Block => "\n\n",
            });
        }
        self.gap = Gap::None;
        // A NUL can't be stored, and is nothing to a reader.
        let start = self.text.len();
        self.text.extend(words.chars().filter(|c| *c != '\0'));
        let end = upload.end.min(self.html.len());
        self.runs
            .push(Run::new(start..self.text.len(), upload.start.min(end)..end));
    }

    fn finish(mut self) -> Extracted {
        self.end_heading();
        let origins = Origins::Runs(self.runs);
        Extracted::same(self.text, Markup::Plain)
            .with_headings(self.headings)
            .with_origins(origins)
    }
}

fn is(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|known| known.as_bytes() == name)
}

fn heading_level(name: &[u8]) -> Option<u8> {
    match name {
        [b'h', level @ b'1'..=b'6'] => Some(level - b'0'),
        _ => None,
    }
}

fn word_indices(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let begin = text.as_ptr() as usize;
    text.split_whitespace()
        .map(move |word| (word.as_ptr() as usize - begin, word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reader_sees_words_and_blocks_but_no_scripts() {
        let html = "<html><head><title>T</title></head><body><h1>Big\n <b>news</b></h1>\
            <p>One  two<br>three</p><script>alert('x')</script><style>p{}</style>\
            <ul><li>a</li><li>b</li></ul><pre>x\n  y</pre></body></html>";
        let read = read(html);
        assert_eq!(read.text, "Big news\n\nOne two\nthree\n\na\nb\n\nx\n  y");
        assert_eq!(read.headings, [Heading::new(0, 1, "Big news")]);
    }

    #[test]
    fn every_copied_word_stands_in_the_upload_where_the_map_says() {
        let html =
            "<p>Zoë &amp; Bob: <em>caf\u{e9}</em> costs\r\n 3&nbsp;&euro;</p>\n<div>end</div>";
        let read = read(html);
        let Origins::Runs(runs) = &read.origins else {
            panic!("no runs")
        };
        let exact = |word: &str| {
            let at = read.text.find(word).unwrap();
            let run = runs.iter().find(|run| run.text.start == at).unwrap();
            assert_eq!(&html[run.upload.clone()], word);
        };
        exact("caf\u{e9}");
        exact("end");
        let euro = runs
            .iter()
            .find(|run| read.text[run.text.clone()].contains('€'))
            .unwrap();
        assert!(
            html[euro.upload.clone()].contains("&euro;"),
            "{}",
            &html[euro.upload.clone()]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_every_run_is_inside(
            html in "(<|>|/|!--|p|pre|h1|script|head|&amp;|&#x1F980;|&|;|\"|=|[a-zäß漢\r\n\0 ]){0,60}",
        ) {
            let read = read(&html);
            let Origins::Runs(runs) = &read.origins else { panic!("no runs") };
            let mut last = 0;
            for run in runs {
                prop_assert!(read.text.get(run.text.clone()).is_some());
                prop_assert!(html.get(run.upload.clone()).is_some(), "{:?}", run);
                prop_assert!(run.text.start >= last);
                last = run.text.end;
            }
        }
    }
}
