//! Taking a log over into another cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::BufRead,
    sync::Arc,
};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use tenancy_core::{OperatorDb, TenantId};
use uuid::Uuid;

use super::{lost::Lost, retention::check_reason, sealer::sign};
use crate::{
    Error, SealKeys, SealSigner,
    model::{Adoption, LostSeal},
    postgres::{Adopting, NewSeal, SealedTenant},
};

/// How many entries are looked at together, unless it is said otherwise.
const BATCH: u32 = 32_768;

/// Adopts a log that came into another cluster: by a restore, by `pg_upgrade`, by logical replication. Until then the
/// sealer refuses with `audit_log_restored`: transactions are counted anew there, and their numbers mean nothing.
///
/// Keeps everybody out of the log for as long as it takes, seals what no seal holds, goes on counting above
/// everything that is there, and keeps a signed record for each tenant. Given the heads of an anchor, it names the
/// seals that are not there any more: verifiers then tell them as lost, and not as taken away. After a restore into
/// the same cluster, which the sealer can't see, it is called for just that.
///
/// A log of which nothing was ever sealed goes on in its new cluster, and nothing else: there are no seals to go on
/// from, and a sealer that begins later begins with the first entry. The numbers of two clusters can't be compared, so
/// that its seals don't prove in which order entries from before and from since were written.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_audit::{Adopter, Ed25519Signer, Error, SealKeys};
/// # async fn run(operator: tenancy_core::OperatorDb, heads: std::io::BufReader<std::fs::File>) -> Result<(), Error> {
/// let signer = Ed25519Signer::from_env()?;
/// let keys = SealKeys::new([signer.public_key()]); // and those before it
/// let adopter = Adopter::new(operator, Arc::new(signer), keys).with_anchor(heads).await?;
/// let adopted = adopter.adopt("restored from the backup of 3 a.m.").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Adopter {
    operator: OperatorDb,
    signer: Arc<dyn SealSigner>,
    keys: SealKeys,
    lost: Lost,
    batch: u32,
}

/// What was adopted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Adopted {
    /// Whether anything of the log was ever sealed: if not, nothing was to be sealed now.
    pub sealing: bool,
    /// How many tenants' logs: all that have seals, or lost them.
    pub tenants: u64,
    /// How many entries were sealed with it.
    pub entries: u64,
    /// Tenants with seals that are lost, and how many an anchor knew that no adoption had named before.
    pub lost: Vec<(TenantId, u64)>,
    /// How many lines of anchors were no head that anybody signed: each is a finding of a verifier.
    pub passed_over: u64,
}

/// Where a tenant's seals ended, and how many entries were sealed with the adoption.
#[derive(Clone, Copy, Debug, Default)]
struct Stood {
    seals: u64,
    entries: u64,
    loose: u64,
}

impl Stood {
    fn of(sealed: SealedTenant) -> Self {
        Self {
            seals: sealed.seals.cast_unsigned(),
            entries: sealed.entries.cast_unsigned(),
            loose: 0,
        }
    }
}

impl Adopter {
    /// As the operator; signs with this signer, and believes heads under these keys.
    pub fn new(operator: OperatorDb, signer: Arc<dyn SealSigner>, keys: SealKeys) -> Self {
        Self {
            operator,
            signer,
            keys,
            lost: Lost::default(),
            batch: BATCH,
        }
    }

    /// Compares the log with what an anchor kept, one head a line, and keeps those of seals that are not there and that
    /// no adoption has named before. Call it after the restore; for several anchors, for each.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) `audit_seal_key_unknown` if a seal that is not there was signed
    /// with a key that was not given, `audit_lost_too_many` if there are more than
    /// [`with_most_lost`](Self::with_most_lost) says, `audit_proof_format` if no line is a head;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) `audit_proof_unreadable`.
    pub async fn with_anchor(mut self, heads: impl BufRead) -> Result<Self, Error> {
        self.lost.read(heads, &self.operator, &self.keys).await?;
        Ok(self)
    }

    /// Keeps so many lost seals in memory, of all tenants together: a number and a hash each; 5 million by default. Call
    /// it before [`with_anchor`](Self::with_anchor).
    pub fn with_most_lost(mut self, seals: usize) -> Self {
        self.lost.at_most(seals);
        self
    }

    /// Looks at so many entries at once, 1 to 100,000; 32,768 by default. What one look finds without a seal gets seals
    /// of its own.
    pub fn with_batch(mut self, entries: u32) -> Self {
        self.batch = entries.clamp(1, 100_000);
        self
    }

