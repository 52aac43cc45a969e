//! What a search is asked and what it answers.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{ChunkId, DocId, Error, SearchPath, SourceId};

/// How to search.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetrieveOptions {
    /// How many chunks at most: 1 to 100; 10 by default.
    pub k: u16,
    /// The least similarity, from -1 to 1, of a chunk that is returned. Without it a question that
    /// no document answers still gets the `k` least bad chunks.
    pub min_score: Option<f32>,
    /// Only documents of this source.
    pub source: Option<SourceId>,
    /// This way and no other; by the tenant's size, if `None`. For comparisons.
    pub path: Option<SearchPath>,
}

impl Default for RetrieveOptions {
    fn default() -> Self {
        Self {
            k: 10,
            min_score: None,
            source: None,
            path: None,
        }
    }
}

impl RetrieveOptions {
    /// How many chunks at most.
    pub fn with_k(mut self, k: u16) -> Self {
        self.k = k;
        self
    }

    /// The least similarity of a chunk that is returned.
    pub fn with_min_score(mut self, score: f32) -> Self {
        self.min_score = Some(score);
        self
    }

    /// Only documents of this source.
    pub fn with_source(mut self, source: SourceId) -> Self {
        self.source = Some(source);
        self
    }

    /// This way through the vectors and no other.
    pub fn with_path(mut self, path: SearchPath) -> Self {
        self.path = Some(path);
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(1..=100).contains(&self.k) {
            return Err(Error::invalid("k_invalid", "`k` is not between 1 and 100"));
        }
        match self.min_score {
            Some(score) if !(-1.0..=1.0).contains(&score) => Err(Error::invalid(
                "min_score_invalid",
                "`min_score` is not between -1 and 1",
            )),
            _ => Ok(()),
        }
    }
}

/// Where a chunk stands: bytes of one version of a document.
///
/// It names a place and gives no right to it: whoever opens it is checked anew.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Citation {
    /// The document.
    pub doc: DocId,
    /// The version whose text the bytes count in.
    pub version: i32,
    /// Where the document comes from.
    pub uri: String,
    /// The document's title.
    pub title: String,
    /// The bytes of the text, the end excluded: exactly the chunk.
    pub bytes: Range<u32>,
    /// The smallest known part of the upload that the chunk was taken from, where the upload is
    /// not the text itself: HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Range<u32>>,
    /// The page it begins on, counted from 1, where the document has pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// The headings it stands under, outermost first, joined by ` > `.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heading: Option<String>,
}

/// A chunk that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Hit {
    /// Which chunk.
    pub chunk: ChunkId,
    /// Its text.
    pub text: String,
    /// The cosine of the angle between question and chunk: 1 is the same direction. With a
    /// reranker, its score.
    pub score: f32,
    /// Where it stands.
    pub citation: Citation,
}

/// What a search answers, best first, and how it went.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Retrieved {
    /// The chunks.
    pub hits: Vec<Hit>,
    /// The way through the vectors that gave them.
    pub path: SearchPath,
    /// How many chunks were compared exactly at most.
    pub candidates: i64,
}

/// What a citation points at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Passage {
    /// The bytes of the text, which are the chunk.
    pub text: String,
    /// The bytes of the upload that it was taken from, where that is not the text itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Vec<u8>>,
}
