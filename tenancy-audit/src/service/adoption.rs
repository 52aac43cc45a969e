//! Taking a log over into another cluster.

use std::{fmt, io::BufRead, sync::Arc};

use chrono::{SubsecRound as _, Utc};
use tenancy_core::{OperatorDb, TenantId};

use super::{retention::check_reason, sealer::sign, verify::Heads};
use crate::{
    Adoption, Error, LostSeal, SealKeys, SealSigner,
    postgres::{Adopting, NewSeal},
};

/// How many lost seals an adoption names; the newest.
const MOST_LOST: usize = 10_000;

/// Adopts a log that came into another cluster: by a restore, by `pg_upgrade`, by logical replication. Until then the
/// sealer refuses with `audit_log_restored`: transactions are counted anew there, and their numbers mean nothing.
///
/// Keeps everybody out of the log for as long as it takes, seals what no seal holds, goes on counting above
/// everything that is there, and keeps a signed [`Adoption`] for each tenant. Given the heads of an anchor, it names the
/// seals that are not there any more: verifiers then tell them as lost, and not as taken away. After a restore into
/// the same cluster, which the sealer can't see, it is called for just that.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_audit::{Adopter, Ed25519Signer, Error, SealKeys};
/// # async fn run(operator: tenancy_core::OperatorDb, heads: std::io::BufReader<std::fs::File>) -> Result<(), Error> {
/// let signer = Ed25519Signer::from_env()?;
/// let keys = SealKeys::new([signer.public_key()]); // and those before it
/// let adopter = Adopter::new(operator, Arc::new(signer), keys).with_anchor(heads)?;
/// let adopted = adopter.adopt("restored from the backup of 3 a.m.").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Adopter {
    operator: OperatorDb,
    signer: Arc<dyn SealSigner>,
    keys: SealKeys,
    heads: Heads,
}

/// What was adopted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Adopted {
    /// How many tenants' logs.
    pub tenants: u64,
    /// How many entries were sealed with it.
    pub entries: u64,
    /// Tenants with seals that are lost, and how many the anchor knew.
    pub lost: Vec<(TenantId, u64)>,
}

impl Adopter {
    /// As the operator; signs with this signer, and believes heads under these keys.
    pub fn new(operator: OperatorDb, signer: Arc<dyn SealSigner>, keys: SealKeys) -> Self {
        Self {
            operator,
            signer,
            keys,
            heads: Heads::new(None),
        }
    }

    /// Compares the log with what an anchor kept: one head a line. A million heads are kept in memory at most, of each
    /// tenant the newest.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) `audit_proof_unreadable`.
    pub fn with_anchor(mut self, heads: impl BufRead) -> Result<Self, Error> {
        self.heads.read(heads, &self.keys)?;
        Ok(self)
    }

    /// Adopts the log of every tenant: all or nothing.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) `audit_reason_invalid`;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) `audit_log_busy` if somebody held the table for three seconds.
    pub async fn adopt(&self, reason: &str) -> Result<Adopted, Error> {
        check_reason(reason)?;
        let mut adopting = Adopting::begin(&self.operator).await?;
        let (mut adopted, at) = (Adopted::default(), Utc::now().trunc_subsecs(6));
        for mut of in adopting.unsealed().await? {
            let tenant = of.tenant;
            let state = (
                of.chain.frontier.size(),
                of.chain.entries,
                of.entries.len() as u64,
            );
            let lost = self.lost(&mut adopting, tenant).await?;
            let key = self.signer.key_name();
            let (mut adoption, bytes) = Adoption::new(tenant, state, lost, reason, &key);
            adoption.signature = self.signer.sign(&bytes).await?;
            adopting.keep(&adoption).await?;
            let mut seals: Vec<NewSeal> = Vec::new();
            sign(&*self.signer, &mut of, at, &mut seals).await?;
            adopting.seal(&seals, at).await?;
            adopted.tenants += 1;
            adopted.entries += adoption.loose;
            if !adoption.lost.is_empty() {
                adopted.lost.push((tenant, adoption.lost.len() as u64));
            }
        }
        adopting.commit().await?;
        Ok(adopted)
    }

    /// The seals that an anchor knew and that are not there, or are others there.
    async fn lost(
        &self,
        adopting: &mut Adopting,
        tenant: TenantId,
    ) -> Result<Vec<LostSeal>, Error> {
        let known = self.heads.known(tenant);
        let known: Vec<_> = known
            .map(|(number, known)| LostSeal::new(number, known.seal))
            .collect();
        let numbers: Vec<u64> = known.iter().map(|seal| seal.number).collect();
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let nodes = adopting
            .reading(tenant)
            .await?
            .nodes(tenant, &numbers)
            .await?;
        let is_there = |lost: &LostSeal| {
            let node = nodes.get(&lost.number);
            node.is_some_and(|(hash, _)| *hash == lost.seal)
        };
        let mut lost: Vec<LostSeal> = known.into_iter().filter(|seal| !is_there(seal)).collect();
        lost.sort_unstable();
        Ok(lost.split_off(lost.len().saturating_sub(MOST_LOST)))
    }
}

impl fmt::Debug for Adopter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopter")
            .field("key", &self.signer.key_name())
            .finish_non_exhaustive()
    }
}
