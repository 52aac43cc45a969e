//! The quotas of a tenant that this crate keeps to; the platform sets them
//! ([`Platform::set_limit`](tenancy_core::Platform::set_limit)).

use tenancy_core::Limit;

/// `mcp.connections`: how many connections a tenant may have, disconnected ones included.
pub const CONNECTIONS: Limit = Limit::new(
    "mcp.connections",
    "how many connections to tool servers there may be",
    100,
)
.within(0, 1_000);
