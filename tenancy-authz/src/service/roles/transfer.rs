use serde_json::json;
use tenancy_core::{Event, RoleKey, TenantCtx};

use super::Roles;
use crate::{Error, ErrorKind, PolicyDiff, PolicyDocument, model::OWNER};

/// How a policy is imported.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Deletes the roles that the document does not name, and takes all roles from the members it
    /// does not name.
    pub(super) prune: bool,
    /// Makes all changes and takes them back: what would be refused is refused.
    pub(super) dry_run: bool,
}

impl ImportOptions {
    /// Whether roles and members that the document does not name go; they stay by default.
    pub fn with_prune(mut self, prune: bool) -> Self {
        self.prune = prune;
        self
    }

    /// Whether nothing is to be kept of it.
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

impl Roles {
    /// The whole policy of the tenant, to be edited and imported again.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `roles.read`.
    pub async fn export(&self, ctx: &TenantCtx) -> Result<PolicyDocument, Error> {
        let mut tx = self.reading(ctx).await?;
        self.authorizer.store().policy_in(&mut tx).await
    }

    /// What an import would change, by what is so now.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `roles.read`; else as [`PolicyDiff::between`].
    pub async fn diff(
        &self,
        ctx: &TenantCtx,
        policy: &PolicyDocument,
        options: &ImportOptions,
    ) -> Result<PolicyDiff, Error> {
        PolicyDiff::between(&self.export(ctx).await?, policy, options.prune)
    }

    /// Makes a policy what a document says, as a whole or not at all, and answers what was changed.
    /// Each change has its entry in the audit log, and the import has one more. The rules of the others
    /// here hold for the whole: who imports holds what is given and taken when he begins, and what is a
    /// limit, a circle of parents or the end of administration only in passing is none.
    ///
    /// # Errors
    /// [`PolicyChanged`](ErrorKind::PolicyChanged) if the document names an epoch and anything was
    /// changed since: export again; as [`PolicyDiff::between`]; as the changes themselves.
    pub async fn import(
        &self,
        ctx: &TenantCtx,
        policy: &PolicyDocument,
        options: &ImportOptions,
    ) -> Result<PolicyDiff, Error> {
        let mut tx = self.changing(ctx).await?;
        let store = self.authorizer.store();
        let epoch = match store.lock_in(&mut tx).await {
            Ok(epoch) => epoch,
            // The right was lost since it was asked for.
            Err(error) => {
                let owner = RoleKey::from_static(OWNER);
                return Err(self.refused(tx, &owner, error).await);
            }
        };
        if policy.epoch.is_some_and(|exported| exported != epoch) {
            let message = "the policy was changed since it was exported: export it again";
            return Err(Error::new(
                ErrorKind::PolicyChanged,
                "policy_changed",
                message,
            ));
        }
        let current = store.policy_in(&mut tx).await?;
        let diff = PolicyDiff::between(&current, policy, options.prune)?;
        if diff.is_empty() {
            tx.rollback().await?;
            return Ok(diff);
        }
        let (tx, applied) = self.make(tx, &diff.changes).await?;
        if options.dry_run {
            tx.rollback().await?;
            return Ok(diff);
        }
        let event = Event::new("policy.imported")
            .meta("before", json!({ "epoch": epoch }))
            .meta("after", json!({ "changes": diff.changes.len() }));
        self.keep(tx, &diff.changes, applied, Some(event)).await?;
        Ok(diff)
    }
}
