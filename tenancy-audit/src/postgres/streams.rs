//! Streams in the database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Decode, Postgres, Type, postgres::PgArguments, query::QueryScalar};
use tenancy_core::{TenantId, WorkerDb};
use uuid::Uuid;

use super::{row::Row, unknown_word};
use crate::{Entry, Error, ErrorKind, StreamStart, StreamState};

/// Reads entries of all tenants for streams, and keeps their places.
#[derive(Clone, Debug)]
pub(crate) struct PgStreams(WorkerDb);

/// What became of the wish to hold a stream.
#[derive(Debug)]
pub(crate) enum HoldState {
    /// Somebody else has it.
    Busy,
    Held(Hold),
    Parked {
        code: String,
    },
    /// It began in another cluster.
    Restored,
    Unknown,
    /// It is not time to try again.
    Waiting {
        code: String,
        wait: Duration,
    },
}

/// A stream that is held.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) fence: i64,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Everything below this transaction is final.
    pub(crate) below: String,
}

#[derive(sqlx::FromRow)]
struct HoldRow {
    state: String,
    fence: Option<i64>,
    failures: Option<i32>,
    code: Option<String>,
    wait_ms: Option<i64>,
    below: String,
}

/// Behind which entry to go on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    txid: String,
    tenant: TenantId,
    entry: Uuid,
}

#[derive(sqlx::FromRow)]
struct StreamRow {
    #[sqlx(flatten)]
    row: Row,
    txid: String,
}

#[derive(sqlx::FromRow)]
struct PlaceRow {
    txid: String,
    tenant_id: TenantId,
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct ListRow {
    name: String,
    tenant: Option<TenantId>,
    delivered: i64,
    delivered_at: Option<DateTime<Utc>>,
    failures: i32,
    code: Option<String>,
    parked_at: Option<DateTime<Utc>>,
    running: bool,
    restored: bool,
    waiting_since: Option<DateTime<Utc>>,
}

impl Place {
    /// Before everything that transactions from this one on have written.
    pub(crate) fn below(txid: &str) -> Self {
        Self {
            txid: txid.to_owned(),
            tenant: TenantId::from_uuid(Uuid::nil()),
            entry: Uuid::nil(),
        }
    }
}

impl HoldRow {
    fn into_state(self) -> Result<HoldState, Error> {
        let code = self.code.unwrap_or_default();
        Ok(match (self.state.as_str(), self.fence) {
            ("held", Some(fence)) => HoldState::Held(Hold {
                fence,
                failures: self.failures.unwrap_or(0).unsigned_abs(),
                below: self.below,
            }),
            ("waiting", _) => HoldState::Waiting {
                code,
                wait: Duration::from_millis(self.wait_ms.unwrap_or(0).unsigned_abs()),
            },
            ("parked", _) => HoldState::Parked { code },
            ("busy", _) => HoldState::Busy,
            ("restored", _) => HoldState::Restored,
            ("unknown", _) => HoldState::Unknown,
            _ => return Err(unknown_word("a stream").into()),
        })
    }
}

impl PgStreams {
    pub(crate) fn new(worker: WorkerDb) -> Self {
        Self(worker)
    }

