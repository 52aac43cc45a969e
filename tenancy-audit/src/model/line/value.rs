//! JSON straight into canonical bytes.

use std::borrow::Cow;

use super::scan::Scan;
use crate::model::{canonical::Encoder, number};

/// What the parser of JSON takes, too.
const DEEPEST: usize = 100;

/// An object whose keys stand in order, each once.
pub(super) fn object(scan: &mut Scan<'_>, encoder: &mut Encoder) -> Option<()> {
    object_at(scan, encoder, 1)
}

fn object_at(scan: &mut Scan<'_>, encoder: &mut Encoder, depth: usize) -> Option<()> {
    scan.literal("{")?;
    let place = encoder.object_begins();
    let (mut count, mut before) = (0, None::<Cow<'_, str>>);
    while !scan.takes("}") {
        if count > 0 {
            scan.literal(",")?;
        }
        let key = scan.string()?;
        if !follows(before.as_ref(), &key) {
            return None;
        }
        scan.literal(":")?;
        encoder.text(&key);
        value(scan, encoder, depth)?;
        before = Some(key);
        count += 1;
    }
    encoder.counted(place, count);
    Some(())
}

/// Whether a key stands behind the one before: in order means that none is there twice.
pub(super) fn follows(before: Option<&Cow<'_, str>>, key: &str) -> bool {
    before.is_none_or(|before| before.as_bytes() < key.as_bytes())
}

/// A value that lies so deep.
pub(super) fn value(scan: &mut Scan<'_>, encoder: &mut Encoder, depth: usize) -> Option<()> {
    match scan.peek()? {
        b'{' if depth < DEEPEST => object_at(scan, encoder, depth + 1),
        b'[' if depth < DEEPEST => array(scan, encoder, depth + 1),
        b'"' => {
            let text = scan.string()?;
            encoder.string(&text);
            Some(())
        }
        b'n' => {
            scan.literal("null")?;
            encoder.null();
            Some(())
        }
        b't' | b'f' => {
            encoder.bool(scan.flag()?);
            Some(())
        }
        b'-' | b'0'..=b'9' => number(scan, encoder),
        _ => None,
    }
}

fn array(scan: &mut Scan<'_>, encoder: &mut Encoder, depth: usize) -> Option<()> {
    scan.literal("[")?;
    let place = encoder.array_begins();
    let mut count = 0;
    while !scan.takes("]") {
        if count > 0 {
            scan.literal(",")?;
        }
        value(scan, encoder, depth)?;
        count += 1;
    }
    encoder.counted(place, count);
    Some(())
}

fn number(scan: &mut Scan<'_>, encoder: &mut Encoder) -> Option<()> {
    let text = scan.while_(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
    // What is no whole number is the parser's: it knows whether a float is exact.
    encoder.number(&number::normal_integer(text)?);
    Some(())
}
