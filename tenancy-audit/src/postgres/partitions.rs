//! The months of the log.

use chrono::NaiveDate;
use sqlx::PgExecutor;
use tenancy_core::{OperatorDb, WorkerDb};

use super::unknown_word;
use crate::Error;

/// What the table of a month is called: this, the year, `m`, and the month.
const OF_YEAR: &str = "audit_logs_y";

/// Makes the partitions of the coming months and says how they are.
///
/// Migrating makes a year of them. Call [`make`](Self::make) now and then, from a scheduled job:
/// entries of a month without a partition go to the default one, and stay in the way of making it.
///
/// ```no_run
/// # async fn run(worker: tenancy_core::WorkerDb) -> Result<(), tenancy_audit::Error> {
/// use tenancy_audit::{PartitionState, Partitions};
///
/// let partitions = Partitions::of_worker(worker);
/// for made in partitions.make(12).await? {
///     if made.state == PartitionState::Blocked {
///         eprintln!("entries of {} lie in the default partition", made.month);
///     }
/// }
/// if partitions.list().await?.iter().any(|p| p.is_default && p.bytes > 0) {
///     // somebody should look
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Partitions(Login);

#[derive(Clone, Debug)]
enum Login {
    Operator(OperatorDb),
    Worker(WorkerDb),
}

/// A part of the log: of a month, or the one for entries that no month covers.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Partition {
    /// The table, in the schema `tenancy`.
    pub name: String,
    /// The first day of its month, in UTC. `None` of the default partition, and of one that was not made here.
    pub month: Option<NaiveDate>,
    /// The size of its rows on disk.
    pub bytes: u64,
    /// Whether it is the one for entries that no month covers.
    pub is_default: bool,
}

/// A month that was to be made, and what became of it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MonthMade {
    /// Its first day, in UTC.
    pub month: NaiveDate,
    /// The table, in the schema `tenancy`.
    pub name: String,
    /// What became of it.
    pub state: PartitionState,
}

/// What became of a month.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PartitionState {
    /// Entries of this month lie in the default partition: an operator has to move them first.
    Blocked,
    /// Somebody held the table too long: ask again.
    Busy,
    /// It was made.
    Made,
    /// It was there.
    There,
}

impl Partitions {
    /// As background work, on a schedule.
    pub fn of_worker(worker: WorkerDb) -> Self {
        Self(Login::Worker(worker))
    }

    /// As the operator, by hand.
    pub fn of_operator(operator: OperatorDb) -> Self {
        Self(Login::Operator(operator))
    }

    /// Makes what is missing from last month up to so many months from now (1 to 120), and says of
    /// each what became of it. Any number of processes may do so at once.
    ///
    /// Locks out readers and writers of the default partition for as long as it takes to see that
    /// it is empty, and waits at most three seconds for that lock: [`Busy`](PartitionState::Busy) is no error.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn make(&self, months_ahead: u8) -> Result<Vec<MonthMade>, Error> {
        let months = i32::from(months_ahead.clamp(1, 120));
        match &self.0 {
            Login::Worker(worker) => make(worker.pool(), months).await,
            Login::Operator(operator) => {
                let mut tx = operator.owner().await?;
                let made = make(&mut *tx, months).await?;
                tx.commit().await?;
                Ok(made)
            }
        }
    }

    /// Every partition, oldest month first and the default one last.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn list(&self) -> Result<Vec<Partition>, Error> {
        let pool = match &self.0 {
            Login::Worker(worker) => worker.pool(),
            Login::Operator(operator) => operator.pool(),
        };
        let rows: Vec<(String, i64, bool)> = sqlx::query_as(include_str!("sql/partitions.sql"))
            .fetch_all(pool)
            .await?;
        let partition = |(name, bytes, is_default): (String, i64, bool)| Partition {
            month: month_of(&name),
            name,
            bytes: bytes.unsigned_abs(),
            is_default,
        };
        Ok(rows.into_iter().map(partition).collect())
    }
}

async fn make(executor: impl PgExecutor<'_>, months: i32) -> Result<Vec<MonthMade>, Error> {
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("sql/make_partitions.sql"))
        .bind(months)
        .fetch_all(executor)
        .await?;
    let made = |(name, state): (String, String)| {
        Ok(MonthMade {
            month: month_of(&name).ok_or_else(|| unknown_word("a partition"))?,
            state: PartitionState::parse(&state)?,
            name,
        })
    };
    rows.into_iter().map(made).collect()
}

/// The first day of a partition's month.
fn month_of(partition: &str) -> Option<NaiveDate> {
    let (year, month) = partition.strip_prefix(OF_YEAR)?.split_once('m')?;
    NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)
}

impl PartitionState {
    fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "blocked" => Ok(Self::Blocked),
            "busy" => Ok(Self::Busy),
            "made" => Ok(Self::Made),
            "there" => Ok(Self::There),
            _ => Err(unknown_word("a partition").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_month_of_a_partition_is_in_its_name() {
        let march = NaiveDate::from_ymd_opt(2025, 3, 1);
        assert_eq!(month_of("audit_logs_y2025m03"), march);
        for other in [
            "audit_logs_default",
            "audit_logs_y2025m13",
            "audit_logs_y2025",
            "parked",
        ] {
            assert_eq!(month_of(other), None, "{other}");
        }
    }
}
