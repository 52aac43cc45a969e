//! Counting equal denials instead of recording each.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tenancy_core::{
    Actor, ApiKeyId, DenyReason, PermissionKey, ServiceKey, TenantCtx, TenantId, UserId,
};

/// How many different denials are counted at a time; further ones are recorded one by one.
const MAX_OPEN: usize = 10_000;

/// Denials that were recorded a moment ago, and how many equal ones came since.
#[derive(Debug)]
pub(crate) struct Folds {
    window: Duration,
    open: Mutex<HashMap<Same, Fold>>,
}

/// What makes two denials equal. A struct and not a joined text: all parts have to be.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Same {
    tenant: TenantId,
    who: Who,
    on_behalf_of: Option<UserId>,
    missing: Vec<PermissionKey>,
    reason: &'static str,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Who {
    ApiKey(ApiKeyId),
    Service(ServiceKey),
    User(UserId),
}

/// Equal denials that are not on record yet.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) ctx: TenantCtx,
    pub(crate) missing: Vec<PermissionKey>,
    pub(crate) reason: DenyReason,
    pub(crate) count: u64,
}

/// What becomes of a denial.
#[derive(Debug)]
pub(crate) enum Counted {
    /// It is recorded by itself.
    Alone,
    /// It is recorded by itself, and equal ones are counted until the fold is closed.
    Opened(Same),
    /// It is recorded with others, later.
    Folded,
}

impl Folds {
    pub(crate) fn new(window: Duration) -> Self {
        let open = Mutex::default();
        Self { window, open }
    }

    pub(crate) fn window(&self) -> Duration {
        self.window
    }

    pub(crate) fn count(
        &self,
        ctx: &TenantCtx,
        missing: &[PermissionKey],
        reason: DenyReason,
    ) -> Counted {
        if self.window.is_zero() {
            return Counted::Alone;
        }
        let Some(same) = Same::of(ctx, missing, reason) else {
            return Counted::Alone;
        };
        let mut open = self.open();
        if let Some(fold) = open.get_mut(&same) {
            fold.count += 1;
            fold.ctx = ctx.clone();
            return Counted::Folded;
        }
        if open.len() >= MAX_OPEN {
            return Counted::Alone;
        }
        let fold = Fold {
            ctx: ctx.clone(),
            missing: missing.to_vec(),
            reason,
            count: 0,
        };
        open.insert(same.clone(), fold);
        Counted::Opened(same)
    }

    /// Ends a fold; answers it if anything was counted.
    pub(crate) fn close(&self, same: &Same) -> Option<Fold> {
        self.open().remove(same).filter(|fold| fold.count > 0)
    }

    /// Takes what was counted so far; the folds stay open.
    pub(crate) fn take(&self) -> Vec<Fold> {
        let mut open = self.open();
        let counted = open.values_mut().filter(|fold| fold.count > 0);
        counted
            .map(|fold| Fold {
                ctx: fold.ctx.clone(),
                missing: fold.missing.clone(),
                reason: fold.reason,
                count: std::mem::take(&mut fold.count),
            })
            .collect()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Same, Fold>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Same {
    /// `None` for a kind of actor that this version does not know.
    fn of(ctx: &TenantCtx, missing: &[PermissionKey], reason: DenyReason) -> Option<Self> {
        let principal = ctx.principal();
        let who = match &principal.actor {
            Actor::ApiKey { id, .. } => Who::ApiKey(*id),
            Actor::Service { key, .. } => Who::Service(key.clone()),
            Actor::User { id } => Who::User(*id),
            _ => return None,
        };
        Some(Self {
            tenant: ctx.tenant(),
            who,
            on_behalf_of: principal.on_behalf_of,
            missing: missing.to_vec(),
            reason: reason.as_str(),
        })
    }
}
