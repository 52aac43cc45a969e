//! Changing keys.

use std::{fmt, sync::Arc, time::Duration};

use tenancy_core::{TenantId, WorkerDb};

use super::record;
use crate::{
    Aead, AesGcm, DataKey, Error, ErrorKind, KeyId, KeyWrap, RotateOptions, RotationProgress,
    RotationReport, TenantRotation, WrapContext,
    postgres::{KeyPage, Moved, PgRotation, Run, SealedRow},
};

/// How often a run starts over for rows that others wrote while it passed.
const PASSES: u32 = 20;
/// Tenants and data keys that are looked up at once.
const PAGE: i32 = 200;

/// Changes data keys and key-encryption keys, tenant by tenant, while the host works.
///
/// It runs as the worker role through functions that pass sealed rows and wrapped keys only. Any
/// number may run at once; one that is killed goes on where it stopped when it is started again.
///
/// ```no_run
/// # async fn run(worker: tenancy_core::WorkerDb) -> Result<(), tenancy_secrets::Error> {
/// use tenancy_secrets::{LocalKeyring, RotateOptions, Rotation};
///
/// let rotation = Rotation::new(worker, LocalKeyring::from_env()?);
/// let report = rotation
///     .rotate_all(&RotateOptions::default(), |at| println!("{}: {}/{}", at.tenant, at.done, at.total))
///     .await?;
/// assert!(report.failed.is_empty());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Rotation {
    store: PgRotation,
    wrap: Arc<dyn KeyWrap>,
    aead: Arc<dyn Aead>,
}

impl Rotation {
    /// Rotates on this database, with the keyring that the host itself uses.
    pub fn new(worker: WorkerDb, wrap: impl Into<Arc<dyn KeyWrap>>) -> Self {
        Self {
            store: PgRotation::new(worker),
            wrap: wrap.into(),
            aead: Arc::new(AesGcm::new()),
        }
    }

    /// Uses another AES-256-GCM.
    pub fn with_aead(mut self, aead: Arc<dyn Aead>) -> Self {
        self.aead = aead;
        self
    }

    /// Gives every tenant that has secrets a new data key and seals them anew.
    ///
    /// A tenant that fails is reported and left to the next run; the others go on.
    ///
    /// # Errors
    /// Only where the list of tenants can't be read.
    pub async fn rotate_all(
        &self,
        options: &RotateOptions,
        mut progress: impl FnMut(RotationProgress) + Send,
    ) -> Result<RotationReport, Error> {
        let mut report = RotationReport::default();
        let mut after = None;
        loop {
            let tenants = self.store.tenants(after, PAGE).await?;
            let Some(last) = tenants.last() else {
                return Ok(report);
            };
            after = Some(*last);
            for tenant in tenants {
                match self.rotate_tenant(tenant, options, &mut progress).await {
                    Ok(done) => report.add(&done),
                    Err(error) => {
                        tracing::error!(%tenant, %error, code = error.code(), "a rotation failed");
                        report.failed.push((tenant, error.code()));
                    }
                }
            }
        }
    }

    /// Gives one tenant a new data key and seals its secrets anew; goes on with a run that was
    /// left unfinished.
    ///
    /// Rows are replaced by compare-and-set on key and generation: who writes meanwhile wins, and
    /// has written under the new key. The run ends when no row is left under another key.
    ///
    /// # Errors
    /// [`Unreadable`](ErrorKind::Unreadable) if a row does not open: the run stays open, the old
    /// key is kept, and the other rows are done.
    pub async fn rotate_tenant(
        &self,
        tenant: TenantId,
        options: &RotateOptions,
        mut progress: impl FnMut(RotationProgress) + Send,
    ) -> Result<TenantRotation, Error> {
        let (key, data_key) = (KeyId::new(), DataKey::generate()?);
        let wrapped = self
            .wrap
            .wrap(&WrapContext::new(tenant, key), &data_key)
            .await?;
        let mut run = self.store.begin(tenant, key, &wrapped).await?;
        let resumed = run.to_key != key;
        if !run.promoted {
            self.store.promote(tenant, run.id).await?;
        }
        let mut keys = KeyBag::new(self, tenant);
        if !resumed {
            keys.keep(key, data_key);
        }
        self.seal_anew(&mut run, &mut keys, options, &mut progress)
            .await?;
        let destroyed = self.store.destroy_retired(tenant, options.grace).await?;
        Ok(TenantRotation {
            tenant,
            key: run.to_key,
            done: run.done,
            resumed,
            destroyed,
        })
    }

