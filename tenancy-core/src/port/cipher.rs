use async_trait::async_trait;

use crate::{Error, SealedText, SecretText, Subject, TenantCtx};

/// Seals personal data under a key for each subject, so that destroying the key erases the data
/// wherever it was copied: in rows, logs, indexes and backups.
///
/// # Contract
/// What was sealed opens in the context's tenant and for the same subject only. After
/// [`erase_subject`](Self::erase_subject) nothing of the subject opens or can be sealed any more, in
/// any process, from the moment it returns; it is permanent, and other subjects are not touched.
/// Sealing the same text twice gives two texts. A changed key of the tenant goes unnoticed.
///
/// # Concurrency
/// Of two first seals of a subject one makes its key, and both can be opened.
///
/// # Errors and retry
/// An erased subject is [`Conflict`](crate::ErrorKind::Conflict) with the code `subject_erased`. What
/// is damaged, or belongs to another tenant or subject, is [`Internal`](crate::ErrorKind::Internal)
/// with a code that says so. More than 64 KiB is [`Limit`](crate::ErrorKind::Limit).
///
/// # Cancellation
/// A dropped call has erased all or nothing.
///
/// # For implementors
/// `tenancy_core::testing::conformance::subject_cipher` is the suite.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait SubjectCipher: Send + Sync + 'static {
    /// Seals a text; the subject's key is made at the first one.
    async fn seal(
        &self,
        ctx: &TenantCtx,
        subject: &Subject,
        text: SecretText,
    ) -> Result<SealedText, Error>;

    /// Opens what was sealed for this subject.
    async fn open(
        &self,
        ctx: &TenantCtx,
        subject: &Subject,
        sealed: &SealedText,
    ) -> Result<SecretText, Error>;

    /// Destroys the subject's key, and records that; doing it twice changes nothing.
    async fn erase_subject(&self, ctx: &TenantCtx, subject: &Subject) -> Result<(), Error>;
}
