//! A load that is under way.

use std::sync::Arc;

use tokio::sync::watch;

use super::entry::Start;
use crate::{Error, Snapshot};

pub(crate) type Outcome = Result<Arc<Snapshot>, Arc<Error>>;

#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) id: u64,
    /// Before the query was sent: what it shows is at least as new.
    pub(crate) start: Start,
    pub(crate) outcome: watch::Receiver<Option<Outcome>>,
}
