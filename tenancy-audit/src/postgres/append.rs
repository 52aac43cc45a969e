//! Writing entries.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};
use sqlx::{Arguments as _, PgConnection, error::BoxDynError, postgres::PgArguments, types::Json};
use tenancy_core::{RequestId, TenantId};
use uuid::Uuid;

use super::row::Row;
use crate::{AuditEntryId, Draft, Entry, EntryKey, Error, ErrorKind, error::code};

/// Stores records of one tenant and one actor: one statement, whatever their number. Answers under which id
/// each of them stands, which is an earlier one where its key was used before.
pub(super) async fn append(
    conn: &mut PgConnection,
    drafts: &[Draft],
) -> Result<Vec<AuditEntryId>, Error> {
    match drafts {
        [] => {}
        [draft] if draft.key.is_none() => one(conn, draft).await?,
        [draft] => return keyed(conn, draft, drafts).await,
        [first, rest @ ..] => {
            let stray = |draft: &Draft| draft.tenant != first.tenant || draft.actor != first.actor;
            if rest.iter().any(stray) {
                let message = "the entries of a batch must have one tenant and one actor";
                return Err(Error::invalid("audit_batch_mixed", message));
            }
            if drafts.iter().any(|draft| draft.key.is_some()) {
                return all_or_none(conn, first, drafts).await;
            }
            let columns = columns(first, drafts).map_err(sqlx::Error::Encode)?;
            sqlx::query_with(include_str!("sql/append_batch.sql"), columns)
                .execute(conn)
                .await?;
        }
    }
    Ok(drafts.iter().map(|draft| draft.id).collect())
}

async fn one(conn: &mut PgConnection, draft: &Draft) -> Result<(), Error> {
    let actor = &draft.actor;
    sqlx::query(include_str!("sql/append_one.sql"))
        .bind(draft.tenant)
        .bind(draft.id)
        .bind(actor.user)
        .bind(&actor.kind)
        .bind(&actor.id)
        .bind(actor.on_behalf_of)
        .bind(&draft.action)
        .bind(&draft.resource)
        .bind(draft.outcome.as_str())
        .bind(Json(&draft.targets))
        .bind(object(&draft.context))
        .bind(object(&draft.personal))
        .bind(object(&draft.commitments))
        .bind(draft.request)
        .bind(object(&draft.meta))
        .bind(draft.redacted)
        .bind(draft.truncated)
        .bind(draft.schema_version)
        .bind(draft.content_hash.as_slice())
        .execute(conn)
        .await?;
    Ok(())
}

/// A key that was used for something else refuses the whole batch, and leaves the transaction usable.
async fn all_or_none(
    conn: &mut PgConnection,
    first: &Draft,
    drafts: &[Draft],
) -> Result<Vec<AuditEntryId>, Error> {
    sqlx::raw_sql("SAVEPOINT tenancy_audit_keys")
        .execute(&mut *conn)
        .await?;
    let done = keyed(conn, first, drafts).await;
    let end = match &done {
        Err(error) if [code::KEY_REUSED, code::KEY_BUSY].contains(&error.code()) => {
            "ROLLBACK TO SAVEPOINT tenancy_audit_keys; RELEASE SAVEPOINT tenancy_audit_keys"
        }
        // The transaction is broken and goes as a whole.
        Err(_) => return done,
        Ok(_) => "RELEASE SAVEPOINT tenancy_audit_keys",
    };
    sqlx::raw_sql(end).execute(conn).await?;
    done
}

async fn keyed(
    conn: &mut PgConnection,
    first: &Draft,
    drafts: &[Draft],
) -> Result<Vec<AuditEntryId>, Error> {
    let arguments = keyed_columns(first, drafts).map_err(sqlx::Error::Encode)?;
    let (busy, written): (Option<Vec<Uuid>>, Vec<Uuid>) =
        sqlx::query_as_with(include_str!("sql/append_keyed.sql"), arguments)
            .fetch_one(&mut *conn)
            .await?;
    if let Some(busy) = busy {
        return Err(self::busy(busy));
    }
    let written: HashSet<AuditEntryId> = written.into_iter().map(AuditEntryId::from_uuid).collect();
    if written.len() == drafts.len() {
        return Ok(drafts.iter().map(|draft| draft.id).collect());
    }
    let mut known = taken(conn, first.tenant, drafts).await?;
    let (mut ids, mut unbacked) = (Vec::with_capacity(drafts.len()), Vec::new());
    for draft in drafts {
        let key = draft.key.filter(|_| !written.contains(&draft.id));
        let Some(key) = key else {
            ids.push(draft.id);
            continue;
        };
        match known.get(&key.key_hash) {
            Some((id, content)) if *content == key.content_hash => ids.push(*id),
            Some(_) => return Err(reused()),
            None => {
                // The first of those with this key; the others stand for the same.
                known.insert(key.key_hash, (draft.id, key.content_hash));
                unbacked.push(draft.clone());
                ids.push(draft.id);
            }
        }
    }
    without_entries(conn, first, &unbacked).await?;
    Ok(ids)
}

