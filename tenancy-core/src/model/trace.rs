//! Where a request stands in a distributed trace (W3C Trace Context).

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::InvalidInput;

/// The id of a trace: 16 bytes, not all zero, shown as 32 lower-case hexadecimal digits.
///
/// ```
/// use tenancy_core::TraceId;
///
/// let id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
/// assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert!("4BF92F3577B34DA6A3CE929D0E0E4736".parse::<TraceId>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TraceId([u8; 16]);

/// The header `traceparent`: the trace, the caller's place in it, and its flags.
///
/// ```
/// use tenancy_core::Traceparent;
///
/// let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parsed: Traceparent = given.parse().unwrap();
/// assert_eq!(parsed.to_string(), given);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Traceparent {
    trace: TraceId,
    parent: [u8; 8],
    flags: u8,
}

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The flags that are defined: sampled, and random trace id. Others are not passed on.
const FLAGS: u8 = 0b11;

impl TraceId {
    fn random() -> Self {
        // A version 4 uuid is never all zero.
        Self(Uuid::new_v4().into_bytes())
    }
}

impl Traceparent {
    /// Starts a trace of its own, not sampled.
    #[expect(clippy::new_without_default, reason = "two defaults would differ")]
    pub fn new() -> Self {
        let random = Uuid::new_v4().into_bytes();
        let mut parent = [0; 8];
        parent.copy_from_slice(random.split_at(8).0);
        Self {
            trace: TraceId::random(),
            parent,
            flags: 0,
        }
    }

    /// The trace.
    pub fn trace(&self) -> TraceId {
        self.trace
    }

    fn read(text: &str) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let mut fields = known.split('-');
        let [version] = digits(fields.next()?)?;
        // What a later version adds stands behind the fields of the first, after a hyphen.
        let complete = rest.is_empty() || (version > 0 && rest.starts_with('-'));
        let trace = TraceId(digits(fields.next()?)?);
        let parent: [u8; 8] = digits(fields.next()?)?;
        let [flags] = digits(fields.next()?)?;
        let zero = trace.0 == [0; 16] || parent == [0; 8];
        (complete && !zero && version != 0xff && fields.next().is_none()).then_some(Self {
            trace,
            parent,
            flags: flags & FLAGS,
        })
    }
}

/// Lower-case hexadecimal digits for exactly `N` bytes.
fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    let mut bytes = [0; N];
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

impl FromStr for TraceId {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let id = digits(text).filter(|bytes| *bytes != [0; 16]).map(Self);
        id.ok_or_else(|| InvalidInput::new("trace_id_invalid", "this is no trace id"))
    }
}

impl FromStr for Traceparent {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        Self::read(text)
            .ok_or_else(|| InvalidInput::new("traceparent_invalid", "this is no traceparent"))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace,
            parent,
            flags,
        } = self;
        write!(f, "00-{trace}-{}-{flags:02x}", hex::encode(parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_no_traceparent_is_refused() {
        let zeros = |from: &str| GOOD.replace(from, &"0".repeat(from.len()));
        for bad in [
            "",
            "00",
            &GOOD.replace("4bf9", "4BF9"),
            &GOOD.replace("4bf9", "4bg9"),
            &zeros("4bf92f3577b34da6a3ce929d0e0e4736"),
            &zeros("00f067aa0ba902b7"),
            &format!("ff{}", &GOOD[2..]),
            &format!("{GOOD}-more"),
            &format!("cc{}more", &GOOD[2..]),
            &GOOD.replace('-', "ä"),
            &GOOD[1..],
            &format!(" {GOOD}"),
        ] {
            assert!(bad.parse::<Traceparent>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("cc{}-what-comes", GOOD[2..].replace("-01", "-ff"));
        let read: Traceparent = later.parse().unwrap();
        assert_eq!(read.to_string(), GOOD.replace("-01", "-03"));
    }

    #[test]
    fn a_trace_that_is_made_is_one_that_is_taken() {
        let made = Traceparent::new();
        assert_eq!(made.to_string().parse::<Traceparent>().unwrap(), made);
        assert_ne!(made.trace(), Traceparent::new().trace());
    }
}
