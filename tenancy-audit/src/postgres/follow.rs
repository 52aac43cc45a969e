//! What was committed since a mark: what one snapshot of the log does not see and a later one does.
//!
//! Ids and times say nothing about this, since a transaction may stay open; the number of its transaction
//! stands in each entry, and a snapshot says of every transaction whether it was committed.

use tenancy_core::{TenantCtx, TenantDb, TenantTx};
use uuid::Uuid;

use super::{months::read, row::Row};
use crate::{Entry, Error, ErrorKind, Followed, Mark};

/// Entries that a look passes at most, whoever they belong to.
const MOST_LOOKED_AT: i32 = 10_000;

#[derive(sqlx::FromRow)]
struct FollowedRow {
    #[sqlx(flatten)]
    row: Row,
    txid: String,
}

/// Where a look ends, and whether something is behind it.
#[derive(sqlx::FromRow)]
struct Look {
    until: String,
    to_txid: String,
    to_entry: Uuid,
    more: bool,
}

/// What a mark says: all that `base` sees is passed; of what `until` sees, all up to an entry.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Position {
    base: String,
    within: Option<(String, String, Uuid)>,
}

pub(super) async fn mark(db: &TenantDb, ctx: &TenantCtx) -> Result<Mark, Error> {
    Ok(Mark::new(snapshot(&mut db.read(ctx).await?).await?))
}

pub(super) async fn follow(
    db: &TenantDb,
    ctx: &TenantCtx,
    mark: &Mark,
    most: u16,
) -> Result<Followed, Error> {
    let Position { base, within } = Position::read(mark)?;
    let (until, txid, id) = match within {
        Some((until, txid, id)) => (Some(until), txid, id),
        None => (None, "0".to_owned(), Uuid::nil()),
    };
    let mut tx = read(db, ctx).await?;
    let look: Look = sqlx::query_as(include_str!("sql/look.sql"))
        .bind(&base)
        .bind(until)
        .bind(&txid)
        .bind(id)
        .bind(MOST_LOOKED_AT)
        .fetch_one(&mut *tx)
        .await?;
    if look.until == base {
        return Ok(Followed::new(Vec::new(), Mark::new(base), false));
    }
    let most = most.clamp(1, 1_000);
    let rows: Vec<FollowedRow> = sqlx::query_as(include_str!("sql/follow.sql"))
        // A plan for any snapshots would not know how few entries lie between them.
        .persistent(false)
        .bind(ctx.tenant())
        .bind(&base)
        .bind(&look.until)
        .bind(txid)
        .bind(id)
        .bind(&look.to_txid)
        .bind(look.to_entry)
        .bind(i64::from(most))
        .fetch_all(&mut *tx)
        .await?;
    let last = rows.last().filter(|_| rows.len() == usize::from(most));
    let within = match last {
        Some(last) => Some((look.until.clone(), last.txid.clone(), last.row.id())),
        None if look.more => Some((look.until.clone(), look.to_txid, look.to_entry)),
        None => None,
    };
    let more = within.is_some();
    let base = if more { base } else { look.until };
    let entries = rows.into_iter().map(|row| Entry::from(row.row)).collect();
    Ok(Followed::new(
        entries,
        Position { base, within }.write(),
        more,
    ))
}

async fn snapshot(tx: &mut TenantTx) -> Result<String, Error> {
    let text = sqlx::query_scalar(include_str!("sql/snapshot.sql"));
    Ok(text.fetch_one(&mut **tx).await?)
}

impl Position {
    fn read(mark: &Mark) -> Result<Self, Error> {
        let parts: Vec<&str> = mark.as_str().split(';').collect();
        let is_snapshot = |text: &str| {
            let fits = |c: char| c.is_ascii_digit() || matches!(c, ':' | ',');
            text.split(':').count() == 3 && text.chars().all(fits)
        };
        let position = match parts[..] {
            [base] => Some((base, None)),
            [base, until, txid, id] => txid
                .parse::<u64>()
                .ok()
                .zip(id.parse().ok())
                .filter(|_| is_snapshot(until))
                .map(|(_, id)| (base, Some((until.to_owned(), txid.to_owned(), id)))),
            _ => None,
        };
        position
            .filter(|(base, _)| is_snapshot(base))
            .map(|(base, within)| Self {
                base: base.to_owned(),
                within,
            })
            .ok_or_else(|| {
                let message = "the mark can't be read";
                Error::new(ErrorKind::Cursor, "audit_mark_invalid", message)
            })
    }

    fn write(&self) -> Mark {
        Mark::new(match &self.within {
            None => self.base.clone(),
            Some((until, txid, id)) => format!("{};{until};{txid};{id}", self.base),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_as_it_was_written_and_no_other_text_is_one() {
        let within = Some(("7:9:8".to_owned(), "7".to_owned(), Uuid::max()));
        for within in [None, within] {
            let position = Position {
                base: "7:7:".to_owned(),
                within,
            };
            assert_eq!(Position::read(&position.write()).unwrap(), position);
        }
        for bad in [
            "",
            "7",
            "7:7",
            "a:b:",
            "7:7:;7:7:;x;y",
            "7:7:;;1;",
            "7:7:')--",
            "1;2;3",
        ] {
            let error = Position::read(&Mark::new(bad)).unwrap_err();
            assert_eq!(error.code(), "audit_mark_invalid", "{bad}");
        }
    }
}
