//! A store in memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tenancy_core::{
    Decision, DenyReason, PermissionDef, PermissionKey, RequestId, RoleKey, TenantCtx, TenantId,
    TenantTx, UserId,
};

use super::policy::{MemberRow, Policy, RoleRow};
use crate::{
    Applied, Change, Epoch, Error, Explanation, Grant, Holder, MemberState, PolicyStore,
    RegisteredPermission, Role, RolePage, Snapshot, TEMPLATES,
    model::{ALL_PERMISSIONS, OWNER, Refusal},
};

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

    fn committed(&self, tenant: TenantId) -> Policy {
        lock(&self.0)
            .tenants
            .get(&tenant)
            .cloned()
            .unwrap_or_default()
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

#[async_trait]
impl PolicyStore for MemoryPolicyStore {
    async fn registry(&self, _: &TenantCtx) -> Result<Vec<RegisteredPermission>, Error> {
        Ok(lock(&self.0).registry.values().cloned().collect())
    }

    async fn snapshot(
        &self,
        ctx: &TenantCtx,
        known: Option<Epoch>,
    ) -> Result<Option<Snapshot>, Error> {
        let policy = self.committed(ctx.tenant());
        if known == Some(policy.epoch) {
            return Ok(None);
        }
        let Some(user) = ctx.user().or(ctx.maker()) else {
            return Ok(Some(Snapshot::default()));
        };
        let now = Utc::now();
        let state = lock(&self.0);
        let permissions = policy.permissions_of(user, now);
        let bits = permissions
            .iter()
            .filter_map(|key| Some(state.registry.get(key)?.bit));
        Ok(Some(Snapshot {
            epoch: policy.epoch,
            is_member: policy
                .members
                .get(&user)
                .is_some_and(|member| member.is_active),
            roles: policy
                .roles_of(user, now)
                .map(|(role, _)| role.clone())
                .collect(),
            permissions: bits.collect(),
            valid_for: policy
                .roles_of(user, now)
                .filter_map(|(_, ends)| left(ends?, now))
                .min(),
        }))
    }

    async fn decide_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
    ) -> Result<Decision, Error> {
        let policy = self.seen(tx);
        let deny = |reason| Ok(Decision::Deny(reason));
        match tx.ctx().principal().actor.permissions() {
            Some(brought) if !brought.contains(permission) => return deny(DenyReason::NotGranted),
            Some(_) if tx.ctx().maker().is_none() => return Ok(Decision::Allow),
            _ => {}
        }
        if !lock(&self.0).registry.contains_key(permission) {
            return deny(DenyReason::UnknownPermission);
        }
        let user = tx.ctx().user().or(tx.ctx().maker()).filter(|user| {
            policy
                .members
                .get(user)
                .is_some_and(|member| member.is_active)
        });
        match user.map(|user| policy.permissions_of(user, Utc::now()).contains(permission)) {
            Some(true) => Ok(Decision::Allow),
            Some(false) => deny(DenyReason::NotGranted),
            None => deny(DenyReason::NotAMember),
        }
    }

    async fn roles_in(&self, tx: &mut TenantTx) -> Result<Vec<RoleKey>, Error> {
        let policy = self.seen(tx);
        let Some(user) = tx.ctx().user() else {
            return Ok(Vec::new());
        };
        Ok(policy
            .roles_of(user, Utc::now())
            .map(|(role, _)| role.clone())
            .collect())
    }

    async fn change_in(&self, tx: &mut TenantTx, change: &Change) -> Result<Applied, Error> {
        let mut policy = self.seen(tx);
        let registered = lock(&self.0).registry.keys().cloned().collect();
        let applied = policy
            .apply(tx.ctx(), change, &registered, Utc::now())
            .map_err(|refusal| refusal.into_error(change.role().as_str()))?;
        self.stage(tx, policy);
        Ok(applied)
    }

    async fn seed_in(&self, tx: &mut TenantTx, owner: UserId) -> Result<Applied, Error> {
        let mut policy = self.seen(tx);
        let templates = lock(&self.0).templates.clone();
        let mut changed = false;
        for template in TEMPLATES {
            if policy.retired.contains(&template.key) {
                continue;
            }
            policy.roles.entry(template.key.clone()).or_insert_with(|| {
                changed = true;
                let permissions = templates.get(&template.key).cloned().unwrap_or_default();
                RoleRow {
                    name: template.name.to_owned(),
                    is_system: true,
                    permissions,
                }
            });
        }
        policy.members.entry(owner).or_insert(MemberRow {
            is_active: true,
            is_owner: true,
        });
        let role = (owner, RoleKey::from_static(OWNER));
        policy.assigned.entry(role).or_insert_with(|| {
            changed = true;
            None
        });
        if !changed {
            return Ok(Applied::Unchanged);
        }
        policy.epoch += 1;
        self.stage(tx, policy);
        Ok(Applied::Changed(Value::Null))
    }

    async fn may_grant_in(&self, tx: &mut TenantTx, roles: &[RoleKey]) -> Result<(), Error> {
        let (policy, now) = (self.seen(tx), Utc::now());
        for role in roles {
            let refuse = |refusal: Refusal| Err(refusal.into_error(role.as_str()));
            let Some(row) = policy.roles.get(role) else {
                return refuse(Refusal::RoleUnknown { role: None });
            };
            if let Some(permission) = policy.lacks_for_good(tx.ctx(), &row.permissions, now) {
                return refuse(Refusal::Exceeds { permission });
            }
        }
        Ok(())
    }

    async fn assign_invited_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        invited_by: UserId,
        roles: &[RoleKey],
    ) -> Result<(), Error> {
        let mut policy = self.seen(tx);
        let granted = policy.permissions_of(invited_by, Utc::now());
        for role in roles {
            let refuse = |refusal: Refusal| Err(refusal.into_error(role.as_str()));
            let Some(row) = policy.roles.get(role) else {
                return refuse(Refusal::RoleUnknown { role: None });
            };
            if let Some(missing) = row.permissions.iter().find(|key| !granted.contains(key)) {
                return refuse(Refusal::Exceeds {
                    permission: missing.to_string(),
                });
            }
        }
        policy.members.entry(member).or_insert(MemberRow {
            is_active: true,
            is_owner: false,
        });
        policy
            .assigned
            .extend(roles.iter().map(|role| ((member, role.clone()), None)));
        policy.epoch += 1;
        self.stage(tx, policy);
        Ok(())
    }

    async fn set_roles_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        roles: &[RoleKey],
    ) -> Result<Applied, Error> {
        let mut policy = self.seen(tx);
        let applied = policy.set_roles(tx.ctx(), member, roles, Utc::now());
        let applied = applied.map_err(|(role, refusal)| refusal.into_error(role.as_str()))?;
        if applied != Applied::Unchanged {
            self.stage(tx, policy);
        }
        Ok(applied)
    }

    async fn set_owner_in(
        &self,
        tx: &mut TenantTx,
        member: UserId,
        is_owner: bool,
    ) -> Result<(), Error> {
        let mut policy = self.seen(tx);
        policy.set_owner(member, is_owner);
        self.stage(tx, policy);
        Ok(())
    }

    async fn list_in(&self, tx: &mut TenantTx, page: &RolePage) -> Result<Vec<Role>, Error> {
        let policy = self.seen(tx);
        let behind = policy
            .roles
            .iter()
            .filter(|(key, _)| page.after.as_ref() < Some(key));
        let role = |(key, row): (&RoleKey, &RoleRow)| {
            let count = u32::try_from(row.permissions.len()).unwrap_or(u32::MAX);
            Role::new(key.clone(), &row.name, row.is_system, count)
        };
        Ok(behind.take(usize::from(page.limit)).map(role).collect())
    }

    async fn role_permissions_in(
        &self,
        tx: &mut TenantTx,
        role: &RoleKey,
    ) -> Result<Vec<PermissionKey>, Error> {
        let unknown = || Refusal::RoleUnknown { role: None }.into_error(role.as_str());
        let policy = self.seen(tx);
        let row = policy.roles.get(role).ok_or_else(unknown)?;
        Ok(row.permissions.iter().cloned().collect())
    }

    async fn member_permissions_in(
        &self,
        tx: &mut TenantTx,
        user: UserId,
    ) -> Result<Vec<PermissionKey>, Error> {
        Ok(self
            .seen(tx)
            .permissions_of(user, Utc::now())
            .into_iter()
            .collect())
    }

    async fn explain_in(
        &self,
        tx: &mut TenantTx,
        user: UserId,
        permission: &PermissionKey,
    ) -> Result<Explanation, Error> {
        let (policy, now) = (self.seen(tx), Utc::now());
        let mut explanation = Explanation::new(user, permission.clone());
        explanation.is_registered = lock(&self.0).registry.contains_key(permission);
        explanation.member = match policy.members.get(&user) {
            None => MemberState::Stranger,
            Some(member) if member.is_active => MemberState::Active,
            Some(_) => MemberState::Deactivated,
        };
        for ((_, role), ends) in policy.assigned.iter().filter(|((of, _), _)| *of == user) {
            let grants = policy
                .roles
                .get(role)
                .is_some_and(|row| row.permissions.contains(permission));
            if ends.is_none_or(|ends| ends > now) {
                explanation
                    .roles
                    .push(Grant::new(role.clone(), *ends, grants));
            }
        }
        explanation.roles.sort_by_key(|role| !role.grants);
        Ok(explanation)
    }

    async fn holders_in(
        &self,
        tx: &mut TenantTx,
        permission: &PermissionKey,
        after: Option<UserId>,
        limit: u16,
    ) -> Result<Vec<Holder>, Error> {
        let (policy, now) = (self.seen(tx), Utc::now());
        let holder = |user: &UserId| {
            let grants = |role: &RoleKey| {
                policy
                    .roles
                    .get(role)
                    .is_some_and(|row| row.permissions.contains(permission))
            };
            let roles = policy.roles_of(*user, now).map(|(role, _)| role.clone());
            let roles: Vec<_> = roles.filter(grants).collect();
            (!roles.is_empty()).then(|| Holder::new(*user, roles))
        };
        let behind = policy
            .members
            .keys()
            .filter(|user| after.as_ref() < Some(user));
        Ok(behind.filter_map(holder).take(usize::from(limit)).collect())
    }
}

fn left(ends: DateTime<Utc>, now: DateTime<Utc>) -> Option<Duration> {
    (ends - now).to_std().ok()
}
