//! How a search goes through a tenant's vectors.

use serde::Serialize;

use crate::MAX_DIMENSIONS;

/// How a search found its chunks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SearchPath {
    /// Every visible vector was compared: the exact answer.
    Exact,
    /// Every visible chunk was compared by one bit a dimension, and the best of these exactly.
    Bits,
    /// The tenant's own HNSW, or the global one, proposed chunks, which were compared exactly.
    Hnsw,
}

/// What the choice of a path depends on. Nothing of another tenant is in it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Corpus {
    /// How many chunks the tenant has.
    pub chunks: i64,
    /// How many of them the caller may see. Counted only where it matters; else as `chunks`.
    pub visible: i64,
    /// Whether the tenant has a valid HNSW of its own.
    pub has_hnsw: bool,
}

/// From which size on which path is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PathPolicy {
    /// Up to this many chunks every vector is compared; 1,000 by default.
    pub exact_up_to: i64,
    /// From this many chunks on the tenant's HNSW is used, if there is one; 50,000 by default.
    pub hnsw_from: i64,
    /// The least number of chunks that the bits propose; 400 by default, and 40 for each chunk asked
    /// for. It grows with the tenant.
    pub min_candidates: i64,
}

impl Default for PathPolicy {
    fn default() -> Self {
        Self {
            exact_up_to: 1_000,
            hnsw_from: 50_000,
            min_candidates: 400,
        }
    }
}

/// The most candidates that are compared exactly.
const MAX_CANDIDATES: i64 = 4_000;
/// Candidates for each chunk that is asked for. Of 1,536 bits, those that differ for an angle are known
/// up to about 19, so where many chunks are about as near, as in texts made from one template, the ten
/// nearest stand among the first few hundred: 20 for each lost up to 4 of 100, 40 lose less than one.
const PER_RESULT: i64 = 40;
/// One candidate for each so many visible chunks: 425 at 17,000, as measured.
const CHUNKS_PER_CANDIDATE: i64 = 40;

impl PathPolicy {
    /// Up to how many chunks every vector is compared.
    pub fn with_exact_up_to(mut self, chunks: i64) -> Self {
        self.exact_up_to = chunks;
        self
    }

    /// From how many chunks on the tenant's HNSW is used.
    pub fn with_hnsw_from(mut self, chunks: i64) -> Self {
        self.hnsw_from = chunks;
        self
    }

    /// The path for a tenant.
    ///
    /// A graph loses chunks where a role sees a small part of it, so it is taken only where the
    /// caller sees at least half.
    pub fn choose(&self, corpus: Corpus) -> SearchPath {
        if corpus.chunks <= self.exact_up_to {
            SearchPath::Exact
        } else if corpus.has_hnsw
            && corpus.chunks >= self.hnsw_from
            && corpus.visible.saturating_mul(2) >= corpus.chunks
        {
            SearchPath::Hnsw
        } else {
            SearchPath::Bits
        }
    }

    /// How many chunks a pre-selection proposes for `k` results. Fewer dimensions are fewer bits,
    /// and so a coarser order.
    pub fn candidates(&self, corpus: Corpus, k: u16, dimensions: usize) -> i64 {
        let width = i64::try_from(MAX_DIMENSIONS.div_ceil(dimensions.max(1))).unwrap_or(1);
        let base = self
            .min_candidates
            .max(i64::from(k) * PER_RESULT)
            .max(corpus.chunks / CHUNKS_PER_CANDIDATE);
        base.saturating_mul(width)
            .clamp(i64::from(k), MAX_CANDIDATES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(chunks: i64, visible: i64, has_hnsw: bool) -> Corpus {
        Corpus {
            chunks,
            visible,
            has_hnsw,
        }
    }

    #[test]
    fn the_path_follows_the_tenants_size_and_what_the_role_sees() {
        let policy = PathPolicy::default();
        assert_eq!(policy.choose(corpus(0, 0, false)), SearchPath::Exact);
        assert_eq!(policy.choose(corpus(1_000, 1_000, true)), SearchPath::Exact);
        assert_eq!(policy.choose(corpus(1_001, 1_001, true)), SearchPath::Bits);
        assert_eq!(
            policy.choose(corpus(50_000, 50_000, false)),
            SearchPath::Bits
        );
        assert_eq!(
            policy.choose(corpus(50_000, 25_000, true)),
            SearchPath::Hnsw
        );
        assert_eq!(
            policy.choose(corpus(50_000, 24_999, true)),
            SearchPath::Bits
        );
    }

    #[test]
    fn candidates_grow_with_the_tenant_and_with_k_and_are_bounded() {
        let policy = PathPolicy::default();
        assert_eq!(policy.candidates(corpus(2_000, 0, false), 10, 1536), 400);
        assert_eq!(policy.candidates(corpus(17_000, 0, false), 10, 1536), 425);
        assert_eq!(policy.candidates(corpus(2_000, 0, false), 20, 1536), 800);
        assert_eq!(policy.candidates(corpus(2_000, 0, false), 10, 384), 1_600);
        assert_eq!(
            policy.candidates(corpus(9_000_000, 0, false), 10, 1536),
            MAX_CANDIDATES
        );
    }
}
