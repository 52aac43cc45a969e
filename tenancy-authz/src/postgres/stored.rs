//! Keys as the tables have them.
//!
//! The schema lets in no other text than keys. Where somebody took its CHECKs away, a row that is none is named
//! to whoever looks at rows; what every check reads passes over it, so that it is not what each of them fails with.

use tenancy_core::InvalidInput;

use crate::{Error, ErrorKind};

/// The key of a row, or the error that names it.
pub(super) fn key<K: TryFrom<String, Error = InvalidInput>>(text: String) -> Result<K, Error> {
    K::try_from(text).map_err(|invalid| {
        let message = format!("a row of the tables of roles has a key that is none: {invalid}");
        Error::new(ErrorKind::Misconfigured, "stored_key_malformed", message)
    })
}

pub(super) fn keys<K: TryFrom<String, Error = InvalidInput>>(
    texts: Vec<String>,
) -> Result<Vec<K>, Error> {
    texts.into_iter().map(key).collect()
}

/// The key of a row that checks read; none, and an error in the log, if it is none.
pub(super) fn good_key<K: TryFrom<String, Error = InvalidInput>>(text: String) -> Option<K> {
    key(text)
        .inspect_err(|error| tracing::error!(%error, "a row is passed over"))
        .ok()
}

/// The place of a permission in a snapshot; none, and an error in the log, if no snapshot has it.
pub(super) fn good_bit(stored: i32) -> Option<u16> {
    let bit = u16::try_from(stored).ok();
    if bit.is_none() {
        tracing::error!(
            stored,
            "a permission whose bit no snapshot has is passed over"
        );
    }
    bit
}