    async fn ask<T>(&self, call: QueryScalar<'_, Postgres, T, PgArguments>) -> Result<T, Error>
    where
        T: Send + Unpin + Type<Postgres> + for<'r> Decode<'r, Postgres>,
    {
        Ok(call.fetch_one(self.0.pool()).await?)
    }

    pub(crate) async fn open(
        &self,
        name: &str,
        tenant: Option<TenantId>,
        start: StreamStart,
    ) -> Result<(), Error> {
        let call = sqlx::query_scalar(include_str!("sql/stream_open.sql"));
        let call = call
            .bind(name)
            .bind(tenant)
            .bind(start == StreamStart::Beginning);
        let state: String = self.ask(call).await?;
        if state == "other" {
            let message = "there is a stream of this name for another tenant";
            return Err(Error::new(
                ErrorKind::Conflict,
                "audit_stream_other",
                message,
            ));
        }
        Ok(())
    }

    pub(crate) async fn hold(
        &self,
        name: &str,
        fence: i64,
        seconds: i32,
    ) -> Result<HoldState, Error> {
        let row: HoldRow = sqlx::query_as(include_str!("sql/stream_hold.sql"))
            .bind(name)
            .bind(fence)
            .bind(seconds)
            .fetch_one(self.0.pool())
            .await?;
        row.into_state()
    }

    /// Where a look of a stream of one tenant ends; `None` if that is the end, or for a stream of all.
    pub(crate) async fn look(
        &self,
        name: &str,
        fence: i64,
        below: &str,
        most: i32,
    ) -> Result<Option<Place>, Error> {
        let row: Option<PlaceRow> = sqlx::query_as(include_str!("sql/stream_look.sql"))
            .bind(name)
            .bind(fence)
            .bind(below)
            .bind(most)
            .fetch_optional(self.0.pool())
            .await?;
        Ok(row.map(|row| Place {
            txid: row.txid,
            tenant: row.tenant_id,
            entry: row.id,
        }))
    }

    /// The next entries up to a place, each with its own.
    pub(crate) async fn read(
        &self,
        name: &str,
        fence: i64,
        to: &Place,
        most: u16,
    ) -> Result<Vec<(Entry, Place)>, Error> {
        let rows: Vec<StreamRow> = sqlx::query_as(include_str!("sql/stream_read.sql"))
            .bind(name)
            .bind(fence)
            .bind(&to.txid)
            .bind(to.tenant)
            .bind(to.entry)
            .bind(i32::from(most))
            .fetch_all(self.0.pool())
            .await?;
        let entry = |row: StreamRow| {
            let entry = Entry::from(row.row);
            let place = Place {
                txid: row.txid,
                tenant: entry.tenant,
                entry: entry.id.as_uuid(),
            };
            (entry, place)
        };
        Ok(rows.into_iter().map(entry).collect())
    }

    /// Whether the stream is held still.
    pub(crate) async fn advance(
        &self,
        name: &str,
        fence: i64,
        place: &Place,
        delivered: i64,
        seconds: i32,
    ) -> Result<bool, Error> {
        let call = sqlx::query_scalar(include_str!("sql/stream_advance.sql"))
            .bind(name)
            .bind(fence)
            .bind(&place.txid)
            .bind(place.tenant)
            .bind(place.entry)
            .bind(delivered)
            .bind(seconds);
        let state: String = self.ask(call).await?;
        Ok(state == "done")
    }

    /// Whether the stream is held still.
    pub(crate) async fn fail(
        &self,
        name: &str,
        fence: i64,
        code: &str,
        wait: Duration,
        park: bool,
    ) -> Result<bool, Error> {
        // A target's code is any text; the column holds 1 to 64 bytes.
        let code = match code.get(..code.floor_char_boundary(64)) {
            None | Some("") => "unnamed",
            Some(code) => code,
        };
        let call = sqlx::query_scalar(include_str!("sql/stream_fail.sql"))
            .bind(name)
            .bind(fence)
            .bind(code)
            .bind(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
            .bind(park);
        let state: String = self.ask(call).await?;
        Ok(state == "done")
    }

    pub(crate) async fn release(&self, name: &str, fence: i64) -> Result<(), Error> {
        sqlx::query(include_str!("sql/stream_release.sql"))
            .bind(name)
            .bind(fence)
            .execute(self.0.pool())
            .await?;
        Ok(())
    }

    pub(crate) async fn resume(&self, name: &str) -> Result<bool, Error> {
        let call = sqlx::query_scalar(include_str!("sql/stream_resume.sql")).bind(name);
        self.ask(call).await
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<bool, Error> {
        let call = sqlx::query_scalar(include_str!("sql/stream_drop.sql")).bind(name);
        self.ask(call).await
    }

    pub(crate) async fn list(&self) -> Result<Vec<StreamState>, Error> {
        let rows: Vec<ListRow> = sqlx::query_as(include_str!("sql/stream_list.sql"))
            .fetch_all(self.0.pool())
            .await?;
        Ok(rows.into_iter().map(StreamState::from).collect())
    }
}

impl From<ListRow> for StreamState {
    fn from(row: ListRow) -> Self {
        Self {
            name: row.name,
            tenant: row.tenant,
            delivered: row.delivered.unsigned_abs(),
            delivered_at: row.delivered_at,
            failures: row.failures.unsigned_abs(),
            code: row.code,
            parked_at: row.parked_at,
            running: row.running,
            restored: row.restored,
            waiting_since: row.waiting_since,
        }
    }
}
