//! The conformance suites of the ports, for tests of hosts. Not covered by semantic versioning.

pub mod conformance;
