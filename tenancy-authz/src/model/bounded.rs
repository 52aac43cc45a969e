//! Reading maps and lists whose size somebody else chose.
//!
//! What goes beyond a bound by more than one is read and dropped: memory stays bounded whatever the
//! parser is, and whoever checks the size afterwards sees that it is too large.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// A map with at most one entry more than `MAX`; a key that is there twice is an error.
pub(super) fn map<'de, D, K, V, const MAX: usize>(from: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    from.deserialize_map(Entries::<K, V, MAX>(PhantomData))
}

/// A set with at most one entry more than `MAX`.
pub(super) fn set<'de, D, K, const MAX: usize>(from: D) -> Result<BTreeSet<K>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
{
    from.deserialize_seq(Items::<K, MAX>(PhantomData))
}

struct Entries<K, V, const MAX: usize>(PhantomData<(K, V)>);

impl<'de, K, V, const MAX: usize> Visitor<'de> for Entries<K, V, MAX>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of at most {MAX} entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut read = BTreeMap::new();
        while read.len() <= MAX {
            let Some((key, value)) = from.next_entry()? else {
                return Ok(read);
            };
            if read.insert(key, value).is_some() {
                return Err(A::Error::custom("a key is there twice"));
            }
        }
        while from.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(read)
    }
}

struct Items<K, const MAX: usize>(PhantomData<K>);

impl<'de, K, const MAX: usize> Visitor<'de> for Items<K, MAX>
where
    K: Deserialize<'de> + Ord,
{
    type Value = BTreeSet<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut read = BTreeSet::new();
        while read.len() <= MAX {
            let Some(item) = from.next_element()? else {
                return Ok(read);
            };
            read.insert(item);
        }
        while from.next_element::<IgnoredAny>()?.is_some() {}
        Ok(read)
    }
}
