//! Times as an export writes them.

use chrono::{DateTime, NaiveDate, Utc};

use super::scan::Scan;

/// `2025-07-01T12:00:00.000000Z`
pub(super) fn time(scan: &mut Scan<'_>) -> Option<DateTime<Utc>> {
    let mut number = |digits: usize, behind: &str| {
        let text = scan.exactly(digits)?;
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        scan.literal(behind)?;
        let digit = |number: u32, byte: u8| number * 10 + u32::from(byte - b'0');
        plain.then(|| text.bytes().fold(0, digit))
    };
    let year = i32::try_from(number(4, "-")?).ok()?;
    let (month, day) = (number(2, "-")?, number(2, "T")?);
    let (hour, minute, second) = (number(2, ":")?, number(2, ":")?, number(2, ".")?);
    let micros = number(6, "Z")?;
    if second > 59 {
        return None;
    }
    let day = NaiveDate::from_ymd_opt(year, month, day)?;
    Some(
        day.and_hms_micro_opt(hour, minute, second, micros)?
            .and_utc(),
    )
}
