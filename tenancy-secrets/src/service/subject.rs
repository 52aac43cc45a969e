//! Personal data under keys that can be destroyed.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tenancy_core::{
    AuditSink, Authorizer, AuthorizerExt as _, SealedText, SecretText, Subject, SubjectCipher,
    TenantCtx, TenantDb,
};

use super::{
    keys::KEY_MISSING,
    perm, record,
    sealer::{Sealer, text},
    vault::SecretVault,
};
use crate::{
    DataKey, Envelope, Error, ErrorKind, KeyId, Written,
    model::{SubjectDataPlace, SubjectHash, SubjectKeyPlace},
    postgres::{PgSubjects, SubjectKey},
};

/// How often the first key of a subject is made again when another one or a rotation is in the way.
const ATTEMPTS: u32 = 8;

/// [`SubjectCipher`] with a key for each subject, itself sealed under the tenant's data key.
///
/// What is sealed is for the host to keep, wherever it likes; it opens in its tenant and for its
/// subject only. [`erase_subject`](SubjectCipher::erase_subject) asks for `subjects.erase` and destroys
/// the subject's key, so that every copy of the data is lost at once: no process caches these keys. Under
/// a legal hold (core's `Platform::hold`) it is refused with `subject_held`, after the permission; one that is
/// being placed is waited for.
/// Sealing and opening ask for nothing and record nothing: whoever may see the row may see what is in it.
///
/// Each call reads the subject's key: one short transaction. A rotation covers the keys like secrets.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{AuditSink, Authorizer, SecretText, Subject, SubjectCipher, TenantCtx, TenantDb};
/// # use tenancy_secrets::{SecretVault, SubjectVault};
/// # async fn run(db: TenantDb, vault: SecretVault, authorizer: Arc<dyn Authorizer>,
/// #     audit: Arc<dyn AuditSink>, ctx: TenantCtx) -> Result<(), tenancy_core::Error> {
/// let cipher = SubjectVault::new(db, &vault, authorizer, audit);
/// let lead = Subject::parse("lead:4711")?;
/// let sealed = cipher.seal(&ctx, &lead, SecretText::new("ann@example.com")).await?;
/// // … store sealed.as_str() in a column, and one day:
/// cipher.erase_subject(&ctx, &lead).await?;
/// let error = cipher.open(&ctx, &lead, &sealed).await.unwrap_err();
/// assert_eq!(error.code(), "subject_erased");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SubjectVault(Arc<Inner>);

struct Inner {
    store: PgSubjects,
    sealer: Sealer,
    authorizer: Arc<dyn Authorizer>,
}

impl SubjectVault {
    /// Uses this database, and the keys of this vault.
    pub fn new(
        db: TenantDb,
        vault: &SecretVault,
        authorizer: Arc<dyn Authorizer>,
        audit: Arc<dyn AuditSink>,
    ) -> Self {
        Self(Arc::new(Inner {
            store: PgSubjects::new(db, audit),
            sealer: vault.sealer().clone(),
            authorizer,
        }))
    }

    /// The subject's key; made here at the first time.
    async fn key(&self, ctx: &TenantCtx, of: SubjectHash) -> Result<(KeyId, DataKey), Error> {
        for _ in 0..ATTEMPTS {
            if let Some(row) = self.0.store.find(ctx, of).await? {
                return self.unsealed(ctx, of, row).await;
            }
            let (id, key) = (KeyId::new(), DataKey::generate()?);
            let place = SubjectKeyPlace { of, id };
            let sealed = self.0.sealer.seal_bytes(ctx, &place, key.expose());
            let envelope = sealed.await?;
            match self.0.store.put(ctx, of, id, &envelope).await? {
                Written::Done => return Ok((id, key)),
                Written::KeyRetired => self.0.sealer.key_retired(ctx.tenant()),
                // Somebody else has made it, or erased the subject, at this moment.
                Written::Stale => {}
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "subject_busy",
            "the subject's key could not be made",
        ))
    }

