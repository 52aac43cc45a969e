//! Which permissions somebody holds, as bits.

/// A set of permissions: one bit for each, 16 bytes for the first 128 that are registered and 8 for
/// every further 64.
///
/// ```
/// use tenancy_authz::PermissionSet;
///
/// let set: PermissionSet = [3, 70].into_iter().collect();
/// assert!(set.contains(70) && !set.contains(4) && !set.contains(10_000));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PermissionSet(Words);

/// INVARIANT: there are many only if one behind the first is not zero, so that equal sets are equal
/// words.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Words {
    /// In place: one step less to the answer of a check.
    Few([u64; FEW]),
    Many(Box<[u64]>),
}

const FEW: usize = 2;

impl PermissionSet {
    /// Whether the permission with this bit is in the set.
    pub fn contains(&self, bit: u16) -> bool {
        let word = self.words().get(usize::from(bit / 64));
        word.copied().unwrap_or(0) & (1 << (bit % 64)) != 0
    }

    /// How many permissions are in the set.
    pub fn len(&self) -> usize {
        let counts = self.words().iter().map(|word| word.count_ones() as usize);
        counts.sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words().iter().all(|word| *word == 0)
    }

    /// How many bytes it takes beside its own.
    pub(crate) fn heap(&self) -> usize {
        match &self.0 {
            Words::Few(_) => 0,
            Words::Many(words) => size_of_val(&**words),
        }
    }

    fn words(&self) -> &[u64] {
        match &self.0 {
            Words::Few(words) => words,
            Words::Many(words) => words,
        }
    }
}

impl Default for PermissionSet {
    fn default() -> Self {
        Self(Words::Few([0; FEW]))
    }
}

impl FromIterator<u16> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = u16>>(bits: I) -> Self {
        let mut words = vec![0_u64; FEW];
        for bit in bits {
            let at = usize::from(bit / 64);
            if words.len() <= at {
                words.resize(at + 1, 0);
            }
            if let Some(word) = words.get_mut(at) {
                *word |= 1 << (bit % 64);
            }
        }
        Self(match <[u64; FEW]>::try_from(words) {
            Ok(few) => Words::Few(few),
            Err(many) => Words::Many(many.into_boxed_slice()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::btree_set, prelude::any, prop_assert_eq, proptest};

    use super::PermissionSet;

    proptest! {
        #[test]
        fn it_is_a_set_of_numbers(
            members in btree_set(any::<u16>(), 0..50),
            asked in btree_set(any::<u16>(), 0..50),
        ) {
            let set: PermissionSet = members.iter().copied().collect();
            for bit in asked.union(&members) {
                prop_assert_eq!(set.contains(*bit), members.contains(bit));
            }
            prop_assert_eq!(set.len(), members.len());
            prop_assert_eq!(set.is_empty(), members == BTreeSet::new());
            let other: PermissionSet = asked.iter().copied().collect();
            prop_assert_eq!(set == other, members == asked);
        }
    }
}
