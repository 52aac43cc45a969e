//! The tree over a tenant's seals, from what is stored beside each of them.
//!
//! A seal keeps its hash and the peaks of the tree up to it. From two neighbours the root of any whole
//! subtree that ends there can be computed, so that a proof reads a few seals of however many there are.

use std::collections::BTreeMap;

use crate::merkle::{Frontier, Hash, node_hash};

/// A stretch of seals, counted from 0: from this one to before that one.
pub(crate) type Part = (u64, u64);

/// By the number of the seal: its hash, and the peaks of the tree up to it.
pub(crate) type Nodes = BTreeMap<u64, (Hash, Frontier)>;

/// The parts of a tree of this size whose roots show that its first seals are the beginning of it, in the
/// order of RFC 6962; `None` if it has fewer than that.
pub(crate) fn consistency_parts(first: u64, size: u64) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    if first > size {
        return None;
    }
    if first > 0 {
        split((0, size), first, true, &mut parts);
    }
    Some(parts)
}

fn split((from, to): Part, first: u64, whole: bool, parts: &mut Vec<Part>) {
    let size = to - from;
    if first >= size {
        if !whole {
            parts.push((from, to));
        }
        return;
    }
    // The largest power of two below the size, which is 2 at least.
    let left = 1 << (size - 1).ilog2();
    if first <= left {
        split((from, from + left), first, whole, parts);
        parts.push((from + left, to));
    } else {
        split((from + left, to), first - left, false, parts);
        parts.push((from, from + left));
    }
}

/// The seals whose hashes and peaks are needed for these parts.
pub(crate) fn needed(parts: &[Part]) -> Vec<u64> {
    let mut numbers: Vec<u64> = parts.iter().flat_map(|(_, to)| [to - 1, *to]).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.retain(|number| *number > 0);
    numbers
}

/// The root of a part that is a whole subtree, or ends where the tree does; `None` if what was read of the
/// seals does not have it.
pub(crate) fn root_of((from, to): Part, nodes: &Nodes) -> Option<Hash> {
    let (leaf, frontier) = nodes.get(&to)?;
    let size = to.checked_sub(from)?;
    if !size.is_power_of_two() {
        let peaks = frontier.last_peaks(size.count_ones())?;
        return peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right));
    }
    let mut node = *leaf;
    if size > 1 {
        let (_, before) = nodes.get(&(to - 1))?;
        for left in before.last_peaks(size.ilog2())?.iter().rev() {
            node = node_hash(left, &node);
        }
    }
    Some(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{consistency_path, leaf_hash, verify_consistency};

    #[test]
    fn paths_are_those_over_all_leaves() {
        let leaves: Vec<Hash> = (0..70_u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let (mut nodes, mut frontier) = (Nodes::new(), Frontier::default());
        for (number, leaf) in (1..).zip(&leaves) {
            frontier.push(*leaf);
            nodes.insert(number, (*leaf, frontier.clone()));
        }
        for size in 1..=leaves.len() {
            for first in 0..=size {
                let parts = consistency_parts(first as u64, size as u64).unwrap();
                let read = needed(&parts);
                let nodes = nodes
                    .clone()
                    .into_iter()
                    .filter(|(n, _)| read.contains(n))
                    .collect();
                let path: Option<Vec<Hash>> =
                    parts.iter().map(|part| root_of(*part, &nodes)).collect();
                assert_eq!(
                    path,
                    consistency_path(&leaves[..size], first),
                    "{first} of {size}"
                );
            }
        }
        assert_eq!(consistency_parts(3, 2), None);
    }

    #[test]
    fn a_proof_over_very_many_seals_reads_a_few() {
        for (first, size) in [
            (1, 1 << 62),
            (999_999, 5_000_000),
            ((1 << 40) + 7, (1 << 62) - 1),
        ] {
            let parts = consistency_parts(first, size).unwrap();
            assert!(
                parts.len() <= 65 && needed(&parts).len() <= 130,
                "{first} of {size}"
            );
        }
        let same = leaf_hash(b"x");
        assert!(verify_consistency((1, &same), (1, &same), &[]));
    }
}
