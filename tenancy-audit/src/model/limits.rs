//! How large an event may be.

/// The sizes an event may have. The defaults are written beside each, with the bound that counts where more is
/// asked for.
///
/// ```no_run
/// # use tenancy_audit::{Limits, Oversize, PgAuditLog};
/// # fn run(db: tenancy_core::TenantDb) {
/// let limits = Limits::default()
///     .with_meta_bytes(64 * 1_024)
///     .with_oversize(Oversize::Truncate);
/// let audit = PgAuditLog::new(db).with_limits(limits);
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Targets of one event; 32, and never more than 256.
    pub targets: usize,
    /// Bytes of a target's id; 256, and never more than 512.
    pub target_id_bytes: usize,
    /// Bytes of all keys and texts of `meta`, with eight for any other value; 16 KiB, and never
    /// more than 256 KiB.
    pub meta_bytes: usize,
    /// Keys of `meta` in all its objects, and elements in all its arrays; 512, and never more than 16,384.
    pub meta_items: usize,
    /// Bytes of one key of `meta`; 128, and never more than 1,024.
    pub meta_key_bytes: usize,
    /// How deep `meta` may be nested; 8, and never more than 64.
    pub meta_depth: usize,
    /// What happens to an event that is over one of them.
    pub oversize: Oversize,
}

/// What happens to an event that is over a limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Oversize {
    /// It is refused with a typed error, and nothing is stored. The default: who wrote the call
    /// finds out in his first test.
    #[default]
    Refuse,
    /// What is too much is cut off, and the entry is marked as truncated. For what comes from
    /// outside and has to leave a trail.
    Truncate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            targets: 32,
            target_id_bytes: 256,
            meta_bytes: 16 * 1024,
            meta_items: 512,
            meta_key_bytes: 128,
            meta_depth: 8,
            oversize: Oversize::Refuse,
        }
    }
}

impl Limits {
    /// Sets what happens to an event that is over a limit.
    pub fn with_oversize(mut self, oversize: Oversize) -> Self {
        self.oversize = oversize;
        self
    }

    /// Sets how many targets an event may have, 256 at most.
    pub fn with_targets(mut self, targets: usize) -> Self {
        self.targets = targets;
        self
    }

    /// Sets how many bytes a target's id may have, 512 at most.
    pub fn with_target_id_bytes(mut self, bytes: usize) -> Self {
        self.target_id_bytes = bytes;
        self
    }

    /// Sets how many bytes `meta` may have, 256 KiB at most.
    pub fn with_meta_bytes(mut self, bytes: usize) -> Self {
        self.meta_bytes = bytes;
        self
    }

    /// Sets how many keys and elements `meta` may have, 16,384 at most.
    pub fn with_meta_items(mut self, items: usize) -> Self {
        self.meta_items = items;
        self
    }

    /// Sets how many bytes a key of `meta` may have, 1,024 at most.
    pub fn with_meta_key_bytes(mut self, bytes: usize) -> Self {
        self.meta_key_bytes = bytes;
        self
    }

    /// Sets how deep `meta` may be nested, 64 at most.
    pub fn with_meta_depth(mut self, depth: usize) -> Self {
        self.meta_depth = depth;
        self
    }

    /// Within what the schema and the readers can take, whatever a host asks for.
    pub(crate) fn bounded(mut self) -> Self {
        self.targets = self.targets.min(256);
        self.target_id_bytes = self.target_id_bytes.min(512);
        self.meta_bytes = self.meta_bytes.min(256 * 1024);
        self.meta_items = self.meta_items.min(16 * 1024);
        self.meta_key_bytes = self.meta_key_bytes.min(1024);
        self.meta_depth = self.meta_depth.min(64);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(limits: &Limits) -> [usize; 6] {
        [
            limits.targets,
            limits.target_id_bytes,
            limits.meta_bytes,
            limits.meta_items,
            limits.meta_key_bytes,
            limits.meta_depth,
        ]
    }

    #[test]
    fn whatever_a_host_asks_for_stays_within_what_can_be_kept_and_read() {
        let limits = |size| {
            Limits::default()
                .with_targets(size)
                .with_target_id_bytes(size)
                .with_meta_bytes(size)
                .with_meta_items(size)
                .with_meta_key_bytes(size)
                .with_meta_depth(size)
        };
        let most = [256, 512, 262_144, 16_384, 1_024, 64];
        assert_eq!(sizes(&limits(usize::MAX).bounded()), most);
        for small in [0, 1, 64] {
            assert_eq!(sizes(&limits(small).bounded()), [small; 6]);
        }
        let given = Limits::default();
        assert_eq!(sizes(&given.clone().bounded()), sizes(&given));
    }
}
