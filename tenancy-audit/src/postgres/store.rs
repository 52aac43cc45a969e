use std::{fmt, ops::Range};

use async_trait::async_trait;
use tenancy_core::{PoolerMode, TenantCtx, TenantDb, TenantTx};
use uuid::Uuid;

use super::{
    append::append,
    filters::Looking,
    follow,
    months::{is_near, near_first, read},
    row::Row,
    single::Single,
};
use crate::{
    AuditEntryId, AuditQuery, AuditStore, CountBy, Counts, Draft, Entry, Error, Followed, Mark,
    Order, Page, ResourceFilter,
};

/// How many entries a page looks at where filters have no index.
const MOST_LOOKED_AT: i64 = 20_000;
/// The most entries that are counted.
const MOST_COUNTED: u32 = 100_000;
/// The most groups that are told.
const MOST_GROUPS: usize = 1_000;

/// Keeps entries in `tenancy.audit_logs`.
#[derive(Clone)]
pub struct PgAuditStore {
    db: TenantDb,
}

impl PgAuditStore {
    /// A store in this database.
    pub fn new(db: TenantDb) -> Self {
        Self { db }
    }

    /// Whether the context's tenant is under a legal hold.
    pub(crate) async fn is_held(&self, ctx: &TenantCtx) -> Result<bool, Error> {
        let mut tx = read(&self.db, ctx).await?;
        Ok(sqlx::query_scalar(include_str!("sql/is_held_here.sql"))
            .bind(ctx.tenant())
            .fetch_one(&mut *tx)
            .await?)
    }

    async fn rows(&self, tx: &mut TenantTx, looking: &Looking<'_>) -> Result<Vec<Row>, Error> {
        // Near the beginning of a page there are few months to plan for. Behind a pooler no plan is kept.
        let single = Single::of(looking.query)
            .filter(|single| single.is_unfiltered || !is_near(looking.ids))
            .filter(|_| self.db.pooler() == PoolerMode::Session);
        if let Some(single) = single {
            return single.rows(tx, looking).await;
        }
        // A kept statement would get a plan for any filter, which is good for none.
        let rows = sqlx::query_as_with(include_str!("sql/search.sql"), looking.all()?);
        Ok(rows.persistent(false).fetch_all(&mut **tx).await?)
    }
}

#[async_trait]
impl AuditStore for PgAuditStore {
    async fn append(&self, ctx: &TenantCtx, drafts: &[Draft]) -> Result<Vec<AuditEntryId>, Error> {
        let mut tx = self.db.aside(ctx).await?;
        let ids = append(&mut tx, drafts).await?;
        tx.commit().await?;
        Ok(ids)
    }

    async fn append_in(
        &self,
        tx: &mut TenantTx,
        drafts: &[Draft],
    ) -> Result<Vec<AuditEntryId>, Error> {
        append(tx, drafts).await
    }

    async fn get(&self, ctx: &TenantCtx, id: AuditEntryId) -> Result<Option<Entry>, Error> {
        let mut tx = read(&self.db, ctx).await?;
        let row: Option<Row> = sqlx::query_as(include_str!("sql/get.sql"))
            .bind(ctx.tenant())
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        Ok(row.map(Entry::from))
    }

    async fn search(&self, ctx: &TenantCtx, query: &AuditQuery) -> Result<Page, Error> {
        let tenant = ctx.tenant();
        let mut looking = Looking {
            query,
            tenant,
            ids: uuids(query.ids(tenant)?),
            count: i64::from(query.page_size()) + 1,
        };
        let mut tx = read(&self.db, ctx).await?;
        let end = cut_short(&mut tx, &mut looking, MOST_LOOKED_AT).await?;
        let mut entries: Vec<Entry> = Vec::new();
        for ids in parts(&looking) {
            looking.ids = ids;
            let rows = self.rows(&mut tx, &looking).await?;
            looking.count -= i64::try_from(rows.len()).unwrap_or(i64::MAX);
            entries.extend(rows.into_iter().map(Entry::from));
            if looking.count <= 0 {
                break;
            }
        }
        Ok(query.page(tenant, entries, end.map(AuditEntryId::from_uuid)))
    }

