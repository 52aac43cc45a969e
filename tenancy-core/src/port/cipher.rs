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
/// Who erases needs a permission, which is asked for first: `subjects.erase`, if the host has no other.
/// While the tenant is under a legal hold (see [`Platform::hold`](crate::Platform::hold)) nobody is erased.
///
/// # Concurrency
/// Of two first seals of a subject one makes its key, and both can be opened. An erasure waits for a hold
/// that is being placed, and placing one for an erasure that has begun.
///
/// # Errors and retry
/// An erased subject is [`Conflict`](crate::ErrorKind::Conflict) with the code `subject_erased`. To erase
/// under a legal hold is `Conflict`, too, with the code `subject_held`, also for a subject that is erased
/// already: trying again helps when the hold is released. What
/// is damaged, or belongs to another tenant or subject, is [`Internal`](crate::ErrorKind::Internal)
/// with a code that says so. More than 64 KiB is [`Limit`](crate::ErrorKind::Limit).
///
/// # Cancellation
/// A dropped call has erased all or nothing.
///
/// # For implementors
/// `tenancy_core::testing::conformance::subject_cipher` is the suite. It knows of no holds: that they are
/// heeded is for a test of your own. The audit log looks for a hold before it calls a cipher, so that one
/// that does not ask stops at those that stood already.
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

    /// Destroys the subject's key, and records that; doing it twice changes nothing. Not under a legal hold.
    async fn erase_subject(&self, ctx: &TenantCtx, subject: &Subject) -> Result<(), Error>;
}
