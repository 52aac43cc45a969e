//! A tenant's rows as lines of JSON, from one snapshot.

use std::{io, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use super::{Table, require, sql, tables};
use crate::{Error, ErrorKind, ExportOptions, ExportSummary, OperatorDb, TenantId};

/// What is collected before it is written: enough to make few writes, and a bound.
const BUFFER: usize = 64 * 1024;

/// Columns that hold a hash by which something secret is found.
const SECRET_HASHES: [&str; 3] = ["key_hash", "secret_hash", "token_hash"];

/// Not for longer than the options say: a reader who takes nothing would otherwise keep a snapshot
/// open, and Postgres from clearing dead rows away.
pub(crate) async fn export<W: AsyncWrite + Send + Unpin>(
    operator: &OperatorDb,
    tenant: TenantId,
    options: &ExportOptions,
    out: &mut W,
) -> Result<ExportSummary, Error> {
    let exporting = whole(operator, tenant, options, out);
    let message = "the export took longer than it may";
    timeout(options.time, exporting)
        .await
        .map_err(|_| Error::new(ErrorKind::Limit, "export_too_long", message))?
}

async fn whole<W: AsyncWrite + Send + Unpin>(
    operator: &OperatorDb,
    tenant: TenantId,
    options: &ExportOptions,
    out: &mut W,
) -> Result<ExportSummary, Error> {
    let mut tx = operator.snapshot_of(tenant).await?;
    let taken: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(&mut *tx)
        .await?;
    let tables = tables(&mut tx).await?;
    require(&tables, "SELECT")?;
    let parts: Vec<Part> = tables
        .iter()
        .map(|table| Part::of(table, options))
        .collect();
    let mut lines = Lines::new(out, options.patience);
    lines.write(&manifest(tenant, taken, &parts)).await?;
    let mut summary = ExportSummary::new(taken);
    for part in parts.iter().filter(|part| !part.columns.is_empty()) {
        let rows = part.write(&mut tx, tenant, &mut lines).await?;
        summary.rows.insert(part.table.name.clone(), rows);
    }
    lines.finish(summary).await
}

/// A table, with the columns that are exported and why the others are not.
struct Part<'a> {
    table: &'a Table,
    columns: Vec<&'a super::Column>,
    omitted: Vec<(&'a str, &'a str)>,
}

impl<'a> Part<'a> {
    fn of(table: &'a Table, options: &'a ExportOptions) -> Self {
        let (mut columns, mut omitted) = (Vec::new(), Vec::new());
        for column in &table.columns.0 {
            let secret = table.of_the_family && SECRET_HASHES.contains(&column.name.as_str());
            let why = if secret || !column.open {
                Some("the app may not read it, or it finds something secret")
            } else {
                options.omits(&table.name, &column.name)
            };
            match why {
                Some(why) => omitted.push((column.name.as_str(), why)),
                None => columns.push(column),
            }
        }
        Self {
            table,
            columns,
            omitted,
        }
    }

    fn described(&self) -> serde_json::Value {
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|column| json!({ "name": column.name, "type": column.data_type }))
            .collect();
        let omitted: Vec<_> = self
            .omitted
            .iter()
            .map(|(name, why)| json!({ "name": name, "why": why }))
            .collect();
        json!({ "table": self.table.name, "columns": columns, "omitted": omitted })
    }

    /// Streams the rows: one at a time is in memory, beside the buffer.
    async fn write<W: AsyncWrite + Send + Unpin>(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        lines: &mut Lines<'_, W>,
    ) -> Result<u64, Error> {
        let names: Vec<&str> = self.columns.iter().map(|c| c.quoted.as_str()).collect();
        let statement = sql::rows(self.table, &names, tenant);
        let mut rows = sqlx::query_scalar::<_, String>(statement)
            .persistent(false)
            .fetch(conn);
        let start = format!("{{\"table\":{},\"row\":", json!(self.table.name));
        let mut count = 0;
        while let Some(row) = rows.try_next().await? {
            lines.write(&format!("{start}{row}}}")).await?;
            count += 1;
        }
        Ok(count)
    }
}

fn manifest(tenant: TenantId, taken: DateTime<Utc>, parts: &[Part<'_>]) -> String {
    let tables: Vec<_> = parts.iter().map(Part::described).collect();
    json!({
        "format": ExportSummary::FORMAT,
        "tenant": tenant,
        "snapshot_at": taken,
        "tables": tables,
    })
    .to_string()
}

/// Writes lines and hashes them.
struct Lines<'a, W> {
    out: &'a mut W,
    patience: Duration,
    buffer: Vec<u8>,
    hash: Sha256,
    bytes: u64,
}

impl<'a, W: AsyncWrite + Send + Unpin> Lines<'a, W> {
    fn new(out: &'a mut W, patience: Duration) -> Self {
        Self {
            out,
            patience,
            buffer: Vec::with_capacity(BUFFER),
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    async fn write(&mut self, line: &str) -> Result<(), Error> {
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.hash.update(&self.buffer);
        self.bytes += self.buffer.len() as u64;
        in_time(self.patience, self.out.write_all(&self.buffer)).await?;
        self.buffer.clear();
        Ok(())
    }

    /// The last line says what was before it: without it an export is cut off.
    async fn finish(mut self, mut summary: ExportSummary) -> Result<ExportSummary, Error> {
        self.flush().await?;
        summary.bytes = self.bytes;
        summary.sha256 = hex::encode(self.hash.clone().finalize());
        let last = summary.to_line();
        in_time(self.patience, self.out.write_all(last.as_bytes())).await?;
        in_time(self.patience, self.out.flush()).await?;
        Ok(summary)
    }
}

/// What is written, unless nobody takes it.
async fn in_time(
    patience: Duration,
    writing: impl Future<Output = io::Result<()>>,
) -> Result<(), Error> {
    let written = timeout(patience, writing).await;
    written
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|io| sink(&io))
}

fn sink(io: &io::Error) -> Error {
    let message = format!("the export can't be written: {}", io.kind());
    Error::new(ErrorKind::Unavailable, "export_sink", message)
}
