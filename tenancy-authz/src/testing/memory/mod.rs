//! A store in memory.

mod store;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tenancy_core::{PermissionDef, PermissionKey, RequestId, RoleKey, TenantId, TenantTx, UserId};

#[cfg(feature = "axum")]
use super::policy::MemberRow;
use super::policy::Policy;
use crate::{Error, RegisteredPermission, TEMPLATES, model::ALL_PERMISSIONS};

/// Keeps the policies of tenants in memory, by the same rules as the database.
///
/// What a transaction changed appears to others when it commits. It does not see the memberships
/// of the core: who is given roles by seeding or by an invitation is taken for a member, and
/// [`set_active`](Self::set_active) says who no longer is. Of two transactions of one tenant that
/// overlap, the last one to commit wins.
#[derive(Clone, Debug)]
pub struct MemoryPolicyStore(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    registry: BTreeMap<PermissionKey, RegisteredPermission>,
    templates: BTreeMap<RoleKey, BTreeSet<PermissionKey>>,
    tenants: HashMap<TenantId, Policy>,
    /// What open transactions see; gone when they are.
    staged: HashMap<RequestId, Weak<Mutex<Policy>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryPolicyStore {
    /// A store that knows these permissions.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a key that breaks the grammar, or for
    /// more than 65,536 of them.
    pub fn new(permissions: &[PermissionDef]) -> Result<Self, Error> {
        let mut state = State::default();
        for (at, definition) in permissions.iter().enumerate() {
            let key = PermissionKey::parse(definition.key)?;
            let bit = u16::try_from(at).map_err(|_| {
                Error::new(
                    crate::ErrorKind::InvalidInput,
                    "too_many_permissions",
                    "too many permissions",
                )
            })?;
            for template in TEMPLATES {
                let role = template.key.as_str();
                if ALL_PERMISSIONS.contains(&role) || definition.roles.contains(&role) {
                    state
                        .templates
                        .entry(template.key.clone())
                        .or_default()
                        .insert(key.clone());
                }
            }
            let entry = RegisteredPermission::new(key.clone(), definition.description, bit);
            state.registry.entry(key).or_insert(entry);
        }
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// Lets a member in or keeps him out, as the core's `Members::set_status` does.
    pub fn set_active(&self, tenant: TenantId, user: UserId, is_active: bool) {
        if let Some(policy) = lock(&self.0).tenants.get_mut(&tenant) {
            policy.epoch += 1;
            if let Some(member) = policy.members.get_mut(&user) {
                member.is_active = is_active;
            }
        }
    }

    /// Takes somebody for a member who has no role.
    #[cfg(feature = "axum")]
    pub(super) fn admit(&self, tenant: TenantId, user: UserId) {
        let mut policy = self.committed(tenant);
        let (is_active, is_owner) = (true, false);
        policy.members.insert(
            user,
            MemberRow {
                is_active,
                is_owner,
            },
        );
        lock(&self.0).tenants.insert(tenant, policy);
    }

    fn committed(&self, tenant: TenantId) -> Policy {
        let state = lock(&self.0);
        let known = state.tenants.get(&tenant).cloned();
        known.unwrap_or_else(|| Policy::of(state.registry.keys().cloned().collect()))
    }

    /// What the transaction sees: the copy it changed, or what is committed.
    fn seen(&self, tx: &TenantTx) -> Policy {
        let staged = lock(&self.0)
            .staged
            .get(&tx.ctx().request_id())
            .and_then(Weak::upgrade);
        match staged {
            Some(policy) => lock(&policy).clone(),
            None => self.committed(tx.ctx().tenant()),
        }
    }

    /// Puts what the transaction changed in place for it now, and for all once it commits. The hook
    /// holds the copy: a rollback drops both.
    fn stage(&self, tx: &mut TenantTx, policy: Policy) {
        let (tenant, request) = (tx.ctx().tenant(), tx.ctx().request_id());
        let mut state = lock(&self.0);
        if let Some(staged) = state.staged.get(&request).and_then(Weak::upgrade) {
            *lock(&staged) = policy;
            return;
        }
        let staged = Arc::new(Mutex::new(policy));
        state.staged.insert(request, Arc::downgrade(&staged));
        let store = self.clone();
        tx.after_commit(move || {
            let policy = lock(&staged).clone();
            lock(&store.0).tenants.insert(tenant, policy);
        });
    }
}
