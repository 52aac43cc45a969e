//! Who may change what.

use tenancy_core::{
    AuditSink, Authorizer, Event, Outcome, Permission as _, RoleKey, TenantCtx, TenantTx,
};

use super::perm;
use crate::{DocId, DocumentStore, Error, ErrorKind, KnownDocument, SourceId};

/// What the decisions need.
pub(super) struct Access<'a> {
    pub(super) authorizer: &'a dyn Authorizer,
    pub(super) audit: &'a dyn AuditSink,
    pub(super) documents: &'a dyn DocumentStore,
}

/// How the caller stands to a source.
struct Standing {
    /// Whether there is such a source.
    known: bool,
    may_write: bool,
    roles: Vec<RoleKey>,
}

impl Access<'_> {
    /// Lets through whoever may write to a source: one of its writers, whoever holds `kb.manage`,
    /// and services and API keys, which have no roles and are bounded by the permissions they bring.
    ///
    /// No document is looked at, so that a refusal tells nothing about one. It is recorded.
    pub(super) async fn require_writer(
        &self,
        tx: &mut TenantTx,
        source: SourceId,
    ) -> Result<(), Error> {
        let ctx = tx.ctx().clone();
        let standing = self.standing(tx, source).await?;
        if !standing.known {
            return Err(source_unknown());
        }
        if standing.may_write {
            return Ok(());
        }
        let event = Event::new("kb.source.denied").target("kb_source", source);
        let event = event.meta("reason", "not_a_writer");
        self.denied(&ctx, event).await;
        let message = "you are not one of the source's writers, and `kb.manage` is missing";
        Err(Error::new(ErrorKind::Denied, "source_denied", message))
    }

    /// A document that the caller may change, being a writer of its source.
    ///
    /// Whoever is not is told so only if he may read it. One that he may not read and one that is
    /// not there are the same to him: the same statements, the same entry, the same answer.
    pub(super) async fn writable(
        &self,
        tx: &mut TenantTx,
        doc: DocId,
    ) -> Result<KnownDocument, Error> {
        let ctx = tx.ctx().clone();
        let known = self.documents.place_of_in(tx, doc).await?;
        let source = known.as_ref().map_or_else(SourceId::new, |it| it.source);
        let standing = self.standing(tx, source).await?;
        let reads = |it: &KnownDocument| overlap(&it.allowed_roles, &standing.roles);
        let error = match known {
            Some(known) if standing.may_write => return Ok(known),
            None if standing.may_write => return Err(document_unknown()),
            Some(known) if reads(&known) => {
                let message = "you are not one of the writers of the document's source, and `kb.manage` is missing";
                Error::new(ErrorKind::Denied, "document_denied", message)
            }
            _ => document_unknown(),
        };
        let event = Event::new("kb.document.denied").target("kb_doc", doc);
        self.denied(&ctx, event.meta("reason", error.code())).await;
        Err(error)
    }

    async fn standing(&self, tx: &mut TenantTx, source: SourceId) -> Result<Standing, Error> {
        let writers = self.documents.writers_in(tx, source).await?;
        let roles = self.authorizer.roles_in(tx).await?;
        let of_the_host = tx.ctx().principal().actor.permissions().is_some();
        let named = writers.as_ref().is_some_and(|it| overlap(it, &roles));
        let may_write = of_the_host || named || {
            let decision = self.authorizer.check_in(tx, &perm::KbManage::KEY).await?;
            decision.is_allowed()
        };
        Ok(Standing {
            known: writers.is_some(),
            may_write,
            roles,
        })
    }

    async fn denied(&self, ctx: &TenantCtx, event: Event) {
        let event = event.outcome(Outcome::Denied);
        if let Err(error) = self.audit.record(ctx, event).await {
            metrics::counter!("tenancy_denials_unrecorded_total").increment(1);
            tracing::error!(%error, tenant = %ctx.tenant(), "a denial could not be recorded");
        }
    }
}

fn overlap(left: &[RoleKey], right: &[RoleKey]) -> bool {
    left.iter().any(|role| right.contains(role))
}

/// Roles of either list, each once.
pub(super) fn united(left: &[RoleKey], right: &[RoleKey]) -> Vec<RoleKey> {
    let mut roles: Vec<RoleKey> = left.iter().chain(right).cloned().collect();
    roles.sort();
    roles.dedup();
    roles
}

pub(super) fn source_unknown() -> Error {
    let message = "there is no such source";
    Error::new(ErrorKind::NotFound, "source_unknown", message)
}

pub(super) fn document_unknown() -> Error {
    let message = "there is no such document";
    Error::new(ErrorKind::NotFound, "document_unknown", message)
}
