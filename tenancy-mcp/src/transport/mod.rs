//! The transport on the official SDK: streamable HTTP and stdio.
//!
//! The SDK's types stay in here.

mod egress;
mod fault;
mod session;
mod stdio;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{
    Client,
    header::{HeaderName, HeaderValue},
    redirect::Policy,
};
use rmcp::{
    ClientCacheConfig, ClientLifecycleMode, ClientServiceExt as _, RoleClient,
    model::ProtocolVersion,
    service::RunningService,
    transport::{
        IntoTransport, StreamableHttpClientTransport,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use tenancy_core::TenantCtx;

pub use egress::EgressPolicy;
pub use stdio::StdioCommand;

use crate::{
    AuthKind, CallFault, ConnectTarget, Endpoint, Error, ErrorKind, FaultKind, McpSession,
    McpTransport,
};
use egress::PublicDns;
use session::{Listener, RmcpSession};

/// Reaches MCP servers over streamable HTTP, and over stdio those the host's code names.
///
/// Speaks the newest revision of the protocol and falls back to older ones. HTTP connections are
/// pooled, encrypted, bounded in time and size, and go only where the [`EgressPolicy`] allows.
///
/// ```
/// use tenancy_mcp::transport::{EgressPolicy, RmcpTransport, StdioCommand};
///
/// let transport = RmcpTransport::builder()
///     .egress(EgressPolicy::default())
///     .command("files", StdioCommand::new("mcp-files").arg("--read-only"))
///     .build()?;
/// # let _: std::sync::Arc<dyn tenancy_mcp::McpTransport> = std::sync::Arc::new(transport);
/// # Ok::<(), tenancy_mcp::Error>(())
/// ```
#[derive(Clone)]
pub struct RmcpTransport {
    client: Client,
    egress: EgressPolicy,
    commands: Arc<HashMap<String, StdioCommand>>,
    max_response: usize,
}

/// Puts an [`RmcpTransport`] together.
#[derive(Clone, Debug, Default)]
pub struct RmcpTransportBuilder {
    egress: EgressPolicy,
    commands: HashMap<String, StdioCommand>,
    max_response: Option<usize>,
}

impl RmcpTransportBuilder {
    /// Sets where HTTP may go.
    pub fn egress(mut self, policy: EgressPolicy) -> Self {
        self.egress = policy;
        self
    }

    /// Lets providers with this stdio endpoint run this command.
    pub fn command(mut self, name: impl Into<String>, command: StdioCommand) -> Self {
        self.commands.insert(name.into(), command);
        self
    }

    /// Sets the largest answer in bytes; 16 MiB by default.
    pub fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.max_response = Some(bytes);
        self
    }

    /// Puts it together.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) if this machine's TLS can't be set up.
    pub fn build(self) -> Result<RmcpTransport, Error> {
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(PublicDns::shared(self.egress))
            .build()
            .map_err(|_| {
                let message = "the HTTP client can't be set up";
                Error::new(ErrorKind::Misconfigured, "http_client", message)
            })?;
        Ok(RmcpTransport {
            client,
            egress: self.egress,
            commands: Arc::new(self.commands),
            max_response: self.max_response.unwrap_or(MAX_RESPONSE),
        })
    }
}

impl RmcpTransport {
    /// Starts with the defaults: no commands, public addresses only.
    pub fn builder() -> RmcpTransportBuilder {
        RmcpTransportBuilder::default()
    }

    fn http_config(
        &self,
        url: &str,
        target: &ConnectTarget,
    ) -> Result<StreamableHttpClientTransportConfig, CallFault> {
        let url = self.egress.check(url)?;
        let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
            .max_concurrent_requests(CONCURRENT)
            .max_json_response_size(self.max_response)
            .max_sse_event_size(self.max_response)
            // A call is sent again by the router or by nobody.
            .reinit_on_expired_session(false);
        let mut resume = rmcp::transport::common::client_side_sse::ExponentialBackoff::default();
        resume.max_times = Some(RESUMES);
        config.retry_config = Arc::new(resume);
        let Some(credential) = &target.credential else {
            return Ok(config);
        };
        let secret = credential.secret.expose();
        Ok(match &target.provider.auth {
            AuthKind::Bearer => config.auth_header(secret),
            AuthKind::Header(name) => config.custom_headers(own_header(name, secret)?),
            AuthKind::None => config,
        })
    }

    async fn serve<T, E, A>(transport: T) -> Result<RunningService<RoleClient, Listener>, CallFault>
    where
        T: IntoTransport<RoleClient, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::LATEST],
            legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
        };
        let served = Listener::default()
            .serve_with_lifecycle(transport, lifecycle)
            .await;
        let service = served.map_err(|error| fault::of_connecting(&error))?;
        // A list of tools out of a cache could hide that a tool changed.
        let no_cache = ClientCacheConfig::disabled();
        service.peer().set_response_cache_config(no_cache).await;
        Ok(service)
    }
}

#[async_trait]
impl McpTransport for RmcpTransport {
    async fn connect(
        &self,
        _: &TenantCtx,
        target: ConnectTarget,
    ) -> Result<Arc<dyn McpSession>, CallFault> {
        let connecting = async {
            match &target.provider.endpoint {
                Endpoint::Http(url) => {
                    let config = self.http_config(url, &target)?;
                    let client = self.client.clone();
                    Self::serve(StreamableHttpClientTransport::with_client(client, config)).await
                }
                Endpoint::Stdio(name) => {
                    let command = self.commands.get(name).ok_or_else(|| {
                        let message = format!("the host has no command `{name}`");
                        CallFault::unsent(FaultKind::Forbidden, message)
                    })?;
                    Self::serve(command.start(target.credential.as_ref())?).await
                }
            }
        };
        let served = tokio::time::timeout(target.timeout, connecting).await;
        let service = served.unwrap_or_else(|_| {
            let message = "the server did not answer in time while connecting";
            Err(CallFault::unsent(FaultKind::Timeout, message))
        })?;
        Ok(Arc::new(RmcpSession::new(service)))
    }
}

impl fmt::Debug for RmcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RmcpTransport")
            .field("egress", &self.egress)
            .field("commands", &self.commands.keys())
            .finish_non_exhaustive()
    }
}

fn own_header(name: &str, secret: &str) -> Result<HashMap<HeaderName, HeaderValue>, CallFault> {
    let forbidden = |message: &str| CallFault::unsent(FaultKind::Forbidden, message);
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| forbidden("the provider's header has no valid name"))?;
    let mut value = HeaderValue::from_str(secret)
        .map_err(|_| forbidden("the credential can't be the value of a header"))?;
    value.set_sensitive(true);
    Ok(HashMap::from([(name, value)]))
}

const CONNECT: Duration = Duration::from_secs(10);
const POOL_IDLE: Duration = Duration::from_secs(90);
const CONCURRENT: usize = 64;
/// How often a broken stream of an older revision is resumed; the SDK's default is forever.
const RESUMES: usize = 2;
const MAX_RESPONSE: usize = 16 * 1024 * 1024;
