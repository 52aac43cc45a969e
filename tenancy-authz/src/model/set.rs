//! Which permissions somebody holds, as bits.

/// A set of permissions: one bit for each, 8 bytes for every 64 that are registered.
///
/// ```
/// use tenancy_authz::PermissionSet;
///
/// let set: PermissionSet = [3, 70].into_iter().collect();
/// assert!(set.contains(70) && !set.contains(4) && !set.contains(10_000));
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PermissionSet(Box<[u64]>);

impl PermissionSet {
    /// Whether the permission with this bit is in the set.
    pub fn contains(&self, bit: u16) -> bool {
        let word = self.0.get(usize::from(bit / 64)).copied().unwrap_or(0);
        word & (1 << (bit % 64)) != 0
    }

    /// How many permissions are in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

impl FromIterator<u16> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = u16>>(bits: I) -> Self {
        let mut words = Vec::new();
        for bit in bits {
            let at = usize::from(bit / 64);
            if words.len() <= at {
                words.resize(at + 1, 0_u64);
            }
            if let Some(word) = words.get_mut(at) {
                *word |= 1 << (bit % 64);
            }
        }
        Self(words.into_boxed_slice())
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
        }
    }
}
