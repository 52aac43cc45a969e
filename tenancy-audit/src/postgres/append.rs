//! Writing entries.

use serde_json::{Map, Value};
use sqlx::PgConnection;
use tenancy_core::RequestId;

use crate::{Error, Record, model};

/// Stores records of one tenant and one actor: one statement, whatever their number.
pub(super) async fn append(conn: &mut PgConnection, records: &[Record]) -> Result<(), Error> {
    match records {
        [] => Ok(()),
        [record] => one(conn, record).await,
        [first, ..] => batch(conn, first, records).await,
    }
}

async fn one(conn: &mut PgConnection, record: &Record) -> Result<(), Error> {
    let actor = &record.actor;
    sqlx::query(include_str!("sql/append_one.sql"))
        .bind(record.tenant)
        .bind(record.id)
        .bind(actor.user)
        .bind(&actor.kind)
        .bind(&actor.id)
        .bind(actor.on_behalf_of)
        .bind(&record.action)
        .bind(&record.resource)
        .bind(record.outcome.as_str())
        .bind(model::targets_json(&record.targets))
        .bind(json(&record.context))
        .bind(json(&record.personal))
        .bind(json(&record.commitments))
        .bind(record.request)
        .bind(json(&record.meta))
        .bind(record.redacted)
        .bind(record.truncated)
        .bind(record.schema_version)
        .bind(record.content_hash.as_slice())
        .execute(conn)
        .await?;
    Ok(())
}

async fn batch(conn: &mut PgConnection, first: &Record, records: &[Record]) -> Result<(), Error> {
    let stray = |record: &Record| record.tenant != first.tenant || record.actor != first.actor;
    if records.iter().any(stray) {
        let message = "the entries of a batch must have one tenant and one actor";
        return Err(Error::invalid("audit_batch_mixed", message));
    }
    sqlx::query(include_str!("sql/append_batch.sql"))
        .bind(first.tenant)
        .bind(first.actor.user)
        .bind(&first.actor.kind)
        .bind(&first.actor.id)
        .bind(first.actor.on_behalf_of)
        .bind(column(records, |r| r.id.as_uuid()))
        .bind(column(records, |r| r.action.as_str()))
        .bind(column(records, |r| r.resource.as_deref()))
        .bind(column(records, |r| r.outcome.as_str()))
        .bind(column(records, |r| model::targets_json(&r.targets)))
        .bind(column(records, |r| json(&r.context)))
        .bind(column(records, |r| json(&r.personal)))
        .bind(column(records, |r| json(&r.commitments)))
        .bind(column(records, |r| r.request.map(RequestId::as_uuid)))
        .bind(column(records, |r| json(&r.meta)))
        .bind(column(records, |r| r.redacted))
        .bind(column(records, |r| r.truncated))
        .bind(column(records, |r| r.schema_version))
        .bind(column(records, |r| r.content_hash.as_slice()))
        .execute(conn)
        .await?;
    Ok(())
}

fn column<'a, T>(records: &'a [Record], value: impl Fn(&'a Record) -> T) -> Vec<T> {
    records.iter().map(value).collect()
}

fn json(map: &Map<String, Value>) -> Value {
    Value::Object(map.clone())
}
