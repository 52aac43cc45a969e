//! From rows to values.

use serde_json::Value;
use sqlx::{FromRow, Row as _, postgres::PgRow};

use crate::{
    Envelope, Error, FieldKey, KeyState, ProviderKey, SecretMeta, SecretPath, StoredKey,
    StoredSecret, WrappedKey, Written,
};

pub(super) fn stored_key(row: &PgRow) -> Result<StoredKey, Error> {
    let state: &str = row.try_get("state")?;
    let state = KeyState::parse(state).ok_or_else(|| unexpected("state"))?;
    let bytes: Option<Vec<u8>> = row.try_get("wrapped")?;
    let kek_id: String = row.try_get("kek_id")?;
    let wrapped = bytes.map(|bytes| WrappedKey::new(kek_id, bytes));
    Ok(StoredKey::new(row.try_get("key_id")?, state, wrapped))
}

pub(super) fn stored_secret(row: &PgRow) -> Result<StoredSecret, Error> {
    let envelope = Envelope::from_json(&row.try_get::<Value, _>("encrypted")?)?;
    Ok(StoredSecret::new(
        secret_meta(row)?,
        envelope,
        row.try_get("generation")?,
    ))
}

pub(super) fn secret_meta(row: &PgRow) -> Result<SecretMeta, Error> {
    let provider = ProviderKey::parse(row.try_get::<String, _>("provider")?)?;
    let field = FieldKey::parse(row.try_get::<String, _>("field")?)?;
    Ok(SecretMeta {
        id: row.try_get("id")?,
        path: SecretPath::stored(provider, row.try_get("name")?, field),
        version: row.try_get("version")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

pub(super) fn written(word: &str) -> Result<Written, Error> {
    match word {
        "ok" => Ok(Written::Done),
        "key_retired" => Ok(Written::KeyRetired),
        "stale" => Ok(Written::Stale),
        _ => Err(unexpected("answer")),
    }
}

pub(super) fn unexpected(what: &str) -> Error {
    Error::internal(
        "unexpected_row",
        &format!("the database holds an unexpected {what}"),
    )
}

/// Reads every row by one function.
pub(super) fn all<T>(
    rows: &[PgRow],
    read: impl Fn(&PgRow) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    rows.iter().map(read).collect()
}

/// An envelope column that may be NULL.
pub(super) fn envelope(row: &PgRow, column: &str) -> Result<Option<Envelope>, Error> {
    let json: Option<Value> = row.try_get(column)?;
    json.map(|json| Envelope::from_json(&json)).transpose()
}

/// A key of text that the database's CHECK has bounded.
pub(super) fn provider(row: &PgRow) -> Result<ProviderKey, Error> {
    Ok(ProviderKey::parse(row.try_get::<String, _>("provider")?)?)
}

#[derive(FromRow)]
pub(super) struct Wrapped {
    pub(super) kek_id: String,
    pub(super) wrapped: Vec<u8>,
}
