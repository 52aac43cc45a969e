//! Reading and clearing the log, as the operator.

use chrono::{DateTime, Utc};

use crate::{Error, OperatorDb, PlatformEntry, PlatformEvent, PlatformEventKind, TenantId};

/// The most entries that one page holds.
const MOST: u16 = 1_000;

/// What happened outside of every tenant, for the operator: what was refused, and what operators did.
///
/// Entries name users and addresses: keep them only as long as they are of use, and
/// [`purge`](Self::purge) what is older. Nothing else removes them.
///
/// ```no_run
/// # async fn run(operator: tenancy_core::OperatorDb) -> Result<(), tenancy_core::Error> {
/// use chrono::{TimeDelta, Utc};
/// use tenancy_core::{PlatformEvents, PlatformQuery};
///
/// let events = PlatformEvents::new(operator);
/// let yesterday = Utc::now() - TimeDelta::days(1);
/// for entry in events.list(&PlatformQuery::new().with_since(yesterday)).await? {
///     println!("{} {} {} times", entry.kind, entry.code, entry.count);
/// }
/// events.purge(Utc::now() - TimeDelta::days(90)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PlatformEvents(OperatorDb);

/// Which entries are wanted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlatformQuery {
    /// Behind this entry of the page before.
    pub before: Option<i64>,
    /// Not older than this.
    pub since: Option<DateTime<Utc>>,
    /// Of this kind only.
    pub kind: Option<PlatformEventKind>,
    /// At most so many: 100, and never more than 1,000.
    pub limit: u16,
}

impl Default for PlatformQuery {
    fn default() -> Self {
        Self {
            before: None,
            since: None,
            kind: None,
            limit: 100,
        }
    }
}

impl PlatformQuery {
    /// The newest hundred.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on behind the last entry of a page.
    pub fn with_before(mut self, entry: i64) -> Self {
        self.before = Some(entry);
        self
    }

    /// Leaves out what is older.
    pub fn with_since(mut self, at: DateTime<Utc>) -> Self {
        self.since = Some(at);
        self
    }

    /// Leaves out all other kinds.
    pub fn with_kind(mut self, kind: PlatformEventKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Sets the size of a page.
    pub fn with_limit(mut self, entries: u16) -> Self {
        self.limit = entries;
        self
    }
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: i64,
    kind: String,
    code: String,
    tenant_named: Option<TenantId>,
    actor: Option<String>,
    address: Option<String>,
    count: i64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
}

impl From<Row> for PlatformEntry {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            code: row.code,
            tenant: row.tenant_named,
            actor: row.actor,
            address: row.address.and_then(|address| address.parse().ok()),
            count: row.count.unsigned_abs(),
            first_at: row.first_at,
            last_at: row.last_at,
        }
    }
}

impl PlatformEvents {
    /// As this operator.
    pub fn new(operator: OperatorDb) -> Self {
        Self(operator)
    }

    /// A page, newest first.
    pub async fn list(&self, query: &PlatformQuery) -> Result<Vec<PlatformEntry>, Error> {
        let mut tx = self.0.owner().await?;
        let rows: Vec<Row> = sqlx::query_as(include_str!("../sql/platform_log_list.sql"))
            .bind(query.before)
            .bind(query.since)
            .bind(query.kind.map(PlatformEventKind::as_str))
            .bind(i64::from(query.limit.clamp(1, MOST)))
            .fetch_all(&mut *tx)
            .await?;
        Ok(rows.into_iter().map(PlatformEntry::from).collect())
    }

    /// Adds what an operator did, and has it committed when it returns. An event that names nobody is by this login
    /// of the database, as `operator:…`.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the code is no word, or who acted has a name of more than
    /// 128 bytes; what the database answers.
    pub async fn record(&self, event: &PlatformEvent) -> Result<(), Error> {
        let mut tx = self.0.owner().await?;
        sqlx::query(include_str!("../sql/platform_log_add.sql"))
            .bind(event.kind.as_str())
            .bind(event.code)
            .bind(event.tenant)
            .bind(&event.actor)
            .bind(event.address.map(|address| address.to_string()))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Removes what is older, and says how much that was.
    pub async fn purge(&self, older_than: DateTime<Utc>) -> Result<u64, Error> {
        let mut tx = self.0.owner().await?;
        let gone = sqlx::query("DELETE FROM tenancy.platform_log WHERE last_at < $1")
            .bind(older_than)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }
}
