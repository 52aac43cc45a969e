//! Which handler does which kind.

use std::{collections::HashMap, sync::Arc};

use tenancy_core::{JobHandler, JobKind, PermissionKey};

use crate::{BatchHandler, Error, ErrorKind, TxHandler};

/// A handler of any of the three sorts.
#[derive(Clone)]
pub(super) enum Handler {
    Batch(Arc<dyn BatchHandler>),
    Plain(Arc<dyn JobHandler>),
    Tx(Arc<dyn TxHandler>),
}

impl Handler {
    fn kind(&self) -> JobKind {
        match self {
            Self::Batch(handler) => handler.kind(),
            Self::Plain(handler) => handler.kind(),
            Self::Tx(handler) => handler.kind(),
        }
    }
}

/// The handlers by kind, and what a principal needs for each.
#[derive(Clone, Default)]
pub(super) struct Handlers {
    by_kind: HashMap<JobKind, Handler>,
    required: HashMap<JobKind, PermissionKey>,
    twice: Option<JobKind>,
}

impl Handlers {
    pub(super) fn add(&mut self, handler: Handler) {
        let kind = handler.kind();
        if self.by_kind.insert(kind.clone(), handler).is_some() {
            self.twice = Some(kind);
        }
    }

    pub(super) fn require(&mut self, kind: JobKind, permission: PermissionKey) {
        self.required.insert(kind, permission);
    }

    pub(super) fn get(&self, kind: &JobKind) -> Option<&Handler> {
        self.by_kind.get(kind)
    }

    pub(super) fn required(&self, kind: &JobKind) -> Option<&PermissionKey> {
        self.required.get(kind)
    }

    pub(super) fn kinds(&self) -> Vec<JobKind> {
        self.by_kind.keys().cloned().collect()
    }

    /// What is wrong with the set, if anything.
    pub(super) fn check(&self, has_authorizer: bool) -> Result<(), Error> {
        let wrong = |code, message| Err(Error::new(ErrorKind::Misconfigured, code, message));
        if let Some(kind) = &self.twice {
            return wrong(
                "worker_handler_twice",
                format!("two handlers for jobs of kind `{kind}`"),
            );
        }
        if self.by_kind.is_empty() {
            return wrong(
                "worker_without_handlers",
                "a worker needs a handler".to_owned(),
            );
        }
        if let Some(kind) = self
            .required
            .keys()
            .find(|kind| !self.by_kind.contains_key(*kind))
        {
            return wrong(
                "worker_kind_unknown",
                format!("no handler for jobs of kind `{kind}`"),
            );
        }
        if !self.required.is_empty() && !has_authorizer {
            let message = "a permission is required and nobody can check it: give an authorizer";
            return wrong("worker_without_authorizer", message.to_owned());
        }
        Ok(())
    }
}
