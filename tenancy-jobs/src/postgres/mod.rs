//! The adapter: everything that knows SQL.

mod component;
mod enqueue;
mod history;
mod ledger;
mod listen;
mod rows;
mod store;

pub use component::COMPONENT;
pub use history::JobHistory;
pub use ledger::PgJobLedger;
pub(crate) use listen::listen;
pub use store::PgJobStore;

/// Milliseconds as the database stores them; a duration beyond 24 days is as good as none.
fn millis(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_millis())
        .unwrap_or(i32::MAX)
        .max(1)
}

/// A count as `bigint`.
fn big(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count from `bigint` or `integer`; the columns are never negative.
fn count(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or_default()
}
