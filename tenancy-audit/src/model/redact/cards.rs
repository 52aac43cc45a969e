//! Payment card numbers: the length, the first digits and the check digit fit.

use super::Found;

const LABEL: &str = "[redacted:card]";

/// Groups of digits with at most one space or hyphen between them.
pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if !byte.is_ascii_digit() {
            at += 1;
            continue;
        }
        let (digits, end) = group(bytes, at);
        if stands_alone(bytes, at, end) && is_card(&digits) {
            found.push(Found {
                from: at,
                to: end,
                label: LABEL,
            });
        }
        at = end;
    }
}

/// The digits from here on, and where they end. Never longer than a card can be by much.
fn group(bytes: &[u8], from: usize) -> (Vec<u8>, usize) {
    let mut digits = Vec::new();
    let (mut at, mut end) = (from, from);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {
                digits.push(byte - b'0');
                end = at + 1;
            }
            b' ' | b'-' if at == end => {}
            _ => break,
        }
        at += 1;
    }
    (digits, end)
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
                || matches!(first(2), 51..=55 | 35 | 65)
                || matches!(first(4), 2221..=2720 | 6011)
        }
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
