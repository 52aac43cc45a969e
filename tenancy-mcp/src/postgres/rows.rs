//! Rows as they come from the database.

use chrono::{DateTime, Utc};
use serde_json::Value;
use tenancy_core::{CredentialId, UserId};

use crate::{
    AuthKind, Connection, ConnectionId, ConnectionKey, ConnectionStatus, DefinitionHash,
    EffectClass, Endpoint, Error, Provider, ProviderKey, Tool, ToolDefinition, ToolId, ToolStatus,
};

/// A row that this version of the crate can't read: newer, or written by hand.
pub(crate) fn unreadable(table: &str) -> Error {
    Error::internal(
        "unexpected_row",
        format!("a row of `{table}` can't be read"),
    )
}

#[derive(Debug, sqlx::FromRow)]
#[expect(clippy::struct_field_names, reason = "three rows share one result")]
pub(crate) struct ProviderRow {
    p_key: String,
    p_name: String,
    p_transport: String,
    p_endpoint: String,
    p_auth: String,
    p_auth_header: Option<String>,
    p_rejects_before_work: bool,
    p_allowed: bool,
}

impl TryFrom<ProviderRow> for Provider {
    type Error = Error;

    fn try_from(row: ProviderRow) -> Result<Self, Error> {
        let unreadable = || unreadable("mcp_providers");
        Ok(Self {
            key: ProviderKey::parse(row.p_key)?,
            name: row.p_name,
            endpoint: Endpoint::parse(&row.p_transport, row.p_endpoint).ok_or_else(unreadable)?,
            auth: AuthKind::parse(&row.p_auth, row.p_auth_header).ok_or_else(unreadable)?,
            rejects_before_work: row.p_rejects_before_work,
            allowed: row.p_allowed,
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
#[expect(clippy::struct_field_names, reason = "three rows share one result")]
pub(crate) struct ConnectionRow {
    c_id: ConnectionId,
    c_key: String,
    c_provider: String,
    c_status: String,
    c_status_reason: Option<String>,
    c_status_at: DateTime<Utc>,
    c_credential_id: Option<CredentialId>,
    c_generation: i64,
    c_protocol: Option<String>,
    c_created_by: Option<UserId>,
    c_created_at: DateTime<Utc>,
}

impl TryFrom<ConnectionRow> for Connection {
    type Error = Error;

    fn try_from(row: ConnectionRow) -> Result<Self, Error> {
        let status = ConnectionStatus::parse(&row.c_status);
        Ok(Self {
            id: row.c_id,
            key: ConnectionKey::parse(row.c_key)?,
            provider: ProviderKey::parse(row.c_provider)?,
            status: status.ok_or_else(|| unreadable("mcp_connections"))?,
            status_reason: row.c_status_reason,
            status_at: row.c_status_at,
            credential: row.c_credential_id,
            generation: row.c_generation,
            protocol: row.c_protocol,
            created_by: row.c_created_by,
            created_at: row.c_created_at,
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
#[expect(clippy::struct_field_names, reason = "three rows share one result")]
pub(crate) struct ToolRow {
    t_id: ToolId,
    t_connection_id: ConnectionId,
    t_name: String,
    t_title: Option<String>,
    t_description: Option<String>,
    t_input_schema: Value,
    t_output_schema: Option<Value>,
    t_annotations: Option<Value>,
    t_definition_hash: Vec<u8>,
    t_offered: Option<Value>,
    t_effect_class: String,
    t_key_place: Option<String>,
    t_key_name: Option<String>,
    t_status: String,
    t_approved_by: Option<UserId>,
    t_approved_at: Option<DateTime<Utc>>,
}

impl TryFrom<ToolRow> for Tool {
    type Error = Error;

    fn try_from(row: ToolRow) -> Result<Self, Error> {
        let unreadable = || unreadable("mcp_tools");
        let offered = row.t_offered.map(serde_json::from_value).transpose();
        let place = row.t_key_place.as_deref();
        let effect = EffectClass::parse(&row.t_effect_class, place, row.t_key_name);
        Ok(Self {
            id: row.t_id,
            connection: row.t_connection_id,
            definition: ToolDefinition {
                name: row.t_name,
                title: row.t_title,
                description: row.t_description,
                input_schema: row.t_input_schema,
                output_schema: row.t_output_schema,
                annotations: row.t_annotations,
            },
            hash: DefinitionHash::from_slice(&row.t_definition_hash).ok_or_else(unreadable)?,
            offered: offered.map_err(|_| unreadable())?,
            effect: effect.ok_or_else(unreadable)?,
            status: ToolStatus::parse(&row.t_status).ok_or_else(unreadable)?,
            approved_by: row.t_approved_by,
            approved_at: row.t_approved_at,
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
pub(crate) struct RouteRow {
    #[sqlx(flatten)]
    pub(crate) provider: ProviderRow,
    #[sqlx(flatten)]
    pub(crate) connection: ConnectionRow,
    #[sqlx(flatten)]
    pub(crate) tool: ToolRow,
    pub(crate) tenant_status: String,
}