/// Writes what has a key that stands for no entry: somebody took the key alone, or the entry is gone. Recorded once
/// too often is better than not at all.
async fn without_entries(
    conn: &mut PgConnection,
    first: &Draft,
    drafts: &[Draft],
) -> Result<(), Error> {
    if drafts.is_empty() {
        return Ok(());
    }
    metrics::counter!("tenancy_audit_keys_unbacked_total").increment(drafts.len() as u64);
    tracing::warn!(
        tenant = %first.tenant, count = drafts.len(),
        "idempotency keys stand for no entry, and what came under them was recorded"
    );
    let columns = columns(first, drafts).map_err(sqlx::Error::Encode)?;
    sqlx::query_with(include_str!("sql/append_batch.sql"), columns)
        .execute(conn)
        .await?;
    Ok(())
}

/// What stands under the keys: the entry and the hash of what it says.
async fn taken(
    conn: &mut PgConnection,
    tenant: TenantId,
    drafts: &[Draft],
) -> Result<HashMap<[u8; 32], (AuditEntryId, [u8; 32])>, Error> {
    let keys: Vec<&[u8]> = drafts
        .iter()
        .filter_map(|draft| hash(draft, |key| &key.key_hash))
        .collect();
    let rows: Vec<KeyedRow> = sqlx::query_as(include_str!("sql/keys_taken.sql"))
        .bind(tenant)
        .bind(keys)
        .fetch_all(conn)
        .await?;
    let row = |row: KeyedRow| {
        let entry = Entry::from(row.entry);
        let content = EntryKey::content_of(&entry);
        Some((row.key_hash.try_into().ok()?, (entry.id, content)))
    };
    Ok(rows.into_iter().filter_map(row).collect())
}

/// A key, and the entry that was written under it.
#[derive(sqlx::FromRow)]
struct KeyedRow {
    key_hash: Vec<u8>,
    #[sqlx(flatten)]
    entry: Row,
}

/// The parameters of a batch, in the order of its statement.
fn columns(first: &Draft, drafts: &[Draft]) -> Result<PgArguments, BoxDynError> {
    let mut all = PgArguments::default();
    all.add(first.tenant)?;
    all.add(first.actor.user)?;
    all.add(&first.actor.kind)?;
    all.add(&first.actor.id)?;
    all.add(first.actor.on_behalf_of)?;
    all.add(column(drafts, |d| d.id.as_uuid()))?;
    all.add(column(drafts, |d| d.action.as_str()))?;
    all.add(column(drafts, |d| d.resource.as_deref()))?;
    all.add(column(drafts, |d| d.outcome.as_str()))?;
    all.add(column(drafts, |d| Json(&d.targets)))?;
    all.add(column(drafts, |d| object(&d.context)))?;
    all.add(column(drafts, |d| object(&d.personal)))?;
    all.add(column(drafts, |d| object(&d.commitments)))?;
    all.add(column(drafts, |d| d.request.map(RequestId::as_uuid)))?;
    all.add(column(drafts, |d| object(&d.meta)))?;
    all.add(column(drafts, |d| d.redacted))?;
    all.add(column(drafts, |d| d.truncated))?;
    all.add(column(drafts, |d| d.schema_version))?;
    all.add(column(drafts, |d| d.content_hash.as_slice()))?;
    Ok(all)
}

fn keyed_columns(first: &Draft, drafts: &[Draft]) -> Result<PgArguments, BoxDynError> {
    let mut all = columns(first, drafts)?;
    all.add(column(drafts, |d| hash(d, |key| &key.key_hash)))?;
    all.add(column(drafts, |d| hash(d, |key| &key.content_hash)))?;
    Ok(all)
}

fn column<'a, T>(drafts: &'a [Draft], value: impl Fn(&'a Draft) -> T) -> Vec<T> {
    drafts.iter().map(value).collect()
}

/// Nothing stands for an object without keys: the database parses what it is sent.
fn object(map: &Map<String, Value>) -> Option<Json<&Map<String, Value>>> {
    (!map.is_empty()).then_some(Json(map))
}

fn hash(draft: &Draft, of: impl Fn(&EntryKey) -> &[u8; 32]) -> Option<&[u8]> {
    draft.key.as_ref().map(|key| of(key).as_slice())
}

fn reused() -> Error {
    let message = "the idempotency key was used for another event";
    Error::new(ErrorKind::Conflict, code::KEY_REUSED, message)
}

/// Nothing was written: transactions that have not ended hold the keys of these entries.
fn busy(entries: Vec<Uuid>) -> Error {
    let entries = entries.into_iter().map(AuditEntryId::from_uuid).collect();
    let message = "an open transaction uses the idempotency key; try again when it has ended";
    Error::new(ErrorKind::Unavailable, code::KEY_BUSY, message).with_entries(entries)
}
