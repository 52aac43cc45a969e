//! Erasing details that were recorded without a cipher.

use serde_json::Value;
use tenancy_core::TenantId;
use uuid::Uuid;

use super::{Retention, check_reason, held};
use crate::{
    AuditEntryId, Entry, Erasure, Error, ErrorKind,
    error::code,
    model::{ERASED, SealedAs, is_sealed},
    postgres::{OwnerTx, Reading},
};

/// How many entries one rule names at most.
const MOST_ENTRIES: usize = 1_000;

/// Which personal details to erase.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DetailRule {
    /// The tenant.
    pub tenant: TenantId,
    /// The entries, 1 to 1,000.
    pub entries: Vec<AuditEntryId>,
    /// The names of the details; if there are none, all.
    pub names: Vec<String>,
    /// Why, for the record: 1 to 512 bytes.
    pub reason: String,
}

impl DetailRule {
    /// All personal details of these entries.
    pub fn new(
        tenant: TenantId,
        entries: impl IntoIterator<Item = AuditEntryId>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            tenant,
            entries: entries.into_iter().collect(),
            names: Vec::new(),
            reason: reason.into(),
        }
    }

    /// Only the details of these names.
    pub fn with_names(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.names = names.into_iter().collect();
        self
    }

    fn check(&self) -> Result<(), Error> {
        check_reason(&self.reason)?;
        if (1..=MOST_ENTRIES).contains(&self.entries.len()) {
            return Ok(());
        }
        let message = format!("name 1 to {MOST_ENTRIES} entries");
        Err(Error::invalid("audit_entries_invalid", message))
    }

    /// The names of the entry's details that are to go.
    fn names_in(&self, entry: &Entry) -> Vec<String> {
        let wanted = |name: &&String| {
            *name != ERASED
                && !is_sealed(name)
                && (self.names.is_empty() || self.names.contains(name))
        };
        entry.personal.keys().filter(wanted).cloned().collect()
    }
}

impl Retention {
    /// Erases personal details that were recorded without a cipher: takes them out of these entries, and puts
    /// a signed [`Erasure`] in their place, so that the entries still verify. All or nothing; of how many
    /// entries something went. What a cipher has sealed is erased with the subject's key instead:
    /// [`AuditLog::erase_subject`](crate::AuditLog::erase_subject).
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) `audit_held` under a legal hold, or `audit_details_moved` if an entry
    /// was changed meanwhile; [`NotFound`](ErrorKind::NotFound) `audit_entry_not_sealed`;
    /// [`InvalidInput`](ErrorKind::InvalidInput) `audit_reason_invalid`, `audit_entries_invalid`;
    /// [`Internal`](ErrorKind::Internal) `audit_removal_unproven` if an entry is not as it was sealed.
    pub async fn erase_details(&self, rule: &DetailRule) -> Result<u64, Error> {
        rule.check()?;
        let mut tx = OwnerTx::begin(&self.operator).await?;
        if tx.is_held(rule.tenant).await? {
            return Err(held(rule.tenant));
        }
        let mut ids: Vec<Uuid> = rule.entries.iter().map(|id| id.as_uuid()).collect();
        ids.sort_unstable();
        ids.dedup();
        let reading = tx.reading(rule.tenant).await?;
        let entries = reading.entries_of(rule.tenant, &ids).await?;
        if let Some(unknown) = first_unsealed(reading, &ids, &entries).await? {
            let message = format!("there is no entry `{unknown}`, or it waits for its seal");
            return Err(Error::new(
                ErrorKind::NotFound,
                "audit_entry_not_sealed",
                message,
            ));
        }
        let prover = self.prover(rule.tenant);
        prover.places_of(&mut tx, &entries, &mut 0).await?;
        let changes = self.changes(rule, &entries).await?;
        let erased = tx.erase_details(rule.tenant, &changes).await?;
        if erased != changes.len() as u64 {
            let message = "an entry was changed meanwhile: try again";
            return Err(Error::new(
                ErrorKind::Conflict,
                code::DETAILS_MOVED,
                message,
            ));
        }
        tx.commit().await?;
        Ok(erased)
    }

    /// The details of each entry before and after.
    async fn changes(
        &self,
        rule: &DetailRule,
        entries: &[(Entry, SealedAs)],
    ) -> Result<Vec<(AuditEntryId, Value, Value)>, Error> {
        let mut changes = Vec::new();
        for (entry, _) in entries {
            let names = rule.names_in(entry);
            if names.is_empty() {
                continue;
            }
            let mut erasure = Erasure::new(names, &rule.reason, &self.signer.key_name());
            let bytes = erasure.to_sign(rule.tenant, entry.id);
            erasure.signature = self.signer.sign(&bytes).await?;
            let mut left = entry.personal.clone();
            left.retain(|name, _| !erasure.names.contains(name));
            let mut all = entry.erasures();
            all.push(erasure);
            let all = serde_json::to_value(all).map_err(|_| {
                let message = "an erasure can't be written as JSON";
                Error::new(ErrorKind::Internal, "audit_row_unreadable", message)
            })?;
            left.insert(ERASED.to_owned(), all);
            let before = Value::Object(entry.personal.clone());
            changes.push((entry.id, before, Value::Object(left)));
        }
        Ok(changes)
    }
}

/// The first of these that is not there, or waits for its seal.
async fn first_unsealed(
    reading: &mut Reading,
    ids: &[Uuid],
    entries: &[(Entry, SealedAs)],
) -> Result<Option<Uuid>, Error> {
    let horizon = reading.horizon().await?;
    for id in ids {
        let found = entries.iter().find(|(entry, _)| entry.id.as_uuid() == *id);
        let sealed = match found {
            // Of the transaction at which the sealer stands it may have taken a part.
            Some((entry, stored)) if stored.transaction == horizon => {
                reading.holding(entry.tenant, entry.id).await?.is_some()
            }
            Some((_, stored)) => stored.transaction < horizon,
            None => false,
        };
        if !sealed {
            return Ok(Some(*id));
        }
    }
    Ok(None)
}
