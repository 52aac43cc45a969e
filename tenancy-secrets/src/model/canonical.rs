//! Bytes that mean one thing only: every part with its length in front.

pub(crate) struct Canonical(Vec<u8>);

impl Canonical {
    pub(crate) fn new(domain: &[u8]) -> Self {
        Self(Vec::with_capacity(192)).part(domain)
    }

    /// Adds a part. Parts longer than `u32::MAX` don't occur: every input is bounded.
    pub(crate) fn part(mut self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}
