//! What streams have yet to tell of, and for how long it is kept for them.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Retention, RetentionRule};
use crate::{
    Error, ErrorKind,
    postgres::{OwnerTx, Untold},
};

/// Entries that went although a stream had not told of them.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Undelivered {
    /// The stream.
    pub stream: String,
    /// How many; 100,000 where it was more in one go.
    pub entries: u64,
}

impl Retention {
    /// For how many days longer an entry is kept that a stream has not told of.
    pub const STREAM_DAYS: u16 = 30;

    /// Keeps entries that a [stream](crate::Streams) has not told of for so many days longer than their time;
    /// [`STREAM_DAYS`](Self::STREAM_DAYS) by default. A stream that is parked, fails or is run by nobody for longer
    /// loses them. With 0 nothing is kept for streams.
    pub fn with_stream_days(mut self, days: u16) -> Self {
        self.stream_days = days;
        self
    }

    /// Until when what is older than `before` is removed, told of or not.
    pub(super) fn waits(&self, before: DateTime<Utc>) -> DateTime<Utc> {
        let days = TimeDelta::days(self.stream_days.into());
        before
            .checked_sub_signed(days)
            .unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// What goes by the rule although streams have not told of it.
    pub(super) async fn overdue(
        &self,
        tx: &mut OwnerTx,
        rule: &RetentionRule,
    ) -> Result<Vec<Undelivered>, Error> {
        let overdue = Untold {
            tenant: Some(rule.tenant),
            action: rule.action.as_ref(),
            before: Some(self.waits(rule.before)),
            ids: None,
        };
        undelivered(tx, overdue).await
    }

    /// Refuses to end as if all were removed where streams keep some of it.
    pub(super) async fn all_told(tx: &mut OwnerTx, rule: &RetentionRule) -> Result<(), Error> {
        let past = Untold {
            tenant: Some(rule.tenant),
            action: rule.action.as_ref(),
            before: Some(rule.before),
            ids: None,
        };
        match tx.untold(past).await?.as_slice() {
            [] => Ok(()),
            waiting => Err(kept_for(waiting)),
        }
    }

    /// What goes with a month although streams have not told of it.
    ///
    /// # Errors
    /// If they are still waited for.
    pub(super) async fn untold_in(
        tx: &mut OwnerTx,
        ids: (Uuid, Uuid),
        waits: bool,
    ) -> Result<Vec<Undelivered>, Error> {
        let month = Untold {
            ids: Some(ids),
            ..Untold::default()
        };
        if !waits {
            return undelivered(tx, month).await;
        }
        match tx.untold(month).await?.as_slice() {
            [] => Ok(Vec::new()),
            waiting => Err(kept_for(waiting)),
        }
    }
}

/// Tells it, too: what a system outside never gets, somebody has to know.
pub(super) fn tell(undelivered: &[Undelivered]) {
    for of in undelivered {
        metrics::counter!("tenancy_audit_undelivered_total", "stream" => of.stream.clone())
            .increment(of.entries);
        tracing::error!(
            stream = of.stream,
            entries = of.entries,
            "entries were removed that a stream had not told of for too long"
        );
    }
}

async fn undelivered(tx: &mut OwnerTx, what: Untold<'_>) -> Result<Vec<Undelivered>, Error> {
    let found = tx.untold(what).await?;
    let of = |(stream, entries): (String, i64)| Undelivered {
        stream,
        entries: entries.unsigned_abs(),
    };
    Ok(found.into_iter().map(of).collect())
}

fn kept_for(waiting: &[(String, i64)]) -> Error {
    let names: Vec<String> = waiting
        .iter()
        .map(|(stream, entries)| format!("`{stream}` ({entries})"))
        .collect();
    let message = format!(
        "entries that are past their time are kept for streams that have not told of them: {}",
        names.join(", ")
    );
    Error::new(ErrorKind::Conflict, "audit_undelivered", message)
}
