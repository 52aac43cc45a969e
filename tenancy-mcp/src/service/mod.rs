//! The use cases: they talk to ports and know no SQL.

mod approvals;
mod budget;
mod catalog;
mod dispatch;
mod invoke;
pub mod limit;
mod parts;
mod registry;
mod request;
mod router;
mod sessions;
mod tries;
mod validators;

pub use catalog::{McpCatalog, McpMaintenance, McpReconciler, Reconciled};
pub use registry::McpRegistry;
pub use router::{ToolRouter, ToolRouterBuilder};

tenancy_core::permissions! {
    /// The permissions that this crate's services ask for.
    pub mod perm {
        ConnectionsManage = "mcp.connections.manage", "connect and disconnect tool servers", [];
        ConnectionsRead = "mcp.connections.read", "see connections and their tools", [member, support];
        InvocationsResolve = "mcp.invocations.resolve", "settle calls whose outcome is unknown", [];
        ToolsApprove = "mcp.tools.approve", "approve tools and take approvals back", [];
        ToolsInvoke = "mcp.tools.invoke", "call approved tools", [member];
    }
}