    /// Adopts the log of every tenant: all or nothing. It holds one batch of entries in memory, a few numbers for each
    /// tenant, and the seals that are lost.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) `audit_reason_invalid`;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) `audit_log_busy` if somebody held the table for three seconds.
    pub async fn adopt(&self, reason: &str) -> Result<Adopted, Error> {
        check_reason(reason)?;
        let mut adopting = Adopting::begin(&self.operator).await?;
        let mut adopted = Adopted {
            sealing: adopting.begun(),
            passed_over: self.lost.passed_over(),
            ..Adopted::default()
        };
        let mut stood = self.seal_rest(&mut adopting).await?;
        let mut unseen: BTreeSet<TenantId> = self.lost.tenants().collect();
        let mut after = TenantId::from_uuid(Uuid::nil());
        loop {
            let sealed = adopting.tenants(after).await?;
            let Some(end) = sealed.last() else { break };
            after = end.tenant_id;
            for of in sealed {
                unseen.remove(&of.tenant_id);
                let after = of.signed_at;
                let stood = stood.remove(&of.tenant_id).unwrap_or_else(|| Stood::of(of));
                let (of, told) = ((of.tenant_id, stood), (reason, later_than(after)));
                self.keep(&mut adopting, of, told, &mut adopted).await?;
            }
        }
        // An anchor knows seals of them, and the log has none.
        for tenant in unseen {
            let (of_none, told) = ((tenant, Stood::default()), (reason, Utc::now()));
            self.keep(&mut adopting, of_none, told, &mut adopted)
                .await?;
        }
        adopting.commit().await?;
        Ok(adopted)
    }

    /// Seals what no seal holds, batch by batch; where each tenant's seals ended before, and how much came to them.
    async fn seal_rest(&self, adopting: &mut Adopting) -> Result<BTreeMap<TenantId, Stood>, Error> {
        let (mut stood, at) = (BTreeMap::new(), Utc::now().trunc_subsecs(6));
        while let Some(unsealed) = adopting.unsealed(self.batch).await? {
            let mut seals: Vec<NewSeal> = Vec::new();
            for mut of in unsealed {
                let first = Stood {
                    seals: of.chain.frontier.size(),
                    entries: of.chain.entries,
                    loose: 0,
                };
                stood.entry(of.tenant).or_insert(first).loose += of.entries.len() as u64;
                sign(&*self.signer, &mut of, at, &mut seals).await?;
            }
            adopting.seal(&seals, at).await?;
        }
        Ok(stood)
    }

    /// Keeps that this tenant's log was adopted, and what of it is lost.
    async fn keep(
        &self,
        adopting: &mut Adopting,
        (tenant, stood): (TenantId, Stood),
        told: (&str, DateTime<Utc>),
        adopted: &mut Adopted,
    ) -> Result<(), Error> {
        adopted.tenants += 1;
        adopted.entries += stood.loose;
        let (mut lost, mut loose) = (0, Some(stood.loose));
        for part in self.lost.parts(tenant) {
            let missing = adopting.missing(&part).await?;
            let seal = |place: usize| part.get(place).map(|(_, seal)| *seal);
            let missing: Vec<LostSeal> = missing.into_iter().filter_map(seal).collect();
            lost += missing.len() as u64;
            if !missing.is_empty() {
                let state = (stood.seals, stood.entries, loose.take().unwrap_or_default());
                self.sign(adopting, tenant, state, missing, told).await?;
            }
        }
        if let Some(loose) = loose {
            let state = (stood.seals, stood.entries, loose);
            self.sign(adopting, tenant, state, Vec::new(), told).await?;
        }
        if lost > 0 {
            adopted.lost.push((tenant, lost));
        }
        Ok(())
    }

    async fn sign(
        &self,
        adopting: &mut Adopting,
        tenant: TenantId,
        state: (u64, u64, u64),
        lost: Vec<LostSeal>,
        told: (&str, DateTime<Utc>),
    ) -> Result<(), Error> {
        let key = self.signer.key_name();
        let (mut adoption, bytes) = Adoption::new(tenant, state, lost, told, &key);
        adoption.signature = self.signer.sign(&bytes).await?;
        adopting.keep(&adoption).await
    }
}

/// Now, but behind what was signed before, whatever the clocks say: what comes after what is told by these times.
fn later_than(signed: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let behind = signed.and_then(|at| at.checked_add_signed(TimeDelta::microseconds(1)));
    Utc::now().max(behind.unwrap_or_default())
}

impl fmt::Debug for Adopter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopter")
            .field("key", &self.signer.key_name())
            .finish_non_exhaustive()
    }
}
