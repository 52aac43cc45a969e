//! Merkle trees as RFC 6962 has them: roots, inclusion and consistency proofs.
//!
//! Pure functions over SHA-256. A leaf and an inner node are hashed under different prefixes, so that
//! one can't be passed off as the other.
//!
//! ```
//! use tenancy_audit::merkle;
//!
//! let leaves: Vec<_> = ["a", "b", "c"].iter().map(|text| merkle::leaf_hash(text.as_bytes())).collect();
//! let path = merkle::inclusion_path(&leaves, 1).unwrap();
//! assert!(merkle::verify_inclusion(&leaves[1], 1, 3, &path, &merkle::root(&leaves)));
//! ```

use sha2::{Digest as _, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The longest path that a proof may have: a tree has fewer than 2^64 leaves.
const LONGEST: usize = 65;

/// The hash of what a leaf holds.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(data)
        .finalize()
        .into()
}

/// The hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    let (_, children) = bytes.split_at_mut(1);
    let (first, second) = children.split_at_mut(32);
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// The root of a tree over these leaves' hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// A growing tree, of which only the roots of its whole subtrees are kept: one for each bit of
/// its size.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Takes over the peaks of a tree of this size, the largest first; `None` if they don't fit.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (peaks, rest) = bytes.as_chunks::<32>();
        let fits = rest.is_empty() && peaks.len() == size.count_ones() as usize;
        fits.then(|| Self {
            size,
            peaks: peaks.to_vec(),
        })
    }

    /// The peaks, the largest first.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.peaks.concat()
    }

    /// The last so many peaks, the largest first; `None` if there are fewer.
    pub(crate) fn last_peaks(&self, count: u32) -> Option<&[Hash]> {
        let from = self.peaks.len().checked_sub(count as usize)?;
        self.peaks.get(from..)
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root; of an empty tree the hash of nothing.
    pub fn root(&self) -> Hash {
        let folded = self
            .peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right));
        folded.unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// The nodes that lead from a leaf (counted from 0) to the root; `None` if there is no such leaf.
pub fn inclusion_path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    leaves.get(index)?;
    let (mut level, mut at, mut path) = (leaves.to_vec(), index, Vec::new());
    while level.len() > 1 {
        path.extend(level.get(at ^ 1));
        level = level.chunks(2).map(pair).collect();
        at /= 2;
    }
    Some(path)
}

/// A node over two, or the one that has no sibling.
fn pair(nodes: &[Hash]) -> Hash {
    match nodes {
        [left, right] => node_hash(left, right),
        [alone, ..] => *alone,
        [] => [0; 32],
    }
}

/// Whether this path leads from the leaf to the root of a tree of this size.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size || path.len() > LONGEST {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for node in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(node, &hash);
            skip_lone(&mut at, &mut last);
        } else {
            hash = node_hash(&hash, node);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Goes up past levels on which the node has no sibling.
fn skip_lone(at: &mut u64, last: &mut u64) {
    while *at & 1 == 0 && *at != 0 {
        *at >>= 1;
        *last >>= 1;
    }
}

/// The nodes that show that the tree over the first `first` leaves is the beginning of this one;
/// `None` if it has fewer leaves than that.
pub fn consistency_path(leaves: &[Hash], first: usize) -> Option<Vec<Hash>> {
    if first > leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    if first > 0 {
        subproof(leaves, first, true, &mut path);
    }
    Some(path)
}

fn subproof(leaves: &[Hash], first: usize, whole: bool, path: &mut Vec<Hash>) {
    if first >= leaves.len() {
        if !whole {
            path.push(root(leaves));
        }
        return;
    }
    // The largest power of two below the number of leaves, of which there are two at least.
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    if first <= left.len() {
        subproof(left, first, whole, path);
        path.push(root(right));
    } else {
        subproof(right, first - left.len(), false, path);
        path.push(root(left));
    }
}

/// Whether the tree of the first size and root is the beginning of that of the second.
pub fn verify_consistency(first: (u64, &Hash), second: (u64, &Hash), path: &[Hash]) -> bool {
    let ((before, old), (after, new)) = (first, second);
    if before > after || path.len() > LONGEST {
        return false;
    }
    if before == after || before == 0 {
        let start = if before == 0 { root(&[]) } else { *new };
        return path.is_empty() && *old == start;
    }
    let (mut at, mut last) = (before - 1, after - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    // A whole subtree is where the path begins, and is left out of it.
    let mut nodes = path.iter();
    let begin = if before.is_power_of_two() {
        Some(old)
    } else {
        nodes.next()
    };
    let Some(begin) = begin else { return false };
    let (mut then, mut now) = (*begin, *begin);
    for node in nodes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            then = node_hash(node, &then);
            now = node_hash(node, &now);
            skip_lone(&mut at, &mut last);
        } else {
            now = node_hash(&now, node);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && then == *old && now == *new
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
