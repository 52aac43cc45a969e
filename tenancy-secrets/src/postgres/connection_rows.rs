//! From rows to connections.

use serde_json::Value;
use sqlx::{Row as _, postgres::PgRow};

use super::rows;
use crate::{Connection, ConnectionStatus, Envelope, Error, SecretId};

/// A connection with its sealed tokens; times are seconds from now by the database's clock.
pub(crate) struct Loaded {
    pub(crate) connection: Connection,
    pub(crate) openness: Openness,
    pub(crate) expires_in: Option<f64>,
    pub(crate) lifetime: Option<f64>,
    pub(crate) retry_in: Option<f64>,
    pub(crate) access: Option<Token>,
    pub(crate) refresh: Option<Token>,
}

/// How far a tenant is open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Openness {
    Open,
    ReadOnly,
    Closed,
}

/// A token's row.
pub(crate) struct Token {
    pub(crate) id: SecretId,
    pub(crate) version: i64,
    pub(crate) envelope: Envelope,
}

pub(super) fn loaded(row: &PgRow) -> Result<Loaded, Error> {
    Ok(Loaded {
        connection: connection(row)?,
        openness: match row.try_get("tenant_status")? {
            Some("active") => Openness::Open,
            Some("suspended_read_only") => Openness::ReadOnly,
            _ => Openness::Closed,
        },
        expires_in: row.try_get("expires_in")?,
        lifetime: row.try_get("lifetime")?,
        retry_in: row.try_get("retry_in")?,
        access: token(row, "access_id", "access_version", "access")?,
        refresh: token(row, "refresh_id", "refresh_version", "refresh")?,
    })
}

fn token(row: &PgRow, id: &str, version: &str, sealed: &str) -> Result<Option<Token>, Error> {
    let json: Option<Value> = row.try_get(sealed)?;
    let Some(json) = json else { return Ok(None) };
    Ok(Some(Token {
        id: row.try_get(id)?,
        version: row.try_get(version)?,
        envelope: Envelope::from_json(&json)?,
    }))
}

pub(super) fn connection(row: &PgRow) -> Result<Connection, Error> {
    let status: &str = row.try_get("status")?;
    Ok(Connection {
        id: row.try_get("id")?,
        provider: rows::provider(row)?,
        status: ConnectionStatus::parse(status).ok_or_else(|| rows::unexpected("status"))?,
        status_reason: row.try_get("status_reason")?,
        account_id: row.try_get("external_account_id")?,
        account_label: row.try_get("account_label")?,
        requested_scopes: row.try_get("requested_scopes")?,
        granted_scopes: row.try_get("granted_scopes")?,
        generation: row.try_get("generation")?,
        expires_at: row.try_get("access_expires_at")?,
        connected_by: row.try_get("connected_by")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
