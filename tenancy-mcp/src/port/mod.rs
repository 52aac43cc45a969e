//! The traits that a host may implement.

mod invocation;
mod registry;
mod transport;

pub use invocation::InvocationStore;
pub use registry::{Approved, RegistryStore, Route};
pub use transport::{McpSession, McpTransport};

#[cfg(feature = "testing")]
pub use self::{
    invocation::MockInvocationStore,
    registry::MockRegistryStore,
    transport::{MockMcpSession, MockMcpTransport},
};