    /// Wraps every data key that another key wrapped with the primary one; secrets are not
    /// touched. Answers how many were wrapped anew.
    ///
    /// # Errors
    /// [`Misconfigured`](ErrorKind::Misconfigured) if the keyring lacks a key that is still in
    /// use. What was done before stays done.
    pub async fn rewrap_all(&self) -> Result<u64, Error> {
        let primary = self.wrap.primary();
        let (mut count, mut after) = (0, None);
        loop {
            let page = self.store.keys_to_rewrap(&primary, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(count);
            };
            after = Some((last.tenant, last.key));
            for KeyPage {
                tenant,
                key,
                wrapped,
            } in page
            {
                let context = WrapContext::new(tenant, key);
                let data_key = self.wrap.unwrap(&context, &wrapped).await?;
                let anew = self.wrap.wrap(&context, &data_key).await?;
                let changed = self.store.rewrap(&context, &wrapped.kek_id, &anew).await?;
                count += u64::from(changed);
            }
        }
    }

    /// Destroys retired data keys of all tenants under which nothing is left, after the grace.
    ///
    /// # Errors
    /// Where the database can't be reached.
    pub async fn destroy_retired(&self, grace: Duration) -> Result<u64, Error> {
        let (mut count, mut after) = (0, None);
        loop {
            let tenants = self.store.tenants(after, PAGE).await?;
            let Some(last) = tenants.last() else {
                return Ok(count);
            };
            after = Some(*last);
            for tenant in tenants {
                count += self.store.destroy_retired(tenant, grace).await?;
            }
        }
    }

    async fn seal_anew(
        &self,
        run: &mut Run,
        keys: &mut KeyBag<'_>,
        options: &RotateOptions,
        progress: &mut (impl FnMut(RotationProgress) + Send),
    ) -> Result<(), Error> {
        for _ in 0..PASSES {
            let unreadable = self.pass(run, keys, options, progress).await?;
            let left = self.store.finish(run.tenant, run.id).await?;
            if left == 0 {
                return Ok(());
            }
            if let Some(error) = unreadable {
                return Err(error);
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "rotation_busy",
            "rows keep changing under the rotation",
        ))
    }

    /// Goes over all rows once. Answers the last error of a row that does not open.
    async fn pass(
        &self,
        run: &mut Run,
        keys: &mut KeyBag<'_>,
        options: &RotateOptions,
        progress: &mut (impl FnMut(RotationProgress) + Send),
    ) -> Result<Option<Error>, Error> {
        let mut unreadable = None;
        loop {
            let rows = self.store.batch(run.tenant, run.id, options.batch).await?;
            let Some(last) = rows.last() else {
                return Ok(unreadable);
            };
            let cursor = last.id;
            let mut moved = Vec::with_capacity(rows.len());
            for row in rows {
                match self.seal_row(run, keys, &row).await {
                    Ok(anew) => moved.push(anew),
                    Err(error) if error.kind() == ErrorKind::Unreadable => {
                        tracing::error!(tenant = %run.tenant, row = %row.id, "a sealed secret does not open");
                        unreadable = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            let Some(replaced) = self.store.store(run.tenant, run.id, cursor, &moved).await? else {
                return Ok(unreadable);
            };
            run.done += replaced;
            progress(RotationProgress {
                tenant: run.tenant,
                done: run.done,
                total: run.total,
            });
        }
    }

    async fn seal_row(
        &self,
        run: &Run,
        keys: &mut KeyBag<'_>,
        row: &SealedRow,
    ) -> Result<Moved, Error> {
        let place = row.place(run.tenant);
        let sealed = row.envelope()?;
        let opened = record::open(&*self.aead, keys.get(row.key).await?, &*place, &sealed)?;
        let new_key = keys.get(run.to_key).await?;
        let envelope = record::seal(&*self.aead, (run.to_key, new_key), &*place, &opened)?;
        Ok(Moved {
            id: row.id,
            old_key: row.key,
            generation: row.generation,
            envelope,
        })
    }
}

/// The keys of the tenant at hand, unwrapped once.
struct KeyBag<'a> {
    rotation: &'a Rotation,
    tenant: TenantId,
    keys: Vec<(KeyId, DataKey)>,
}

impl<'a> KeyBag<'a> {
    fn new(rotation: &'a Rotation, tenant: TenantId) -> Self {
        Self {
            rotation,
            tenant,
            keys: Vec::new(),
        }
    }

    fn keep(&mut self, id: KeyId, key: DataKey) {
        self.keys.push((id, key));
    }

    async fn get(&mut self, id: KeyId) -> Result<&DataKey, Error> {
        if let Some(at) = self.keys.iter().position(|(known, _)| *known == id) {
            return self.keys.get(at).map(|(_, key)| key).ok_or_else(gone);
        }
        let wrapped = self.rotation.store.wrapped_key(self.tenant, id).await?;
        let wrapped = wrapped.ok_or_else(gone)?;
        let context = WrapContext::new(self.tenant, id);
        let key = self.rotation.wrap.unwrap(&context, &wrapped).await?;
        self.keys.push((id, key));
        self.keys.last().map(|(_, key)| key).ok_or_else(gone)
    }
}

fn gone() -> Error {
    Error::unreadable(
        "data_key_missing",
        "the data key that sealed the secret is gone",
    )
}

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation").finish_non_exhaustive()
    }
}
