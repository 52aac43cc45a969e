//! Payment card numbers: the length, the first digits and the check digit fit.

use super::Found;

const LABEL: &str = "[redacted:card]";

/// The most digits that are put together: what is longer is no card, wherever it begins.
const MOST: usize = 19;

/// A stretch of digits.
#[derive(Clone, Copy)]
struct Chunk {
    from: usize,
    to: usize,
}

/// Chunks of digits with at most one space or hyphen between them, alone or put together: a card may stand
/// beside other numbers.
pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut chunks = Vec::new();
    while at < bytes.len() {
        let from = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if at > from {
            chunks.push(Chunk { from, to: at });
        }
        let joins = matches!(bytes.get(at), Some(b' ' | b'-'))
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !joins {
            cards(bytes, &chunks, found);
            chunks.clear();
        }
        at += 1;
    }
    cards(bytes, &chunks, found);
}

fn cards(bytes: &[u8], mut chunks: &[Chunk], found: &mut Vec<Found>) {
    while let [first, rest @ ..] = chunks {
        let used = longest(bytes, chunks);
        if let Some(last) = used.checked_sub(1).and_then(|at| chunks.get(at)) {
            found.push(Found {
                from: first.from,
                to: last.to,
                label: LABEL,
            });
            chunks = chunks.get(used..).unwrap_or_default();
        } else {
            chunks = rest;
        }
    }
}

/// How many chunks from the first on are a card together; 0 if they are none.
fn longest(bytes: &[u8], chunks: &[Chunk]) -> usize {
    let (mut digits, mut best) = (Vec::with_capacity(MOST), 0);
    let Some(from) = chunks.first().map(|chunk| chunk.from) else {
        return 0;
    };
    for (at, chunk) in chunks.iter().enumerate() {
        let part = bytes.get(chunk.from..chunk.to).unwrap_or_default();
        if digits.len() + part.len() > MOST {
            break;
        }
        digits.extend(part.iter().map(|digit| digit - b'0'));
        if is_card(&digits) && stands_alone(bytes, from, chunk.to) {
            best = at + 1;
        }
    }
    best
}

fn stands_alone(bytes: &[u8], from: usize, to: usize) -> bool {
    let part_of_more =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let before = from.checked_sub(1).and_then(|at| bytes.get(at));
    let after = bytes.get(to).filter(|byte| **byte != b'.');
    !before.is_some_and(part_of_more) && !after.is_some_and(part_of_more)
}

fn is_card(digits: &[u8]) -> bool {
    let first = |count: usize| {
        digits
            .iter()
            .take(count)
            .fold(0_u32, |number, digit| number * 10 + u32::from(*digit))
    };
    let issued = match digits.len() {
        14 => matches!(first(2), 36 | 38 | 39) || matches!(first(3), 300..=305),
        15 => matches!(first(2), 34 | 37),
        16 => {
            matches!(first(1), 4)
                || matches!(first(2), 51..=55 | 35 | 62 | 65)
                || matches!(first(3), 644..=649)
                || matches!(first(4), 2221..=2720 | 6011)
        }
        17..=19 => first(2) == 62,
        _ => false,
    };
    issued && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let doubled = |(at, digit): (usize, &u8)| match (at % 2, u32::from(*digit) * 2) {
        (0, _) => u32::from(*digit),
        (_, twice) if twice > 9 => twice - 9,
        (_, twice) => twice,
    };
    digits.iter().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}
