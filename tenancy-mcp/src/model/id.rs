//! Identifiers and names.

use tenancy_core::{Grammar, InvalidInput};

tenancy_core::uuid_id! {
    /// Identifies a tenant's connection to a provider.
    pub struct ConnectionId;
}
tenancy_core::uuid_id! {
    /// Identifies a tool of a connection, across changes of its definition.
    pub struct ToolId;
}
tenancy_core::text_key! {
    /// Names a provider of the host's catalog, such as `smartlead`.
    pub struct ProviderKey(Grammar::word("provider_key_invalid", 63));
}
tenancy_core::text_key! {
    /// Names a connection within its tenant; the provider's key unless another is chosen.
    pub struct ConnectionKey(Grammar::word("connection_key_invalid", 63));
}

/// Names a tool in its tenant: connection, full stop, the server's own name for it.
///
/// ```
/// let name = tenancy_mcp::ToolName::parse("smartlead.update_lead")?;
/// assert_eq!((name.connection().as_str(), name.tool()), ("smartlead", "update_lead"));
/// # Ok::<(), tenancy_core::InvalidInput>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ToolName {
    connection: ConnectionKey,
    tool: String,
}

impl ToolName {
    /// Puts a name together.
    pub fn new(connection: ConnectionKey, tool: &str) -> Result<Self, InvalidInput> {
        if !is_tool_name(tool) {
            let shown = InvalidInput::quote(tool);
            let message = format!("`{shown}` is no tool name: use 1 to 128 of `A-Z a-z 0-9 _ . -`");
            return Err(InvalidInput::new("tool_name_invalid", message));
        }
        Ok(Self {
            connection,
            tool: tool.to_owned(),
        })
    }

    /// Parses `connection.tool`.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let Some((connection, tool)) = text.split_once('.') else {
            let shown = InvalidInput::quote(text);
            let message = format!("`{shown}` is no tool name: use `connection.tool`");
            return Err(InvalidInput::new("tool_name_invalid", message));
        };
        Self::new(ConnectionKey::parse(connection)?, tool)
    }

    /// The connection.
    pub fn connection(&self) -> &ConnectionKey {
        &self.connection
    }

    /// The server's name for the tool.
    pub fn tool(&self) -> &str {
        &self.tool
    }
}

impl std::fmt::Display for ToolName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.connection, self.tool)
    }
}

impl std::str::FromStr for ToolName {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Whether a server's name for a tool can be used; others are left out of the registry.
pub(crate) fn is_tool_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}

/// Makes a call happen once: a second call of the same tool with the same key gets the first
/// one's result. 1 to 255 printable ASCII characters.
///
/// Derive it from what the call is for (a job's id and step), not from its parameters: two calls
/// that are meant to be two would become one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Parses a key.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if (1..=255).contains(&text.len()) && text.bytes().all(printable) {
            return Ok(Self(text.to_owned()));
        }
        let shown = InvalidInput::quote(text);
        let message = format!(
            "`{shown}` is no idempotency key: use 1 to 255 printable ASCII characters, not {}",
            text.len()
        );
        Err(InvalidInput::new("idempotency_key_invalid", message))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_and_keys_are_refused() {
        for bad in [
            "", "x", ".x", "x.", "X.y", "a.b c", "a.b;drop", "a.ü", "a b.c",
        ] {
            assert!(ToolName::parse(bad).is_err(), "{bad}");
        }
        let dotted = ToolName::parse("crm.leads.update").unwrap();
        assert_eq!(
            (dotted.connection().as_str(), dotted.tool()),
            ("crm", "leads.update")
        );
        for bad in ["", "a\0b", "a\nb", "ключ", &"k".repeat(256)] {
            assert!(IdempotencyKey::parse(bad).is_err(), "{bad:?}");
        }
    }
}
