//! What an export of a tenant holds, and whether it is whole.

use std::{collections::BTreeMap, io::BufRead, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Error, ErrorKind};

/// What an export leaves out, beside what the app itself may not read and hashes of secrets; and how
/// long it may take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportOptions {
    /// How long all of it may take; 6 hours by default. While it runs it holds a snapshot and one of
    /// the operator's few connections.
    pub time: Duration,
    /// How long a reader may leave 64 KiB lying; a minute by default.
    pub patience: Duration,
    without: Vec<(String, Option<String>, String)>,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            time: Duration::from_hours(6),
            patience: Duration::from_mins(1),
            without: Vec::new(),
        }
    }
}

impl ExportOptions {
    /// Sets how long all of it may take.
    pub fn with_time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Sets how long a reader may leave 64 KiB lying.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Leaves out a column, or a whole table, and says in the manifest why. The table is named
    /// with its schema, as in `public.invoices`.
    pub fn without(
        mut self,
        table: impl Into<String>,
        column: Option<&str>,
        why: impl Into<String>,
    ) -> Self {
        let column = column.map(ToOwned::to_owned);
        self.without.push((table.into(), column, why.into()));
        self
    }

    pub(crate) fn omits(&self, table: &str, column: &str) -> Option<&str> {
        let named = |(of, only, _): &&(String, Option<String>, String)| {
            of == table && only.as_deref().is_none_or(|only| only == column)
        };
        self.without
            .iter()
            .find(named)
            .map(|(_, _, why)| why.as_str())
    }
}

/// What an export holds: its last line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExportSummary {
    /// When the snapshot was taken, by the database's clock.
    pub snapshot_at: DateTime<Utc>,
    /// How many rows of each table it holds.
    pub rows: BTreeMap<String, u64>,
    /// How many bytes there are before the last line.
    pub bytes: u64,
    /// SHA-256 of these bytes, as hexadecimal digits.
    pub sha256: String,
}

#[derive(Deserialize, Serialize)]
struct LastLine<T> {
    end: T,
}

impl ExportSummary {
    /// The format that the first line names.
    pub const FORMAT: &'static str = "tenancy-export/1";

    pub(crate) fn new(snapshot_at: DateTime<Utc>) -> Self {
        Self {
            snapshot_at,
            rows: BTreeMap::new(),
            bytes: 0,
            sha256: String::new(),
        }
    }

    /// How many rows there are in all.
    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }

    pub(crate) fn to_line(&self) -> String {
        // A map of numbers and texts has no way to fail.
        let line = serde_json::to_string(&LastLine { end: self }).unwrap_or_default();
        line + "\n"
    }

    /// Reads an export and checks that nothing of it is missing or changed.
    ///
    /// The sum is no signature: it finds what was cut off or damaged, not who did it on purpose.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) `export_incomplete` or `export_damaged`;
    /// [`Unavailable`](ErrorKind::Unavailable) if it can't be read.
    pub fn check(mut export: impl BufRead) -> Result<Self, Error> {
        let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
        let (mut last, mut line) = (Vec::new(), Vec::new());
        loop {
            line.clear();
            let read = export.read_until(b'\n', &mut line).map_err(|io| {
                let message = format!("the export can't be read: {}", io.kind());
                Error::new(ErrorKind::Unavailable, "export_unreadable", message)
            })?;
            if read == 0 {
                break;
            }
            hash.update(&last);
            bytes += last.len() as u64;
            std::mem::swap(&mut last, &mut line);
        }
        let incomplete = || Error::invalid("export_incomplete", "the export has been cut off");
        if last.last() != Some(&b'\n') {
            return Err(incomplete());
        }
        let LastLine { end } =
            serde_json::from_slice::<LastLine<Self>>(&last).map_err(|_| incomplete())?;
        if end.bytes != bytes || end.sha256 != hex::encode(hash.finalize()) {
            let message = "the export has been damaged";
            return Err(Error::invalid("export_damaged", message));
        }
        Ok(end)
    }
}
