use proptest::prelude::*;

use super::*;

/// The leaves that implementations of certificate transparency are tested with.
const INPUTS: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hash(text: &str) -> Hash {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn leaves(count: usize) -> Vec<Hash> {
    INPUTS[..count]
        .iter()
        .map(|input| leaf_hash(&hex::decode(input).unwrap()))
        .collect()
}

fn hashes(texts: &[&str]) -> Vec<Hash> {
    texts.iter().map(|text| hash(text)).collect()
}

#[test]
fn roots_are_those_of_the_published_vectors() {
    for (count, expected) in ROOTS.iter().enumerate() {
        assert_eq!(
            hex::encode(root(&leaves(count))),
            *expected,
            "{count} leaves"
        );
    }
}

#[test]
fn inclusion_paths_are_those_of_the_published_vectors() {
    let vectors: [(usize, usize, &[&str]); 5] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            3,
            &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
        ),
        (
            1,
            5,
            &[
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (index, size, path) in vectors {
        assert_eq!(
            inclusion_path(&leaves(size), index).unwrap(),
            hashes(path),
            "{index} of {size}"
        );
    }
    assert_eq!(inclusion_path(&leaves(3), 3), None);
}

#[test]
fn consistency_paths_are_those_of_the_published_vectors() {
    let vectors: [(usize, usize, &[&str]); 4] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (first, second, path) in vectors {
        let found = consistency_path(&leaves(second), first).unwrap();
        assert_eq!(found, hashes(path), "{first} in {second}");
    }
    assert_eq!(consistency_path(&leaves(3), 4), None);
}

#[test]
fn every_proof_of_every_small_tree_holds_and_no_altered_one_does() {
    let all: Vec<Hash> = (0_u8..33).map(|n| leaf_hash(&[n])).collect();
    for size in 1..=all.len() {
        let tree = root(&all[..size]);
        for index in 0..size {
            let path = inclusion_path(&all[..size], index).unwrap();
            let holds =
                |leaf: &Hash, at, of, path: &[Hash]| verify_inclusion(leaf, at, of, path, &tree);
            let (at, of) = (index as u64, size as u64);
            assert!(holds(&all[index], at, of, &path));
            assert!(!holds(&leaf_hash(b"other"), at, of, &path));
            assert!(!holds(&all[index], at + 1, of, &path));
            for cut in 0..path.len() {
                let mut altered = path.clone();
                altered[cut][0] ^= 1;
                assert!(!holds(&all[index], at, of, &altered));
                altered.remove(cut);
                assert!(!holds(&all[index], at, of, &altered));
            }
        }
        for first in 0..=size {
            let (old, path) = (
                root(&all[..first]),
                consistency_path(&all[..size], first).unwrap(),
            );
            let holds = |old: &Hash, path: &[Hash]| {
                verify_consistency((first as u64, old), (size as u64, &tree), path)
            };
            assert!(holds(&old, &path), "{first} in {size}");
            assert!(!holds(&leaf_hash(b"other"), &path));
            for cut in 0..path.len() {
                let mut altered = path.clone();
                altered[cut][31] ^= 1;
                assert!(!holds(&old, &altered));
            }
        }
    }
}

#[test]
fn roots_and_proofs_are_those_of_another_implementation() {
    let all: Vec<Hash> = (0_u32..66).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let mut digest = Sha256::new();
    for size in 1..=all.len() {
        digest.update(root(&all[..size]));
        for index in 0..size {
            digest.update(inclusion_path(&all[..size], index).unwrap().concat());
        }
        for first in 1..=size {
            digest.update(consistency_path(&all[..size], first).unwrap().concat());
        }
    }
    // By the RFC's recursion in Python; its roots and inclusion paths compared with pymerkle 7.0.0's.
    let expected = "da5da5e2a4d5d6f96cfcdbb2652207c72b5f3f8df796cfedece667d6b06a0803";
    assert_eq!(hex::encode(digest.finalize()), expected);
}

proptest! {
    #[test]
    fn a_tree_that_grows_leaf_by_leaf_is_the_tree_of_all(count in 0_usize..300, at in 0_usize..300) {
        let all: Vec<Hash> = (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut frontier = Frontier::default();
        for (n, leaf) in all.iter().enumerate() {
            if n == at {
                let kept = frontier.to_bytes();
                frontier = Frontier::from_bytes(n as u64, &kept).unwrap();
                prop_assert!(Frontier::from_bytes(n as u64 + 1, &kept).is_none() || n % 2 == 1);
            }
            frontier.push(*leaf);
        }
        prop_assert_eq!(frontier.size(), count as u64);
        prop_assert_eq!(frontier.root(), naive(&all));
        prop_assert_eq!(root(&all), naive(&all));
    }

    #[test]
    fn proofs_of_any_bytes_are_answered(
        index: u64, size: u64, path in prop::collection::vec(any::<Hash>(), 0..80)
    ) {
        let hash = [7; 32];
        prop_assert!(!verify_inclusion(&hash, index, size, &path, &hash) || size == 1);
        let _ = verify_consistency((index, &hash), (size, &hash), &path);
    }
}

/// Word for word as the RFC defines it.
fn naive(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        more => {
            let mut k = 1;
            while k * 2 < more.len() {
                k *= 2;
            }
            node_hash(&naive(&more[..k]), &naive(&more[k..]))
        }
    }
}