    async fn count(
        &self,
        ctx: &TenantCtx,
        query: &AuditQuery,
        by: CountBy,
        most: u32,
    ) -> Result<Counts, Error> {
        let mut newest = query.clone().with_order(Order::NewestFirst);
        newest.after = None;
        let most = most.clamp(1, MOST_COUNTED);
        let mut looking = Looking {
            query: &newest,
            tenant: ctx.tenant(),
            ids: uuids(newest.ids(ctx.tenant())?),
            count: i64::from(most),
        };
        let mut tx = read(&self.db, ctx).await?;
        let end = cut_short(&mut tx, &mut looking, most.into()).await?;
        let mut groups: Vec<(String, i64)> =
            sqlx::query_as_with(include_str!("sql/count.sql"), looking.grouped(by.as_str())?)
                .persistent(false)
                .fetch_all(&mut *tx)
                .await?;
        let counted = groups.iter().map(|(_, count)| count.unsigned_abs()).sum();
        let more = match end {
            Some(_) => true,
            None if counted < u64::from(most) => false,
            None => {
                let past = nth(&mut tx, &looking, looking.ids, i64::from(most));
                past.await?.is_some()
            }
        };
        groups.truncate(MOST_GROUPS);
        let groups = groups
            .into_iter()
            .map(|(name, count)| (name, count.unsigned_abs()));
        Ok(Counts::new(counted, more, groups.collect()))
    }

    async fn mark(&self, ctx: &TenantCtx) -> Result<Mark, Error> {
        follow::mark(&self.db, ctx).await
    }

    async fn follow(&self, ctx: &TenantCtx, mark: &Mark, most: u16) -> Result<Followed, Error> {
        follow::follow(&self.db, ctx, mark, most).await
    }
}

/// Where a page is looked for, in this order. There are seldom enough entries of one target or request for a page.
fn parts(looking: &Looking<'_>) -> Vec<(Uuid, Uuid)> {
    let query = looking.query;
    if query.request.is_some() || matches!(query.resource, Some(ResourceFilter::Exact(_))) {
        return vec![looking.ids];
    }
    near_first(looking.ids, query.order)
}

fn uuids(ids: Range<AuditEntryId>) -> (Uuid, Uuid) {
    (ids.start.as_uuid(), ids.end.as_uuid())
}

/// Where filters have no index, narrows a search down to the first entries that the others leave; answers
/// the last of these, unless they are all.
async fn cut_short(
    tx: &mut TenantTx,
    looking: &mut Looking<'_>,
    most: i64,
) -> Result<Option<Uuid>, Error> {
    if !looking.query.is_unindexed() {
        return Ok(None);
    }
    let all = looking.ids;
    let mut end = None;
    // Where the near ones are not enough, all of them are passed over again.
    if let [near, _] = *near_first(all, looking.query.order) {
        end = nth(tx, looking, near, most - 1).await?;
    }
    if end.is_none() {
        end = nth(tx, looking, all, most - 1).await?;
    }
    if let Some(last) = end {
        match looking.query.order {
            Order::NewestFirst => looking.ids.0 = last,
            Order::OldestFirst => {
                looking.ids.1 = Uuid::from_u128(last.as_u128().saturating_add(1));
            }
        }
    }
    Ok(end)
}

/// The entry behind so many within these ids.
async fn nth(
    tx: &mut TenantTx,
    looking: &Looking<'_>,
    ids: (Uuid, Uuid),
    count: i64,
) -> Result<Option<Uuid>, Error> {
    let looking = Looking {
        ids,
        count,
        ..*looking
    };
    let sql = include_str!("sql/search_end.sql");
    let id = sqlx::query_scalar_with(sql, looking.indexed()?).persistent(false);
    Ok(id.fetch_optional(&mut **tx).await?)
}

impl fmt::Debug for PgAuditStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PgAuditStore")
    }
}
