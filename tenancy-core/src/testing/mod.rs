//! For tests of hosts and of the family: fakes that keep what they were told, tenants in one line,
//! and the conformance suites of the ports that the family shares. Not covered by semantic
//! versioning.

mod cipher;
pub mod conformance;
mod fakes;
mod fixture;
#[doc(hidden)]
pub mod fuzz;
mod jobs;

pub use cipher::FakeSubjectCipher;
pub use fakes::{
    FakeAuthorizer, FakeCredentials, MemoryAudit, MemoryPlatformLog, NoProgress, Recorded,
    TestLogin,
};
pub use fixture::{TestTenant, TestTenantBuilder, acting_for, imagined, join, member, tenant};
pub use jobs::MemoryJobs;