    async fn unsealed(
        &self,
        ctx: &TenantCtx,
        of: SubjectHash,
        row: SubjectKey,
    ) -> Result<(KeyId, DataKey), Error> {
        let envelope = row.envelope.ok_or_else(erased)?;
        let place = SubjectKeyPlace { of, id: row.id };
        let bytes = self
            .0
            .sealer
            .open_bytes(ctx, &place, row.id.as_uuid(), &envelope);
        Ok((row.id, DataKey::from_slice(&bytes.await?)?))
    }

    /// The key that the text was sealed with, if it is this subject's.
    async fn key_of(
        &self,
        ctx: &TenantCtx,
        of: SubjectHash,
        envelope: &Envelope,
    ) -> Result<DataKey, Error> {
        let row = self.0.store.find(ctx, of).await?.ok_or_else(unreadable)?;
        let erased = row.envelope.is_none();
        if !erased && row.id != envelope.key() {
            return Err(unreadable());
        }
        Ok(self.unsealed(ctx, of, row).await?.1)
    }

    async fn try_seal(
        &self,
        ctx: &TenantCtx,
        subject: &Subject,
        value: &SecretText,
    ) -> Result<SealedText, Error> {
        let of = SubjectHash::of(ctx.tenant(), subject);
        let (id, key) = match self.key(ctx, of).await {
            // Its key was sealed anew and the old one destroyed between two reads of ours.
            Err(error) if error.code() == KEY_MISSING => self.key(ctx, of).await?,
            found => found?,
        };
        let (aead, place) = (self.0.sealer.aead(), SubjectDataPlace { of });
        let envelope = record::seal(aead, (id, &key), &place, value.expose().as_bytes())?;
        Ok(SealedText::from_stored(
            STANDARD.encode(envelope.to_bytes()),
        ))
    }

    async fn try_open(
        &self,
        ctx: &TenantCtx,
        subject: &Subject,
        sealed: &SealedText,
    ) -> Result<SecretText, Error> {
        let bytes = STANDARD.decode(sealed.as_str()).map_err(|_| unreadable())?;
        let (of, envelope) = (
            SubjectHash::of(ctx.tenant(), subject),
            Envelope::parse(&bytes)?,
        );
        let key = match self.key_of(ctx, of, &envelope).await {
            Err(error) if error.code() == KEY_MISSING => self.key_of(ctx, of, &envelope).await?,
            found => found?,
        };
        let place = SubjectDataPlace { of };
        text(record::open(self.0.sealer.aead(), &key, &place, &envelope)?)
    }
}

#[async_trait]
impl SubjectCipher for SubjectVault {
    async fn seal(
        &self,
        ctx: &TenantCtx,
        subject: &Subject,
        text: SecretText,
    ) -> Result<SealedText, tenancy_core::Error> {
        Ok(self.try_seal(ctx, subject, &text).await?)
    }

    async fn open(
        &self,
        ctx: &TenantCtx,
        subject: &Subject,
        sealed: &SealedText,
    ) -> Result<SecretText, tenancy_core::Error> {
        Ok(self.try_open(ctx, subject, sealed).await?)
    }

    async fn erase_subject(
        &self,
        ctx: &TenantCtx,
        subject: &Subject,
    ) -> Result<(), tenancy_core::Error> {
        self.0
            .authorizer
            .require(ctx, perm::SubjectsErase::get())
            .await?;
        let of = SubjectHash::of(ctx.tenant(), subject);
        Ok(self.0.store.erase(ctx, of).await?)
    }
}

fn erased() -> Error {
    let message = "the subject's data was erased";
    Error::new(ErrorKind::Conflict, "subject_erased", message)
}

fn unreadable() -> Error {
    Error::unreadable(
        "sealed_text_unreadable",
        "the sealed text is damaged, or belongs to somebody else",
    )
}

impl fmt::Debug for SubjectVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectVault").finish_non_exhaustive()
    }
}
