//! For tests of hosts and of the family: fakes that keep what they were told, and tenants in one
//! line. Not covered by semantic versioning.

mod fakes;
mod fixture;

pub use fakes::{
    FakeAuthorizer, FakeCredentials, MemoryAudit, MemoryJobs, NoProgress, Recorded, TestLogin,
};
pub use fixture::{member, tenant};
