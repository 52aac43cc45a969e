//! What was committed since a mark: what one snapshot of the database does not see and a later one does.
//!
//! Ids and times say nothing about this, since a transaction may stay open; the number of its transaction
//! stands in each entry, and a snapshot says of every transaction whether it was committed.

use tenancy_core::{TenantCtx, TenantDb, TenantTx};
use uuid::Uuid;

use super::row::Row;
use crate::{Entry, Error, ErrorKind, Followed, Mark};

#[derive(sqlx::FromRow)]
struct FollowedRow {
    #[sqlx(flatten)]
    row: Row,
    txid: String,
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
    let mut tx = db.read(ctx).await?;
    let (until, txid, id) = match within {
        Some(within) => within,
        None => (snapshot(&mut tx).await?, "0".to_owned(), Uuid::nil()),
    };
    if until == base {
        return Ok(Followed::new(Vec::new(), Mark::new(base), false));
    }
    let most = most.clamp(1, 1_000);
    let rows: Vec<FollowedRow> = sqlx::query_as(include_str!("sql/follow.sql"))
        // A plan for any snapshots would not know how few entries lie between them.
        .persistent(false)
        .bind(ctx.tenant())
        .bind(&base)
        .bind(&until)
        .bind(txid)
        .bind(id)
        .bind(i64::from(most))
        .fetch_all(&mut *tx)
        .await?;
    let full = rows.len() == usize::from(most);
    let last = rows.last().filter(|_| full);
    let next = match last {
        Some(last) => Position {
            within: Some((until, last.txid.clone(), last.row.id())),
            base,
        },
        None => Position {
            base: until,
            within: None,
        },
    };
    let entries = rows.into_iter().map(|row| Entry::from(row.row)).collect();
    Ok(Followed::new(entries, next.write(), full))
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
