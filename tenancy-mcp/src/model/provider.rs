//! What can be connected: the host's catalog.

use tenancy_core::InvalidInput;

use super::ProviderKey;

/// A service that speaks MCP, as the host's operator entered it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Provider {
    /// Its name for programs.
    pub key: ProviderKey,
    /// Its name for people.
    pub name: String,
    /// How it is reached.
    pub endpoint: Endpoint,
    /// How a call proves who it is from.
    pub auth: AuthKind,
    /// Whether its answers 429, and 503 with `Retry-After`, prove that nothing was done. Only
    /// then are they tried again for tools that must not run twice.
    pub rejects_before_work: bool,
    /// Whether tenants may use it.
    pub allowed: bool,
}

/// Where a provider is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Endpoint {
    /// A URL that speaks streamable HTTP. Not the place for secrets: it is logged.
    Http(String),
    /// A command that speaks MCP on stdin and stdout, by the name under which the host's code
    /// registered it with the transport. The command line itself is never in the database.
    Stdio(String),
}

impl Endpoint {
    /// The text the database stores for the kind.
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Stdio(_) => "stdio",
        }
    }

    /// The URL, or the command's name.
    pub fn address(&self) -> &str {
        match self {
            Self::Http(address) | Self::Stdio(address) => address,
        }
    }

    pub(crate) fn parse(transport: &str, address: String) -> Option<Self> {
        match transport {
            "http" => Some(Self::Http(address)),
            "stdio" => Some(Self::Stdio(address)),
            _ => None,
        }
    }
}

/// How a call proves who it is from.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AuthKind {
    /// `Authorization: Bearer …`, or the environment variable the command names.
    Bearer,
    /// The credential as the value of this header.
    Header(String),
    /// Not at all.
    None,
}

impl AuthKind {
    /// The text the database stores for the kind.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Header(_) => "header",
            Self::None => "none",
        }
    }

    /// The header's name, where it is one of its own.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            Self::Bearer | Self::None => None,
        }
    }

    pub(crate) fn parse(kind: &str, header: Option<String>) -> Option<Self> {
        match (kind, header) {
            ("bearer", None) => Some(Self::Bearer),
            ("header", Some(name)) => Some(Self::Header(name)),
            ("none", None) => Some(Self::None),
            _ => None,
        }
    }
}

impl Provider {
    /// A provider over streamable HTTP with a bearer token, allowed to all tenants.
    pub fn http(key: ProviderKey, name: &str, url: &str) -> Result<Self, InvalidInput> {
        let plausible = (url.starts_with("https://") || url.starts_with("http://"))
            && url.len() <= 2_048
            && url.bytes().all(|byte| byte.is_ascii_graphic())
            && !url.contains('@');
        if !plausible {
            let shown = InvalidInput::quote(url);
            let message =
                format!("`{shown}` is no http(s) URL without login, of at most 2048 characters");
            return Err(InvalidInput::new("endpoint_invalid", message));
        }
        Self::new(key, name, Endpoint::Http(url.to_owned()))
    }

    /// A provider that the transport starts as a child process, by the name of its command.
    pub fn stdio(key: ProviderKey, name: &str, command: &str) -> Result<Self, InvalidInput> {
        if !super::is_tool_name(command) {
            let shown = InvalidInput::quote(command);
            let message = format!("`{shown}` is no name of a command: use `A-Z a-z 0-9 _ . -`");
            return Err(InvalidInput::new("command_name_invalid", message));
        }
        Self::new(key, name, Endpoint::Stdio(command.to_owned()))
    }

    /// Sets how a call proves who it is from.
    pub fn with_auth(mut self, auth: AuthKind) -> Self {
        self.auth = auth;
        self
    }

    /// Says that 429, and 503 with `Retry-After`, prove that nothing was done.
    pub fn with_rejects_before_work(mut self, rejects: bool) -> Self {
        self.rejects_before_work = rejects;
        self
    }

    /// Opens or closes it to tenants; connections stay, their calls are refused.
    pub fn with_allowed(mut self, allowed: bool) -> Self {
        self.allowed = allowed;
        self
    }

    fn new(key: ProviderKey, name: &str, endpoint: Endpoint) -> Result<Self, InvalidInput> {
        let name = tenancy_core::TenantName::parse(name)?.as_str().to_owned();
        Ok(Self {
            key,
            name,
            endpoint,
            auth: AuthKind::Bearer,
            rejects_before_work: false,
            allowed: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_plain_http_url() {
        let key = ProviderKey::from_static("crm");
        assert!(Provider::http(key.clone(), "CRM", "https://crm.example/mcp").is_ok());
        for bad in [
            "",
            "crm.example",
            "file:///etc/passwd",
            "https://me:pw@crm.example",
            "https://a b",
        ] {
            assert!(Provider::http(key.clone(), "CRM", bad).is_err(), "{bad}");
        }
        assert!(Provider::stdio(key, "CRM", "rm -rf /").is_err());
    }
}
