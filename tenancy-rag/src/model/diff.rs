//! What a new version of a document changes in its chunks.

use std::{collections::HashMap, ops::Range};

use super::text::Chunk;
use crate::ChunkId;

/// A chunk as it is stored, without its text and its vector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stored {
    pub(crate) id: ChunkId,
    pub(crate) ordinal: i32,
    pub(crate) bytes: Range<i32>,
    pub(crate) hash: [u8; 32],
}

/// Which chunks stay, maybe at another place, which are new, and which go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Diff {
    /// Stored chunks and the places in the new list that they keep.
    pub(crate) kept: Vec<(ChunkId, usize)>,
    /// Places in the new list that need a row.
    pub(crate) added: Vec<usize>,
    /// Stored chunks that the new version does not have.
    pub(crate) removed: Vec<ChunkId>,
    /// Whether nothing at all changed: same chunks, same places.
    pub(crate) same: bool,
}

impl Diff {
    /// Pairs chunks of equal text, in the order of both lists.
    pub(crate) fn between(stored: &[Stored], new: &[Chunk]) -> Self {
        let mut by_hash: HashMap<&[u8; 32], Vec<&Stored>> = HashMap::new();
        for chunk in stored.iter().rev() {
            by_hash.entry(&chunk.hash).or_default().push(chunk);
        }
        let mut diff = Self {
            same: stored.len() == new.len(),
            ..Self::default()
        };
        for (at, chunk) in new.iter().enumerate() {
            match by_hash.get_mut(&chunk.hash).and_then(Vec::pop) {
                Some(known) => {
                    let in_place = usize::try_from(known.ordinal) == Ok(at);
                    diff.same &= in_place && known.bytes == chunk.bytes;
                    diff.kept.push((known.id, at));
                }
                None => diff.added.push(at),
            }
        }
        diff.removed = by_hash
            .into_values()
            .flatten()
            .map(|chunk| chunk.id)
            .collect();
        diff.same &= diff.added.is_empty() && diff.removed.is_empty();
        diff
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::text::{Extracted, Markup, cut};

    fn chunks(words: &[&str]) -> Vec<Chunk> {
        let text = words.concat();
        let mut at = 0;
        let ranges = words.iter().map(|word| {
            at += word.len();
            at - word.len()..at
        });
        cut(
            &Extracted::same(text.clone(), Markup::Plain),
            ranges.collect(),
        )
        .unwrap()
    }

    fn stored(words: &[&str]) -> Vec<Stored> {
        let store = |(at, chunk): (usize, Chunk)| Stored {
            id: ChunkId::new(),
            ordinal: i32::try_from(at).unwrap(),
            bytes: chunk.bytes,
            hash: chunk.hash,
        };
        chunks(words).into_iter().enumerate().map(store).collect()
    }

    #[test]
    fn equal_text_is_kept_and_the_rest_is_added_and_removed() {
        let old = stored(&["a", "b", "c"]);
        let diff = Diff::between(&old, &chunks(&["b", "x", "a"]));
        assert_eq!(diff.kept, [(old[1].id, 0), (old[0].id, 2)]);
        assert_eq!(
            (diff.added, diff.removed, diff.same),
            (vec![1], vec![old[2].id], false)
        );
    }

    #[test]
    fn text_that_stands_twice_is_two_chunks() {
        let old = stored(&["a", "a"]);
        let diff = Diff::between(&old, &chunks(&["a", "a", "a"]));
        assert_eq!(
            (diff.kept.len(), diff.added.len(), diff.removed.len()),
            (2, 1, 0)
        );
        assert!(Diff::between(&old, &chunks(&["a", "a"])).same);
        assert!(!Diff::between(&old, &chunks(&["a"])).same);
    }
}
