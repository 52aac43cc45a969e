//! Names and identifiers of the queue.

use sha2::{Digest as _, Sha256};
use tenancy_core::{Grammar, JobKind, text_key, uuid_id};

text_key! {
    /// Names a queue, such as `default` or `slow`: what one worker serves.
    pub struct QueueName(Grammar::word("queue_name_invalid", 63));
}

uuid_id! {
    /// Identifies one start of a worker. A restart is another worker.
    pub struct WorkerId;
}

impl QueueName {
    /// The queue that jobs go to unless told otherwise.
    pub const DEFAULT: Self = Self::from_static("default");
}

impl Default for QueueName {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The hash under which an idempotency key is stored. A kind can't hold a NUL, so that no two
/// pairs of kind and key hash the same bytes.
pub(crate) fn hash(kind: &JobKind, key: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(kind.as_str());
    hash.update([0]);
    hash.update(key);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_its_kind() {
        let (a, b) = (JobKind::from_static("a"), JobKind::from_static("a.b"));
        assert_ne!(hash(&a, ".bx"), hash(&b, "x"));
        assert_ne!(hash(&a, "x"), hash(&b, "x"));
        assert_eq!(hash(&a, "x"), hash(&a, "x"));
    }
}
