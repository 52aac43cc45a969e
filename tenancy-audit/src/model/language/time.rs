//! Times as people type them: a year, a month, a day, an instant; up to, from, between.

use chrono::{
    DateTime, Months, NaiveDate, NaiveDateTime, NaiveTime, SubsecRound as _, TimeDelta, Utc,
};

use super::{error::QueryError, lexer::Value};
use crate::model::query::TimeRange;

const EXPECTED: &str = "a time (`2026`, `2026-01`, `2026-01-31`, `2026-01-31T12:00:00Z`), `>=`, `>`, `<` or `<=` and a time, or two with `..`";

/// From the first instant of a stretch up to the first one behind it.
type Stretch = (DateTime<Utc>, DateTime<Utc>);

/// What `created:` means.
pub(super) fn range(value: &Value) -> Result<TimeRange, QueryError> {
    read(value).ok_or_else(|| QueryError::value(value, EXPECTED))
}

fn read(value: &Value) -> Option<TimeRange> {
    let (text, all) = (&*value.text, TimeRange::new());
    if let Some((from, to)) = text.split_once("..") {
        let all_until = from == "*";
        // The star at the end is not part of the text.
        let no_end = value.open && to.is_empty();
        if (value.open && !no_end) || (all_until && no_end) {
            return None;
        }
        return Some(TimeRange {
            from: if all_until {
                None
            } else {
                Some(stretch(from)?.0)
            },
            to: if no_end { None } else { Some(stretch(to)?.1) },
        });
    }
    if value.open {
        return None;
    }
    Some(if let Some(text) = text.strip_prefix(">=") {
        all.with_from(stretch(text)?.0)
    } else if let Some(text) = text.strip_prefix('>') {
        all.with_from(stretch(text)?.1)
    } else if let Some(text) = text.strip_prefix("<=") {
        all.with_to(stretch(text)?.1)
    } else if let Some(text) = text.strip_prefix('<') {
        all.with_to(stretch(text)?.0)
    } else {
        let (from, to) = stretch(text)?;
        all.with_from(from).with_to(to)
    })
}

fn stretch(text: &str) -> Option<Stretch> {
    if text.contains('T') {
        return instant(text);
    }
    let mut parts = text.split('-');
    let mut number = |len: usize| match parts.next() {
        None => Some(None),
        Some(part) if part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Some(part.parse::<u32>().ok()?))
        }
        Some(_) => None,
    };
    let (year, month, day) = (number(4)??, number(2)?, number(2)?);
    if parts.next().is_some() {
        return None;
    }
    let first = NaiveDate::from_ymd_opt(year.cast_signed(), month.unwrap_or(1), day.unwrap_or(1))?;
    let behind = match (month, day) {
        (_, Some(_)) => first.succ_opt()?,
        (Some(_), None) => first.checked_add_months(Months::new(1))?,
        (None, _) => first.checked_add_months(Months::new(12))?,
    };
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    Some((midnight(first), midnight(behind)))
}

/// An instant with a zone. It lasts as long as the last unit that was typed.
fn instant(text: &str) -> Option<Stretch> {
    let begins = text.strip_suffix('Z');
    let minute = begins.and_then(|text| {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M")
            .ok()
            .map(|at| at.and_utc())
    });
    let (from, unit) = if let Some(at) = minute {
        (at, TimeDelta::minutes(1))
    } else {
        let at = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
        let unit = if text.contains('.') {
            TimeDelta::microseconds(1)
        } else {
            TimeDelta::seconds(1)
        };
        (at.trunc_subsecs(6), unit)
    };
    Some((from, from.checked_add_signed(unit)?))
}
