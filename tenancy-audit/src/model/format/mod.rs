//! Entries as others want to read them. The same entry gives the same bytes, always.

mod cloud_events;
mod csv;
pub(crate) mod ndjson;
mod ocsf;
mod work_os;

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use serde::{
    Serialize,
    ser::{SerializeMap as _, SerializeSeq as _},
};
use serde_json::{Map, Value};

use super::entry::Entry;
use crate::{Error, ErrorKind};

/// No target that a host recorded is longer; what somebody has put into the table may be.
#[cfg(any(test, feature = "webhooks"))]
const LONG_TARGET: usize = 640;

/// The shape of an export.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ExportFormat {
    /// An event of [CloudEvents 1.0](https://github.com/cloudevents/spec) in JSON, one a line; its data is the line of
    /// [`Ndjson`](Self::Ndjson).
    CloudEvents,
    /// A table by RFC 4180, with a head. A cell that a spreadsheet could take for a formula gets a `'` in
    /// front, and so does one that begins with a `'`: taking one `'` away gives the value back.
    Csv,
    /// The entry as it is kept, one JSON object a line.
    #[default]
    Ndjson,
    /// An event of the class API Activity (6003) of [OCSF 1.3.0](https://schema.ocsf.io/1.3.0), one a
    /// line; what has no place there is in `unmapped`.
    Ocsf,
    /// The `event` that [WorkOS takes into its audit logs](https://workos.com/docs/reference/audit-logs/event), one a
    /// line, with its limits: `metadata` has up to 50 keys of 40 letters, digits and `_-`, each with a number, a
    /// boolean or a text of 500 characters. What is nested in `meta` stands there as a text of JSON; what does not fit
    /// is left out and counted in `tenancy_left_out`. Of personal details only address and browser are told.
    WorkOs,
}

impl ExportFormat {
    /// Every format, in the order of their names.
    pub const ALL: [Self; 5] = [
        Self::CloudEvents,
        Self::Csv,
        Self::Ndjson,
        Self::Ocsf,
        Self::WorkOs,
    ];

    /// Its name, such as `cloudevents`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudEvents => "cloudevents",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Ocsf => "ocsf",
            Self::WorkOs => "workos",
        }
    }

    /// The media type of an export.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::CloudEvents | Self::Ndjson | Self::Ocsf | Self::WorkOs => "application/x-ndjson",
        }
    }

    /// What stands before the first entry: the head of a table, and nothing in other formats.
    pub fn head(self) -> &'static str {
        match self {
            Self::Csv => csv::HEAD,
            Self::CloudEvents | Self::Ndjson | Self::Ocsf | Self::WorkOs => "",
        }
    }

    /// Appends the entry and the end of its line.
    ///
    /// # Errors
    /// `audit_row_unreadable` for an entry that is no JSON, which no store gives out.
    pub fn write(self, entry: &Entry, out: &mut String) -> Result<(), Error> {
        self.put(entry, false, out)
    }

    /// Appends a document of the same shape without what may be long, and with `omitted`: for whoever can't take the
    /// whole of it. Its hash stays the whole entry's.
    #[cfg(any(test, feature = "webhooks"))]
    pub(crate) fn write_short(self, entry: &Entry, out: &mut String) -> Result<(), Error> {
        self.put(&short(entry), true, out)
    }

    fn put(self, entry: &Entry, omitted: bool, out: &mut String) -> Result<(), Error> {
        match self {
            Self::CloudEvents => cloud_events::line(entry, omitted, out),
            Self::Csv => csv::line(entry, out),
            Self::Ndjson => ndjson::line(entry, omitted, out),
            Self::Ocsf => ocsf::line(entry, omitted, out),
            Self::WorkOs => work_os::line(entry, omitted, out),
        }
    }
}

#[cfg(any(test, feature = "webhooks"))]
fn short(entry: &Entry) -> Entry {
    let created_at = entry.created_at;
    let mut record = entry.clone().into_record();
    record.targets.truncate(1);
    record
        .targets
        .retain(|first| first.kind.len() + first.id.len() <= LONG_TARGET);
    for part in [
        &mut record.context,
        &mut record.personal,
        &mut record.commitments,
        &mut record.meta,
    ] {
        part.clear();
    }
    Entry::new(record, created_at)
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ExportFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut known = Self::ALL.into_iter();
        known.find(|format| format.as_str() == text).ok_or_else(|| {
            let message = "an export is `cloudevents`, `csv`, `ndjson`, `ocsf` or `workos`";
            Error::invalid("audit_format_invalid", message)
        })
    }
}

/// Appends a value as JSON; nothing of it after an error.
fn put(value: &impl Serialize, out: &mut String) -> Result<(), Error> {
    let unreadable = || {
        let message = "an entry can't be written as JSON";
        Error::new(ErrorKind::Internal, "audit_row_unreadable", message)
    };
    let mut bytes = Vec::with_capacity(1_024);
    serde_json::to_writer(&mut bytes, value).map_err(|_| unreadable())?;
    out.push_str(str::from_utf8(&bytes).map_err(|_| unreadable())?);
    Ok(())
}

/// As `2026-01-31T12:00:00.000000Z`.
fn time(at: DateTime<Utc>) -> String {
    let mut text = String::with_capacity("2026-01-31T12:00:00.000000Z".len());
    match u32::try_from(at.year()) {
        Ok(year @ ..=9_999) => digits(year, 4, &mut text),
        _ => text = format!("{:04}", at.year()),
    }
    for (mark, number) in [
        ('-', at.month()),
        ('-', at.day()),
        ('T', at.hour()),
        (':', at.minute()),
        (':', at.second()),
    ] {
        text.push(mark);
        digits(number, 2, &mut text);
    }
    text.push('.');
    // A leap second is kept in what follows it.
    let micros = at.nanosecond() / 1_000;
    digits(micros, if micros < 1_000_000 { 6 } else { 7 }, &mut text);
    text.push('Z');
    text
}

/// Appends so many digits of a number.
fn digits(number: u32, count: u32, out: &mut String) {
    for place in (0..count).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        out.push(char::from_digit(digit, 10).unwrap_or_default());
    }
}

/// Keys in order, even where a host has switched on `preserve_order` of `serde_json`.
#[derive(Clone, Copy)]
struct Sorted<'a>(&'a Map<String, Value>);

struct SortedValue<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        if self.0.keys().is_sorted() {
            for (key, value) in self.0 {
                map.serialize_entry(key, &SortedValue(value))?;
            }
        } else {
            let mut entries: Vec<_> = self.0.iter().collect();
            entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
            for (key, value) in entries {
                map.serialize_entry(key, &SortedValue(value))?;
            }
        }
        map.end()
    }
}

impl Serialize for SortedValue<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(map) => Sorted(map).serialize(serializer),
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&SortedValue(item))?;
                }
                list.end()
            }
            other => other.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;
